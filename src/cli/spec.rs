//! `spec`: writes a config.json to start from.
//!
//! Runs in: parent

use clap::{ArgMatches, Command};

use super::args::{path, path_of, switch};
use super::{Entry, Global};
use crate::error::Result;
use crate::spec::template;

pub(super) const ENTRY: Entry = Entry { name: "spec", about: "Write a config.json to start from", args, run };

fn args(command: Command) -> Command {
    command.args([
        path("bundle").short('b').help("Directory to write it to [default: the current one]"),
        switch("rootless").help("For a user without privileges"),
    ])
}

fn run(_: &Global, matches: &ArgMatches) -> Result<i32> {
    let bundle = path_of(matches, "bundle").unwrap_or(".".as_ref());
    template::write(bundle, matches.get_flag("rootless"))?;
    Ok(0)
}
