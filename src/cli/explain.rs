//! `explain`: prints what would be done for a bundle, or was done for a container.
//!
//! Runs in: parent

use std::path::Path;

use clap::{Arg, ArgMatches, Command};

use super::args::string;
use super::{Entry, Global, doctor, print, print_json, validate};
use crate::container::{Container, ContainerId};
use crate::error::Result;
use crate::{explain, spec};

pub(super) const ENTRY: Entry =
    Entry { name: "explain", about: "Say what would be done for a bundle, or was for a container", args, run };

fn args(command: Command) -> Command {
    let what = Arg::new("what").value_name("BUNDLE|CONTAINER-ID").help("Directory of config.json, or a container");
    command.args([doctor::format(), what])
}

/// A name that is both is the container's, unless it has a slash.
fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    // What is doubtful about it is for `validate` to tell.
    log::set_max_level(log::LevelFilter::Error);
    let what = string(matches, "what").unwrap_or(".");
    let (config, options) = match container(global, what)? {
        Some(container) => {
            let id = ContainerId::new(&container.record.id)?;
            (container.config()?, validate::options(global, id, &container.record.bundle)?)
        }
        None => {
            let options = validate::options(global, ContainerId::new("CONTAINER-ID")?, Path::new(what))?;
            (spec::parse(&spec::read(&options.bundle)?)?, options)
        }
    };
    let steps = explain::explain(&config, &options)?;
    match string(matches, "format") {
        Some("json") => print_json(&steps),
        _ => print(&explain::text(&steps)).map(|()| 0),
    }
}

fn container(global: &Global, what: &str) -> Result<Option<Container>> {
    match ContainerId::new(what) {
        Ok(id) => Container::lookup(&global.root, &id),
        Err(_) => Ok(None),
    }
}
