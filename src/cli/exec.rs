//! `exec`: runs another process in a container.
//!
//! Runs in: parent

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::args::{self, boolean, option, path, path_of, string, switch};
use super::{Entry, Global, create};
use crate::cgroup::Sub;
use crate::container::ContainerId;
use crate::container::exec::{self, ExecOptions, Source};
use crate::error::{Error, Result};
use crate::log as output;
use crate::process::listen_fds::ListenFds;
use crate::process::overrides::{self, Overrides, UserId};

pub(super) const ENTRY: Entry = Entry { name: "exec", about: "Run another process in a container", args, run };

/// runc's, which leaves every other status to the program.
const FAILURE: i32 = 255;

fn args(command: Command) -> Command {
    let list = |name, value| option(name, value).action(ArgAction::Append);
    command.args([
        path("process").short('p').help("File with the process as JSON, as in config.json"),
        option("cwd", "DIR").help("Working directory [default: as configured]"),
        list("env", "NAME=VALUE").short('e').help("Variable to set besides the configured ones"),
        boolean("tty").short('t').help("Give it a terminal"),
        option("user", "UID[:GID]").short('u').help("Ids to run as [default: as configured]"),
        list("additional-gids", "GID").short('g').value_delimiter(',').help("Further groups"),
        option("process-label", "LABEL").help("SELinux label"),
        option("apparmor", "PROFILE").help("AppArmor profile"),
        boolean("no-new-privs").help("Gain no privileges by executing programs"),
        list("cap", "CAPABILITY").short('c').help("Capability to add to the configured ones"),
        list("cgroup", "[CTRL:]PATH").help("Cgroup below the container's to run in"),
        switch("ignore-paused").help("Also in a paused container, to run once it is resumed"),
        switch("detach").short('d').help("Return once the process runs"),
        path("pid-file").help("File to write the pid of the process to"),
        path("console-socket").help("Unix socket that the terminal's master end is sent to"),
        create::pidfd_socket(),
        create::preserve_fds(),
        args::timings(),
        Arg::new("command")
            .value_names(["CONTAINER-ID", "COMMAND"])
            .required(true)
            .num_args(1..)
            .trailing_var_arg(true)
            .help("Name of the container, and what to run in it"),
    ])
}

fn run(global: &Global, matches: &ArgMatches) -> Result<i32> {
    let done = options(global, matches).and_then(exec::exec);
    Ok(done.unwrap_or_else(|error| {
        output::fatal(&error);
        FAILURE
    }))
}

fn options(global: &Global, matches: &ArgMatches) -> Result<ExecOptions> {
    let mut command = all(matches, "command").into_iter();
    let named = |name| path_of(matches, name).filter(|path| !path.as_os_str().is_empty()).map(args::absolute);
    let listen_fds = ListenFds::inherited()?;
    Ok(ExecOptions {
        root: global.root.clone(),
        id: ContainerId::new(&command.next().unwrap_or_default())?,
        source: match named("process").transpose()? {
            Some(file) => Source::File(file),
            None => Source::Flags(overrides(matches, command.collect())?),
        },
        tools: None,
        detach: matches.get_flag("detach"),
        pid_file: named("pid-file").transpose()?,
        console_socket: named("console-socket").transpose()?,
        pidfd_socket: named("pidfd-socket").transpose()?,
        preserve_fds: create::preserved(matches, listen_fds.as_ref())?,
        listen_fds,
        ignore_paused: matches.get_flag("ignore-paused"),
        cgroups: Sub::parse(&all(matches, "cgroup"))?,
    })
}

/// An empty value is none: engines write that.
fn overrides(matches: &ArgMatches, args: Vec<String>) -> Result<Overrides> {
    let text = |name| string(matches, name).filter(|text| !text.is_empty());
    let gid = |text: &String| {
        overrides::number(text).ok_or_else(|| Error::other(format!("--additional-gids {text:?} is not a group id")))
    };
    Ok(Overrides {
        args,
        cwd: text("cwd").map(str::to_owned),
        env: all(matches, "env"),
        terminal: args::is_true(matches, "tty"),
        user: text("user").map(UserId::parse).transpose()?,
        additional_gids: all(matches, "additional-gids").iter().map(gid).collect::<Result<_>>()?,
        selinux_label: text("process-label").map(str::to_owned),
        apparmor_profile: text("apparmor").map(str::to_owned),
        no_new_privileges: string(matches, "no-new-privs").map(|_| args::is_true(matches, "no-new-privs")),
        capabilities: all(matches, "cap"),
    })
}

fn all(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).map(|values| values.cloned().collect()).unwrap_or_default()
}
