//! `bundle`: writes a config.json that runs an image.
//!
//! Runs in: parent · docs/images.md

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::{option, path_of, string, switch};
use super::{Entry, Global, image};
use crate::error::{Error, Result};
use crate::image::bundle::{self, Wishes};

pub(super) const ENTRY: Entry = Entry { name: "bundle", about: "Write a bundle that runs an image", args, run };

fn args(command: Command) -> Command {
    let many = |name, value| option(name, value).action(ArgAction::Append);
    command.args([
        image::store_option(),
        Arg::new("image").value_name("IMAGE").required(true).help("Name, or digest, of an image"),
        Arg::new("dir")
            .value_name("DIR")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("Directory of the bundle; made if it is missing"),
        Arg::new("args").value_name("ARGS").num_args(0..).last(true).help("Command, in place of the image's"),
        many("env", "NAME=VALUE").short('e').help("An environment variable"),
        many("volume", "SRC:DST[:ro]").short('v').help("A directory or file of the host"),
        option("hostname", "NAME").help("The container's host name"),
        option("user", "USER[:GROUP]").short('u').help("Names are those of the image"),
        option("memory", "BYTES").help("Limit of memory, also with k, m or g"),
        option("cpus", "NUMBER").value_parser(value_parser!(f64)).help("Limit of processor time, such as 1.5"),
        option("pids", "NUMBER").value_parser(value_parser!(i64)).help("Limit of processes"),
        switch("read-only").help("A root file system that nobody writes to"),
        switch("tty").short('t').help("With a terminal"),
        switch("rootless").help("For a user without privileges"),
        switch("ephemeral").help("Keep changes in memory, until the container ends"),
    ])
}

fn run(_: &Global, matches: &ArgMatches) -> Result<i32> {
    let store = image::store(matches)?;
    let list = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect();
    let wishes = Wishes {
        args: list("args"),
        env: list("env"),
        volumes: list("volume"),
        user: string(matches, "user").map(str::to_owned),
        hostname: string(matches, "hostname").map(str::to_owned),
        memory: string(matches, "memory").map(bytes).transpose()?,
        cpus: matches.get_one("cpus").copied(),
        pids: matches.get_one("pids").copied(),
        readonly: matches.get_flag("read-only"),
        terminal: matches.get_flag("tty"),
        rootless: matches.get_flag("rootless"),
        ephemeral: matches.get_flag("ephemeral"),
    };
    let dir = path_of(matches, "dir").unwrap_or(".".as_ref());
    bundle::write(&store, string(matches, "image").unwrap_or_default(), dir, &wishes).map(|()| 0)
}

/// `64m` for 67108864.
fn bytes(written: &str) -> Result<i64> {
    let shift = match written.bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { written } else { &written[..written.len() - 1] };
    let number = digits.parse::<i64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| Error::other(format!("--memory: {written:?} is no number of bytes")))
}
