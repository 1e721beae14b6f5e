//! `start`: runs the process of a created container.
//!
//! Runs in: parent · runtime.md#start

use clap::{ArgMatches, Command};

use super::args::{self, id};
use super::{Entry, Global, create};
use crate::container::Container;
use crate::error::Result;

pub(super) const ENTRY: Entry = Entry { name: "start", about: "Run the process of a created container", args, run };

fn args(command: Command) -> Command {
    command.args([id(), args::timings()])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    Container::find(&global.root, &args::container_id(matches)?)?.start(create::notify_socket().as_deref())?;
    Ok(0)
}
