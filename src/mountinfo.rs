//! The table of mounts: what is mounted where in this process's mount namespace.
//!
//! Runs in: parent · proc_pid_mountinfo(5)

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use crate::error::{On as _, Result};
use crate::sys::Call as _;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The type of its file system: `ext4`, `fuse.sshfs`.
    pub(crate) kind: String,
    pub(crate) point: PathBuf,
}

/// In the order of the table: a later mount at the same point hides an earlier one.
pub(crate) fn read() -> Result<Vec<Entry>> {
    let path = "/proc/self/mountinfo";
    let table = std::fs::read_to_string(path).call("read").on(path)?;
    Ok(parse(&table))
}

pub(crate) fn parse(table: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        Some(Entry { kind: filesystem.split(' ').next()?.to_owned(), point: unescape(point) })
    };
    table.lines().filter_map(entry).collect()
}

/// Blanks and backslashes are written as three octal digits: `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let octal = others.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_points() {
        let table = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     35 22 0:31 /a /mnt/with\\040blank rw master:2 shared:3 - fuse.sshfs host: rw\nnonsense\n";
        let entry = |kind: &str, point: &str| Entry { kind: kind.into(), point: point.into() };
        assert_eq!(parse(table), [entry("ext4", "/"), entry("fuse.sshfs", "/mnt/with blank")]);
        assert_eq!(unescape(r"\134040\"), PathBuf::from(r"\040\"));
    }
}
