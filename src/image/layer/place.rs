//! Names in a layer: where they lead, and never out of it.
//!
//! Runs in: parent · openat2(2)

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::FileStat;

use crate::error::{Error, On as _, Result};
use crate::sys::{self, path};

/// What the names of whiteouts begin with.
pub(super) const WHITEOUT: &[u8] = b".wh.";

/// A name of the tar, taken apart: absolute ones are the layer's, and none goes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(Vec<CString>);

/// A directory of the layer that an entry goes into.
#[derive(Debug)]
pub(super) struct Spot(OwnedFd);

impl Place {
    pub(super) fn new(name: &[u8]) -> Result<Self> {
        let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        let part = |part: &[u8]| match part {
            b".." => Err(Error::other("a name of the tar leads upwards")),
            _ => CString::new(part).map_err(|_| Error::other("a name of the tar has a NUL byte")),
        };
        parts.map(part).collect::<Result<_>>().map(Self)
    }

    /// About as much memory as it takes.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|part| 64 + part.as_bytes().len()).sum()
    }

    /// The directory it is in, made if it is missing, and its name there; nothing for the root itself.
    pub(super) fn spot(&self, root: BorrowedFd<'_>) -> Result<Option<(Spot, CString)>> {
        let Some((name, parents)) = self.0.split_last() else { return Ok(None) };
        match open(root, parents) {
            Ok(dir) => return Ok(Some((Spot(dir), name.clone()))),
            Err(sys::Error { errno: Errno::ENOENT, .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut dir = open(root, &[])?;
        for depth in 1..=parents.len() {
            dir = match open(root, &parents[..depth]) {
                Err(sys::Error { errno: Errno::ENOENT, .. }) => make(dir.as_fd(), &parents[depth - 1])?,
                opened => opened?,
            };
        }
        Ok(Some((Spot(dir), name.clone())))
    }

    /// Whether something that is no directory is on the way.
    pub(super) fn is_below_a_file(&self, root: BorrowedFd<'_>) -> bool {
        let parents = self.0.split_last().map_or(&[][..], |(_, parents)| parents);
        matches!(open(root, parents), Err(sys::Error { errno: Errno::ENOTDIR, .. }))
    }

    pub(super) fn is_whiteout(&self) -> bool {
        self.0.last().is_some_and(|name| name.to_bytes().starts_with(WHITEOUT))
    }

    /// The same as `spot` without making anything.
    pub(super) fn existing(&self, root: BorrowedFd<'_>) -> Result<Option<(Spot, CString)>> {
        let Some((name, parents)) = self.0.split_last() else { return Ok(None) };
        Ok(Some((Spot(open(root, parents).on(self)?), name.clone())))
    }

    /// The directory itself, if no later entry has taken its place.
    pub(super) fn directory(&self, root: BorrowedFd<'_>) -> Result<Option<OwnedFd>> {
        match open(root, &self.0) {
            Ok(dir) => Ok(Some(dir)),
            Err(sys::Error { errno: Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP, .. }) => Ok(None),
            Err(error) => Err(error.on(self)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&joined(&self.0)))
    }
}

impl Spot {
    /// What has this name there, itself.
    pub(super) fn look(&self, name: &CStr) -> sys::Result<Option<FileStat>> {
        match path::lstatat(self.as_fd(), name) {
            Ok(look) => Ok(Some(look)),
            Err(sys::Error { errno: Errno::ENOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn same_as(&self, other: &Self) -> sys::Result<bool> {
        let (one, another) = (sys::fd::fstat(self.as_fd())?, sys::fd::fstat(other.as_fd())?);
        Ok((one.st_dev, one.st_ino) == (another.st_dev, another.st_ino))
    }
}

impl AsFd for Spot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Links on the way are the layer's own, and lead to places in it.
fn open(root: BorrowedFd<'_>, parts: &[CString]) -> sys::Result<OwnedFd> {
    let name = CString::new(if parts.is_empty() { b".".to_vec() } else { joined(parts) }).unwrap_or_default();
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    path::openat2(root, &name, OFlag::O_PATH | OFlag::O_DIRECTORY, resolve)
}

fn joined(parts: &[CString]) -> Vec<u8> {
    parts.iter().map(|part| part.to_bytes()).collect::<Vec<_>>().join(&b'/')
}

/// Where a dangling link is in the way, this fails.
fn make(parent: BorrowedFd<'_>, name: &CStr) -> sys::Result<OwnedFd> {
    path::mkdirat(parent, name, 0o755)?;
    path::openat(parent, name, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (written, meant) in [("./a//b/", "a/b"), ("/etc/passwd", "etc/passwd"), ("./", ""), ("a/..b", "a/..b")] {
            assert_eq!(Place::new(written.as_bytes()).unwrap().to_string(), meant);
        }
        for bad in ["..", "../a", "a/../b", "/..", "a\0b"] {
            assert!(Place::new(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
