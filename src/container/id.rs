//! Container ids: one path component, safe to print and to name a cgroup after.
//!
//! Runs in: parent · runtime.md#create ("the ID MUST be unique", RT-42)

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};

/// Longest id: a file name's limit, less what a systemd unit or a temporary name adds.
const LONGEST: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerId(String);

impl ContainerId {
    pub(crate) fn new(id: &str) -> Result<Self> {
        let problem = if id.is_empty() {
            "it is empty"
        } else if id.len() > LONGEST {
            "it is longer than 200 characters"
        } else if id == "." || id == ".." {
            "it names a directory"
        } else if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-.".contains(&b)) {
            "only letters, digits and the characters _ + - . are allowed"
        } else {
            return Ok(Self(id.to_owned()));
        };
        Err(Error::other(format!("invalid container ID {id:?}: {problem}")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for ContainerId {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RT-42
    #[test]
    fn ids() {
        for good in ["a", "A-1_b+c.d", "...", ".hidden", &"x".repeat(LONGEST)] {
            assert!(ContainerId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/", "a b", "a\n", "a\0", "é", &"x".repeat(LONGEST + 1)] {
            assert!(ContainerId::new(bad).is_err(), "{bad:?}");
        }
    }
}
