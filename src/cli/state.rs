//! `state`: prints the container's state as JSON.
//!
//! Runs in: parent · runtime.md#query-state

use clap::{ArgMatches, Command};

use super::args::{self, id};
use super::{Entry, Global, print_json};
use crate::container::Container;
use crate::error::Result;

pub(super) const ENTRY: Entry = Entry { name: "state", about: "Print the state of a container", args, run };

fn args(command: Command) -> Command {
    command.arg(id())
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let container = Container::find(&global.root, &args::container_id(matches)?)?;
    let status = container.status()?;
    print_json(&container.record.state(status, container.pid(status)))
}
