//! `run`: create and start in one; in the foreground also wait and delete.
//!
//! Runs in: parent

use clap::{ArgMatches, Command};

use super::args::switch;
use super::{Entry, Global, create};
use crate::container::run::{self, RunOptions};
use crate::error::Result;

pub(super) const ENTRY: Entry = Entry { name: "run", about: "Create a container and run its process", args, run };

fn args(command: Command) -> Command {
    create::common_args(command).args([
        switch("detach").short('d').help("Return once the process runs"),
        switch("keep").help("Keep the container's state after its process has ended"),
        switch("no-subreaper").help("Do not take over orphans of the container's processes"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let detach = matches.get_flag("detach");
    let options = create::options(global, matches, !detach)?;
    if detach {
        return run::detached(&options).map(|()| 0);
    }
    let run = RunOptions { keep: matches.get_flag("keep"), subreaper: !matches.get_flag("no-subreaper") };
    run::foreground(&options, run)
}
