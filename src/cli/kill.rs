//! `kill`: sends a signal to the container's first process, or to all in it.
//!
//! Runs in: parent · runtime.md#kill

use clap::{Arg, ArgMatches, Command};

use super::args::{self, id, string, switch};
use super::{Entry, Global};
use crate::container::Container;
use crate::container::kill::{self, Signal};
use crate::error::Result;

pub(super) const ENTRY: Entry = Entry { name: "kill", about: "Send a signal to a container", args, run };

fn args(command: Command) -> Command {
    command.args([
        id(),
        Arg::new("signal").value_name("SIGNAL").help("Name (with or without SIG) or number [default: SIGTERM]"),
        switch("all").short('a').help("Send it to every process of the container"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let signal = Signal::parse(string(matches, "signal").unwrap_or("TERM"))?;
    let container = Container::find(&global.root, &args::container_id(matches)?)?;
    if matches.get_flag("all") {
        kill::kill_all(&container, signal)?;
    } else {
        kill::kill(&container, signal)?;
    }
    Ok(0)
}
