//! `pause` and `resume`: hold all processes of a container still, and let them go on.
//!
//! Runs in: parent

use clap::{ArgMatches, Command};

use super::args::{self, id};
use super::{Entry, Global};
use crate::container::{Container, pause};
use crate::error::Result;

pub(super) const PAUSE: Entry = Entry {
    name: "pause",
    about: "Suspend all processes of a container",
    args,
    run: |global, matches| run(global, matches, pause::pause),
};
pub(super) const RESUME: Entry = Entry {
    name: "resume",
    about: "Let a paused container go on",
    args,
    run: |global, matches| run(global, matches, pause::resume),
};

fn args(command: Command) -> Command {
    command.arg(id())
}

fn run(global: &Global, matches: &ArgMatches, action: fn(&Container) -> Result<()>) -> Result<i32> {
    action(&Container::find(&global.root, &args::container_id(matches)?)?)?;
    Ok(0)
}
