//! The command line, compatible with runc's: global options, the table of commands, and the exit
//! code.
//!
//! Runs in: parent
//!
//! Engines call commands far more often than people do, so a command's own options are built only
//! when it is the one called (`Command::defer`).

mod args;
mod build;
mod bundle;
mod checkpoint;
mod commit;
mod create;
mod dashes;
mod debug;
mod delete;
mod diff;
mod doctor;
mod events;
mod exec;
mod explain;
mod features;
mod image;
mod kill;
mod list;
#[cfg(test)]
mod manual;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;
mod validate;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command};
use log::LevelFilter;
use serde::Serialize;

use crate::cgroup::Driver;
use crate::container::Rootless;
use crate::error::code::Code;
use crate::error::{Error, On as _, Result};
use crate::host;
use crate::log::{self as output, Format};
use crate::sys::Call as _;
use crate::timings;
use args::{boolean, option, path, string, switch};

/// Exit code of every failure, as runc's.
const FAILURE: i32 = 1;

/// What applies to every command.
#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) root: PathBuf,
    pub(crate) rootless: Rootless,
    pub(crate) driver: Driver,
}

/// A row of the command table.
struct Entry {
    name: &'static str,
    about: &'static str,
    args: fn(Command) -> Command,
    run: fn(&Global, &ArgMatches) -> Result<i32>,
}

const COMMANDS: &[Entry] = &[
    create::ENTRY,
    start::ENTRY,
    state::ENTRY,
    kill::ENTRY,
    delete::ENTRY,
    pause::PAUSE,
    pause::RESUME,
    exec::ENTRY,
    debug::ENTRY,
    ps::ENTRY,
    events::ENTRY,
    checkpoint::CHECKPOINT,
    checkpoint::RESTORE,
    run::ENTRY,
    list::ENTRY,
    update::ENTRY,
    spec::ENTRY,
    features::ENTRY,
    validate::ENTRY,
    explain::ENTRY,
    doctor::ENTRY,
    image::ENTRY,
    bundle::ENTRY,
    diff::ENTRY,
    commit::ENTRY,
    build::ENTRY,
];

/// Runs the command that the arguments name.
pub(crate) fn main() -> i32 {
    let command = command();
    let arguments = dashes::normalise(std::env::args_os(), &command, passing_on);
    let result = match command.try_get_matches_from(&arguments) {
        Ok(matches) => dispatch(&matches),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => print(&error.to_string()).map(|()| 0),
        Err(error) => Err(usage(&error, &arguments)),
    };
    let status = result.unwrap_or_else(|error| {
        output::fatal(&error);
        FAILURE
    });
    if let Err(error) = timings::finish() {
        log::warn!("--timings: {error}");
    }
    status
}

fn command() -> Command {
    let command = Command::new("orlop")
        .about("A low-level OCI container runtime")
        .args_override_self(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .subcommand_value_name("COMMAND")
        .args([
            path("root").help("Directory of the containers' state [default: /run/orlop]"),
            path("log").help("File that messages are appended to [default: standard error]"),
            option("log-format", "FORMAT").value_parser(["text", "json"]).help("Format of the log [default: text]"),
            option("log-level", "LEVEL").help("error, warning, info or debug [default: warning]"),
            switch("debug").help("The same as --log-level debug"),
            option("cgroup-manager", "MANAGER")
                .help("Who manages cgroups: cgroupfs, systemd or disabled [default: cgroupfs]"),
            boolean("systemd-cgroup").help("The same as --cgroup-manager systemd"),
            option("rootless", "WHEN")
                .value_parser(["auto", "true", "false"])
                .help("Do without cgroups that may not be used [default: auto]"),
            args::timings(),
            switch("version").short('v').help("Print version"),
        ]);
    COMMANDS.iter().fold(command, |command, entry| {
        command.subcommand(Command::new(entry.name).about(entry.about).defer(entry.args))
    })
}

/// The command of this name, if what follows its container is for another program.
fn passing_on(name: &OsStr) -> Option<Command> {
    let entry = [exec::ENTRY, ps::ENTRY].into_iter().find(|entry| name == entry.name)?;
    Some((entry.args)(Command::new(entry.name)))
}

fn dispatch(matches: &ArgMatches) -> Result<i32> {
    init_log(matches)?;
    if matches.get_flag("version") {
        return print(&version()).map(|()| 0);
    }
    let Some((name, matches_of_command)) = matches.subcommand() else {
        return Err(Error::other("a command is missing: `orlop --help` lists them").code_is(Code::Usage));
    };
    if let Some(target) = timings_target(matches, matches_of_command) {
        timings::start(&target, name)?;
    }
    let global = Global {
        root: root(matches)?,
        rootless: match string(matches, "rootless") {
            Some("true") => Rootless::Yes,
            Some("false") => Rootless::No,
            _ => Rootless::Auto,
        },
        driver: Driver::parse(string(matches, "cgroup-manager"), args::is_true(matches, "systemd-cgroup"))?,
    };
    match COMMANDS.iter().find(|entry| entry.name == name) {
        Some(entry) => (entry.run)(&global, matches_of_command),
        None => Err(Error::other(format!("unknown command {name:?}"))),
    }
}

/// `--timings`, else `ORLOP_TIMINGS`.
fn timings_target(global: &ArgMatches, command: &ArgMatches) -> Option<PathBuf> {
    let of_command = command.try_get_one::<PathBuf>("timings").ok().flatten();
    let given = of_command.map(PathBuf::as_path).or_else(|| args::path_of(global, "timings"));
    given
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("ORLOP_TIMINGS").map(PathBuf::from))
        .filter(|path| !path.as_os_str().is_empty())
}

