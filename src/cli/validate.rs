//! `validate`: prints everything that is wrong with a bundle.
//!
//! Runs in: parent

use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};

use super::args::{self, path_of, string};
use super::{Entry, FAILURE, Global, doctor, print, print_json};
use crate::container::{ContainerId, CreateOptions};
use crate::error::Result;
use crate::validate::{self, Severity};

pub(super) const ENTRY: Entry =
    Entry { name: "validate", about: "Say everything that is wrong with a bundle", args, run };

fn args(command: Command) -> Command {
    command.args([doctor::format(), bundle()])
}

pub(super) fn bundle() -> Arg {
    Arg::new("bundle")
        .value_name("BUNDLE")
        .value_parser(value_parser!(PathBuf))
        .help("Directory of config.json [default: the current one]")
}

/// What a container that is not made would be made with.
pub(super) fn options(global: &Global, id: ContainerId, bundle: &Path) -> Result<CreateOptions> {
    Ok(CreateOptions {
        root: global.root.clone(),
        id,
        bundle: args::absolute(bundle)?,
        pid_file: None,
        console_socket: None,
        foreground: true,
        no_pivot: false,
        no_new_keyring: false,
        pidfd_socket: None,
        preserve_fds: 0,
        listen_fds: None,
        notify_socket: None,
        rootless: global.rootless,
        driver: global.driver,
    })
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let bundle = path_of(matches, "bundle").unwrap_or(".".as_ref());
    let findings = validate::validate(&options(global, ContainerId::new("validate")?, bundle)?)?;
    match string(matches, "format") {
        Some("json") => print_json(&findings).map(drop)?,
        _ => print(&validate::text(&bundle.join("config.json"), &findings))?,
    }
    Ok(if findings.iter().any(|finding| finding.severity == Severity::Error) { FAILURE } else { 0 })
}
