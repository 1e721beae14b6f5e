//! `diff`: prints what a container has changed of its layers.
//!
//! Runs in: parent · docs/images.md

use clap::{ArgMatches, Command};

use super::args::{self, id, option, string};
use super::{Entry, Global, print, print_json};
use crate::container::{Container, diff};
use crate::error::Result;

pub(super) const ENTRY: Entry =
    Entry { name: "diff", about: "List what a container has changed of its layers", args, run };

fn args(command: Command) -> Command {
    let format = option("format", "FORMAT").short('f').value_parser(["text", "json"]);
    command.args([format.help("text: A (added), C (changed) or D (deleted), and a path [default: text]"), id()])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let container = Container::find(&global.root, &args::container_id(matches)?)?;
    let diff = diff::diff(&container)?;
    match string(matches, "format") {
        Some("json") => print_json(&diff),
        _ => print(&diff.lines()).map(|()| 0),
    }
}
