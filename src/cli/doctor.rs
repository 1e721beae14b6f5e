//! `doctor`: prints what this host offers and lacks.
//!
//! Runs in: parent

use clap::{ArgMatches, Command};

use super::args::{option, string};
use super::{Entry, FAILURE, Global, print, print_json};
use crate::doctor::{self, State};
use crate::error::Result;

pub(super) const ENTRY: Entry =
    Entry { name: "doctor", about: "Say what this host offers and what it lacks", args, run };

fn args(command: Command) -> Command {
    command.arg(format())
}

/// Also `validate` and `explain` have it.
pub(super) fn format() -> clap::Arg {
    option("format", "FORMAT").short('f').value_parser(["text", "json"]).help("text or json [default: text]")
}

/// The exit status tells scripts whether containers can run here.
fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let findings = doctor::examine(&global.root);
    match string(matches, "format") {
        Some("json") => print_json(&findings).map(drop)?,
        _ => print(&doctor::text(&findings))?,
    }
    Ok(if findings.iter().any(|finding| finding.state == State::Missing) { FAILURE } else { 0 })
}
