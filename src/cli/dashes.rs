//! Go's flag syntax made palatable for clap.
//!
//! Runs in: parent
//!
//! Go's parser takes `-name` for `--name`, and containerd writes `-no-subreaper`. Clap would read
//! that as a bundle of short options, which Go does not have.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::Command;

/// Gives long options their second dash. What follows the container's id in `exec` and `ps` is
/// another program's business; `passing_on` describes such a command.
pub(super) fn normalise(
    arguments: impl Iterator<Item = OsString>,
    global: &Command,
    passing_on: impl Fn(&OsStr) -> Option<Command>,
) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.collect();
    let end = own_words(&arguments, global, passing_on);
    for argument in arguments[..end].iter_mut().take_while(|argument| *argument != "--") {
        if is_long_with_one_dash(argument.as_bytes()) {
            let mut long = OsString::from("-");
            long.push(&argument);
            *argument = long;
        }
    }
    arguments
}

/// How many words there are before the id of `exec`: all of them for most commands.
fn own_words(arguments: &[OsString], global: &Command, passing_on: impl Fn(&OsStr) -> Option<Command>) -> usize {
    let id = || {
        let at = operand(arguments, 1, global)?;
        operand(arguments, at + 1, &passing_on(&arguments[at])?)
    };
    id().unwrap_or(arguments.len())
}

/// The first word from `at` on that is neither an option nor the value of one.
fn operand(arguments: &[OsString], mut at: usize, command: &Command) -> Option<usize> {
    loop {
        let word = arguments.get(at)?.as_bytes();
        if word.len() < 2 || word[0] != b'-' {
            return Some(at);
        }
        at += if takes_a_word(command, word) { 2 } else { 1 };
    }
}

/// Whether the value of an option is the next word.
fn takes_a_word(command: &Command, option: &[u8]) -> bool {
    let name = String::from_utf8_lossy(option);
    let name = name.trim_start_matches('-');
    let mut letters = name.chars();
    let short = letters.next().filter(|_| letters.next().is_none() && option[1] != b'-');
    let found = command.get_arguments().find(|argument| {
        if short.is_some() { argument.get_short() == short } else { argument.get_long() == Some(name) }
    });
    found.is_some_and(|argument| argument.get_action().takes_values() && !argument.is_require_equals_set())
}

fn is_long_with_one_dash(argument: &[u8]) -> bool {
    let Some(name) = argument.strip_prefix(b"-") else { return false };
    let name = name.split(|&byte| byte == b'=').next().unwrap_or_default();
    name.len() > 1 && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-') && name[0] != b'-'
}

#[cfg(test)]
mod tests {
    use super::super::{command, passing_on};
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let arguments = line.split(' ').map(OsString::from);
        let normal = normalise(arguments, &command(), passing_on);
        normal.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn one_dash_is_as_good_as_two() {
        for (written, meant) in [
            ("orlop -no-subreaper", "orlop --no-subreaper"),
            ("orlop -root=/a", "orlop --root=/a"),
            ("orlop --root=/a", "orlop --root=/a"),
            ("orlop -b", "orlop -b"),
            ("orlop -b=/a", "orlop -b=/a"),
            ("orlop -", "orlop -"),
            ("orlop -9 name", "orlop -9 name"),
            ("orlop -- -root", "orlop -- -root"),
            ("orlop kill name -all", "orlop kill name --all"),
        ] {
            assert_eq!(words(written).join(" "), meant);
        }
    }

    /// Whatever looks like an option in the command of `exec` is not ours.
    #[test]
    fn the_command_of_exec_is_left_alone() {
        for (written, meant) in [
            ("orlop exec x ls -la -user", "orlop exec x ls -la -user"),
            ("orlop -root exec exec -tty -cwd / x ls -la", "orlop --root exec exec --tty --cwd / x ls -la"),
            ("orlop exec -e A=-b -d x find -name y", "orlop exec -e A=-b -d x find -name y"),
            ("orlop exec -u1000 -tty=true x ls -la", "orlop exec -u1000 --tty=true x ls -la"),
            ("orlop exec -e=A --env B=1 x ls -la", "orlop exec -e=A --env B=1 x ls -la"),
            ("orlop exec -pid-file f -p g x", "orlop exec --pid-file f -p g x"),
            ("orlop exec -detach", "orlop exec --detach"),
            ("orlop -root ps ps -format json x -ef", "orlop --root ps ps --format json x -ef"),
        ] {
            assert_eq!(words(written).join(" "), meant);
        }
    }
}
