//! `ps`: prints the processes of a container.
//!
//! Runs in: parent

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command};

use super::args::{self, option, string};
use super::{Entry, Global, print, print_json_line};
use crate::container::{Container, ps};
use crate::error::{Error, Result};

pub(super) const ENTRY: Entry = Entry { name: "ps", about: "List the processes of a container", args, run };

fn args(command: Command) -> Command {
    command.args([
        option("format", "FORMAT")
            .short('f')
            .value_parser(["table", "json", "json-full"])
            .help("json: pids; json-full: also the pids that the container sees [default: table]"),
        // One argument, because options after the container are those of ps(1).
        Arg::new("id")
            .value_name("CONTAINER-ID [PS-OPTION]")
            .required(true)
            .num_args(1..)
            .trailing_var_arg(true)
            .help("Name of the container, and options for the ps of the host [default: -ef]"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let container = Container::find(&global.root, &args::container_id(matches)?)?;
    let pids = ps::pids(&container)?;
    match string(matches, "format") {
        Some("json") => print_json_line(&pids),
        Some("json-full") => print_json_line(&ps::processes(&container, &pids)?),
        _ => {
            let words = matches.get_many::<String>("id").unwrap_or_default().skip(1);
            let options: Vec<OsString> = words.skip_while(|word| *word == "--").map(OsString::from).collect();
            let table = match ps::host::find() {
                Some(program) => ps::host::table(&program, &options, &pids)?,
                None if options.is_empty() => {
                    log::warn!("this host has no ps(1): a table of orlop's own instead");
                    ps::table(&ps::processes(&container, &pids)?)
                }
                None => return Err(Error::other("ps: options are for the host's ps(1), and there is none in PATH")),
            };
            print(&table).map(|()| 0)
        }
    }
}
