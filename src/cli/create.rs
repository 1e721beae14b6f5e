//! `create`: makes a container from a bundle; its process waits for `start`.
//!
//! Runs in: parent · runtime.md#create

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::args::{self, id, option, path, path_of, switch};
use super::{Entry, Global};
use crate::container::{self, CreateOptions};
use crate::error::{Error, Result};
use crate::process::listen_fds::ListenFds;
use crate::sys;

pub(super) const ENTRY: Entry = Entry { name: "create", about: "Create a container from a bundle", args, run };

fn args(command: Command) -> Command {
    common_args(command)
}

/// What `create` and `run` share.
pub(super) fn common_args(command: Command) -> Command {
    command.args([
        id(),
        path("bundle").short('b').help("Directory of config.json [default: the current one]"),
        path("pid-file").help("File to write the pid of the container's process to"),
        path("console-socket").help("Unix socket that the terminal's master end is sent to"),
        switch("no-pivot").help("Do without pivot_root, for a root file system on a ramdisk"),
        switch("no-new-keyring").help("Keep the caller's session keyring"),
        pidfd_socket(),
        preserve_fds(),
        args::timings(),
    ])
}

/// Also `exec` has it.
pub(super) fn pidfd_socket() -> Arg {
    path("pidfd-socket").help("Unix socket that a descriptor of the process is sent to")
}

/// Also `exec` has it.
pub(super) fn preserve_fds() -> Arg {
    option("preserve-fds", "N")
        .value_parser(value_parser!(u32))
        .help("Pass N descriptors, from 3 on, to the container's process [default: 0]")
}

/// How many descriptors are passed on: a supervisor's, and then those asked for.
pub(super) fn preserved(matches: &ArgMatches, listen_fds: Option<&ListenFds>) -> Result<u32> {
    let preserve_fds: u32 = matches.get_one("preserve-fds").copied().unwrap_or_default();
    let sockets = listen_fds.map_or(0, |sockets| sockets.count);
    let all = preserve_fds.saturating_add(sockets);
    let Some(missing) = (0..all).find(|n| !sys::fd::is_inherited(3 + *n as i32)) else { return Ok(all) };
    let what = match missing < sockets {
        true => format!("LISTEN_FDS={sockets}"),
        false => format!("--preserve-fds {preserve_fds}"),
    };
    Err(Error::other(format!("{what}: descriptor {} is not open", 3 + missing)))
}

/// Where a supervisor wants to hear of readiness.
pub(super) fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    container::create::create(&options(global, matches, false)?)?;
    Ok(0)
}

pub(super) fn options(global: &Global, matches: &ArgMatches, foreground: bool) -> Result<CreateOptions> {
    let bundle = path_of(matches, "bundle").filter(|path| !path.as_os_str().is_empty());
    let named = |name| path_of(matches, name).filter(|path| !path.as_os_str().is_empty()).map(args::absolute);
    let listen_fds = ListenFds::inherited()?;
    Ok(CreateOptions {
        root: global.root.clone(),
        id: args::container_id(matches)?,
        bundle: match bundle {
            Some(bundle) => args::absolute(bundle)?,
            None => std::env::current_dir().map_err(|error| Error::other(format!("current directory: {error}")))?,
        },
        pid_file: named("pid-file").transpose()?,
        console_socket: named("console-socket").transpose()?,
        foreground,
        no_pivot: matches.get_flag("no-pivot"),
        no_new_keyring: matches.get_flag("no-new-keyring"),
        pidfd_socket: named("pidfd-socket").transpose()?,
        preserve_fds: preserved(matches, listen_fds.as_ref())?,
        listen_fds,
        notify_socket: notify_socket(),
        rootless: global.rootless,
        driver: global.driver,
    })
}
