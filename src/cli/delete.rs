//! `delete`: removes stopped containers; with `--force` stops them first.
//!
//! Runs in: parent · runtime.md#delete

use clap::{ArgAction, ArgMatches, Command};

use super::args::{self, id, switch};
use super::{Entry, Global};
use crate::container::{ContainerId, delete};
use crate::error::Result;
use crate::log as output;

pub(super) const ENTRY: Entry = Entry { name: "delete", about: "Remove stopped containers", args, run };

fn args(command: Command) -> Command {
    command.args([
        id().num_args(1..).action(ArgAction::Append),
        args::timings(),
        switch("force").short('f').help("Kill what still runs; succeed if there is no such container"),
    ])
}

/// Each container is tried, whatever happened to those before it.
fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let force = matches.get_flag("force");
    let mut result = Ok(0);
    for id in matches.get_many::<String>("id").into_iter().flatten() {
        let deleted = ContainerId::new(id).and_then(|id| delete::delete(&global.root, &id, force));
        if let Err(error) = deleted
            && let Err(earlier) = std::mem::replace(&mut result, Err(error))
        {
            output::fatal(&earlier);
        }
    }
    result
}
