//! `list`: prints every container below the root directory.
//!
//! Runs in: parent

use clap::{ArgMatches, Command};

use super::args::{option, string, switch};
use super::{Entry, Global, print, print_json};
use crate::container::list;
use crate::error::Result;

pub(super) const ENTRY: Entry = Entry { name: "list", about: "List containers", args, run };

fn args(command: Command) -> Command {
    command.args([
        option("format", "FORMAT").short('f').value_parser(["table", "json"]).help("[default: table]"),
        switch("quiet").short('q').help("Print ids only"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let containers = list::containers(&global.root)?;
    if matches.get_flag("quiet") {
        let ids: String = containers.iter().map(|container| format!("{}\n", container.id())).collect();
        return print(&ids).map(|()| 0);
    }
    if string(matches, "format") == Some("json") {
        let documents: Vec<_> = containers.iter().map(list::Listed::document).collect();
        return print_json(&documents);
    }
    print(&list::table(&containers)).map(|()| 0)
}
