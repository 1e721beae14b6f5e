//! Short forms for building and reading options.
//!
//! Runs in: parent

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::container::ContainerId;
use crate::error::{On as _, Result};
use crate::sys::Call as _;

/// `--name VALUE` or `--name=VALUE`; given several times, the last counts.
pub(super) fn option(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value)
}

/// An option whose value need not be UTF-8.
pub(super) fn path(name: &'static str) -> Arg {
    option(name, "PATH").value_parser(value_parser!(PathBuf))
}

/// Before the name of any command, and after that of those that take long. clap's global options would be copied to
/// every command that there is, whichever is called.
pub(super) fn timings() -> Arg {
    path("timings").help("File for the times of all phases, as Chrome trace events; - for a chart")
}

pub(super) fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

/// A flag of Go's: `--name`, `--name=true`, `--name=0`; engines write any of them.
pub(super) fn boolean(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(["true", "false", "True", "False", "TRUE", "FALSE", "t", "f", "T", "F", "1", "0"])
        .hide_possible_values(true)
}

pub(super) fn is_true(matches: &ArgMatches, name: &str) -> bool {
    string(matches, name).is_some_and(|value| value == "1" || value.starts_with(['t', 'T']))
}

/// The container that the command is about.
pub(super) fn id() -> Arg {
    Arg::new("id").value_name("CONTAINER-ID").required(true).help("Name of the container")
}

pub(super) fn string<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}

pub(super) fn path_of<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a Path> {
    matches.get_one::<PathBuf>(name).map(PathBuf::as_path)
}

pub(super) fn container_id(matches: &ArgMatches) -> Result<ContainerId> {
    ContainerId::new(string(matches, "id").unwrap_or_default())
}

/// A path as given, relative to the current directory, symbolic links and all.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).call("getcwd").on(path.display())
}

/// The first paragraph of what clap has to say: the rest is advice, and engines show one line.
pub(super) fn one_line(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let lines = message.lines().take_while(|line| !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_have_a_value() {
        let command = || clap::Command::new("orlop").arg(boolean("on")).args_override_self(true).arg(id());
        let parse = |arguments: &[&str]| {
            let words = ["orlop"].iter().chain(arguments).chain(&["name"]).copied();
            command().try_get_matches_from(words).map(|matches| is_true(&matches, "on"))
        };
        for (arguments, expected) in [
            ([].as_slice(), false),
            (&["--on"], true),
            (&["--on=true"], true),
            (&["--on=1"], true),
            (&["--on=false"], false),
            (&["--on", "--on=F"], false),
        ] {
            assert_eq!(parse(arguments).unwrap(), expected, "{arguments:?}");
        }
        assert!(parse(&["--on=maybe"]).is_err());
    }

    #[test]
    fn usage_errors_are_one_line() {
        let clap = "error: the following required arguments were not provided:\n  <ID>\n\nUsage: orlop state <ID>\n";
        assert_eq!(one_line(clap), "the following required arguments were not provided: <ID>");
    }
}