fn is_called_root() -> bool {
    nix::unistd::geteuid().is_root() && std::env::var_os("USER").is_some_and(|user| user == "root")
}

fn init_log(matches: &ArgMatches) -> Result<()> {
    let format = if string(matches, "log-format") == Some("json") { Format::Json } else { Format::Text };
    let level = match string(matches, "log-level") {
        _ if matches.get_one("debug") == Some(&true) => LevelFilter::Debug,
        None => LevelFilter::Warn,
        Some("warn") => LevelFilter::Warn,
        Some(name) => level(name).ok_or_else(|| Error::other(format!("--log-level: unknown level {name:?}")))?,
    };
    output::init(args::path_of(matches, "log").filter(|path| !path.as_os_str().is_empty()), format, level)
}

fn level(name: &str) -> Option<LevelFilter> {
    match name.to_ascii_lowercase().as_str() {
        "error" => Some(LevelFilter::Error),
        "warn" | "warning" => Some(LevelFilter::Warn),
        "info" => Some(LevelFilter::Info),
        "debug" => Some(LevelFilter::Debug),
        "trace" => Some(LevelFilter::Trace),
        _ => None,
    }
}

/// `--root`, else the runtime directory of the machine or, for a plain user, of the user. Rootless
/// podman calls us as root of a user namespace, which still is that user to the host; who calls
/// himself root there has a machine of his own.
fn root(matches: &ArgMatches) -> Result<PathBuf> {
    if let Some(root) = args::path_of(matches, "root").filter(|root| !root.as_os_str().is_empty()) {
        return args::absolute(root);
    }
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    Ok(match runtime_dir {
        Some(dir) if !host::is_host_root() && !is_called_root() => PathBuf::from(dir).join("orlop"),
        _ => "/run/orlop".into(),
    })
}

/// The lines that engines parse: runc's.
fn version() -> String {
    let commit = option_env!("ORLOP_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
    let libseccomp = crate::spec::features::libseccomp_version();
    format!(
        "orlop version {}\ncommit: {commit}\nspec: {}\nlibseccomp: {libseccomp}\n",
        env!("CARGO_PKG_VERSION"),
        crate::spec::VERSION
    )
}

/// What is wrong with the arguments is one line in the log, like every error: as far as the
/// arguments say where that is.
fn usage(error: &clap::Error, arguments: &[OsString]) -> Error {
    if let Ok(matches) = command().ignore_errors(true).try_get_matches_from(arguments) {
        let _ = init_log(&matches);
    }
    Error::other(args::one_line(&error.to_string())).code_is(Code::Usage)
}

/// Prints a command's result. Rust's own `main` would flush buffers at the end; ours does not.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).call("write").on("standard output")
}

/// Prints a JSON document, indented as runc's are.
fn print_json(document: &impl Serialize) -> Result<i32> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Error::other(error.to_string()))?;
    print(&(text + "\n")).map(|()| 0)
}

/// Prints a JSON document on one line, for those who read line by line.
fn print_json_line(document: &impl Serialize) -> Result<i32> {
    let text = serde_json::to_string(document).map_err(|error| Error::other(error.to_string()))?;
    print(&(text + "\n")).map(|()| 0)
}
