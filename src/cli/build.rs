//! `build`: makes an image from a Containerfile.
//!
//! Runs in: parent · docs/images.md

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::{self, option, path, path_of, string, switch};
use super::{Entry, Global, image, print};
use crate::error::{Error, On as _, Result};
use crate::image::build::{self, Options};
use crate::sys;

pub(super) const ENTRY: Entry = Entry { name: "build", about: "Make an image from a Containerfile", args, run };

fn args(command: Command) -> Command {
    let context = Arg::new("context").value_name("CONTEXT").required(true).value_parser(value_parser!(PathBuf));
    command.args([
        image::store_option(),
        path("file").short('f').help("The Containerfile [default: Containerfile or Dockerfile of the context]"),
        option("tag", "NAME").short('t').action(ArgAction::Append).help("What to call the image"),
        option("build-arg", "NAME=VALUE").action(ArgAction::Append).help("The value of an ARG"),
        option("target", "STAGE").help("The stage to make [default: the last]"),
        switch("no-cache").help("Run every step, whatever ran before"),
        option("network", "KIND").value_parser(["none", "host"]).help("What RUN can reach [default: none]"),
        context.help("Directory that COPY and ADD take files from"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    // Now, and not when the first container is made.
    sys::exe::seal().on("/proc/self/exe")?;
    let list = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned();
    let argument = |written: String| match written.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        // As with other builders: the caller's own variable.
        None => match std::env::var(&written) {
            Ok(value) => Ok((written, value)),
            Err(_) => Err(Error::other(format!("--build-arg: {written:?} has no value here"))),
        },
    };
    let options = Options {
        context: args::absolute(path_of(matches, "context").unwrap_or(".".as_ref()))?,
        file: path_of(matches, "file").map(args::absolute).transpose()?,
        names: list("tag").collect(),
        arguments: list("build-arg").map(argument).collect::<Result<BTreeMap<_, _>>>()?,
        target: string(matches, "target").map(str::to_owned),
        no_cache: matches.get_flag("no-cache"),
        host_network: string(matches, "network") == Some("host"),
        state: global.root.clone(),
        rootless: global.rootless,
        driver: global.driver,
    };
    let made = build::build(&image::store(matches)?, &options, &print)?;
    print(&format!("{}\n", made.digest)).map(|()| 0)
}
