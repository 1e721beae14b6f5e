//! `debug`: a shell with tools in a container that has none.
//!
//! Runs in: parent

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use super::args::{self, boolean, option, path, path_of, string};
use super::{Entry, Global};
use crate::container::ContainerId;
use crate::container::exec::{self, ExecOptions, Source};
use crate::error::Result;
use crate::process::overrides::{Overrides, UserId};
use crate::rootfs::tools;

pub(super) const ENTRY: Entry =
    Entry { name: "debug", about: "Run a command with tools that the container lacks", args, run };

/// The host's own tools.
const TOOLS: &str = "/usr";

fn args(command: Command) -> Command {
    command.args([
        path("tools").help("Directory with bin, lib and so on: the host's, or of another image [default: /usr]"),
        boolean("tty").short('t').help("Give it a terminal"),
        option("user", "UID[:GID]").short('u').help("Ids to run as [default: 0:0]"),
        args::id(),
        Arg::new("command").value_name("COMMAND").num_args(0..).last(true).help("What to run [default: sh]"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let words = matches.get_many::<String>("command").into_iter().flatten().cloned().collect::<Vec<_>>();
    let place = tools::PLACE;
    let path = format!(
        "PATH=/{place}/bin:/{place}/sbin:/{place}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );
    let overrides = Overrides {
        args: if words.is_empty() { vec!["sh".to_owned()] } else { words },
        cwd: Some("/".to_owned()),
        env: vec![path],
        terminal: args::is_true(matches, "tty"),
        user: Some(UserId::parse(string(matches, "user").unwrap_or("0:0"))?),
        ..Overrides::default()
    };
    exec::exec(ExecOptions {
        root: global.root.clone(),
        id: ContainerId::new(string(matches, "id").unwrap_or_default())?,
        source: Source::Flags(overrides),
        tools: Some(path_of(matches, "tools").map_or_else(|| PathBuf::from(TOOLS), PathBuf::from)),
        detach: false,
        pid_file: None,
        console_socket: None,
        pidfd_socket: None,
        preserve_fds: 0,
        listen_fds: None,
        ignore_paused: false,
        cgroups: Vec::new(),
    })
}
