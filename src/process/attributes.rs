//! What a security module (LSM) is told through `/proc/thread-self/attr`.
//!
//! Runs in: both (opened in parent, written to in init) · proc_pid_attr(5)
//!
//! The caller's procfs is opened before there is a container, and looked into by descriptor: whatever
//! an image, a volume or a container's processes put at its /proc, links and copies of these files
//! included, is never seen (CVE-2019-16884, CVE-2019-19921, CVE-2023-28642, CVE-2025-52881).

use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::fcntl::{OFlag, ResolveFlag};

use crate::sys::{self, Result};

/// The root directory of a procfs.
#[derive(Debug)]
pub(super) struct Attributes(OwnedFd);

impl Attributes {
    /// Parent: the caller's.
    pub(super) fn open() -> Result<Self> {
        let proc = sys::path::open(c"/proc", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        sys::fd::check_procfs(proc.as_fd())?;
        Ok(Self(proc))
    }

    /// Init: of the calling thread, by a path below that directory.
    pub(super) fn write(&self, path: &CStr, value: &[u8]) -> Result<()> {
        // thread-self is a link, but an ordinary one.
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV;
        let file = sys::path::openat2(self.0.as_fd(), path, OFlag::O_WRONLY, resolve)?;
        sys::fd::check_procfs(file.as_fd())?;
        sys::fd::write(file.as_fd(), value)
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::sys::Error;

    #[test]
    fn only_a_procfs_is_written_to() {
        let proc = Attributes::open().unwrap();
        // A file that takes anything from its own thread.
        proc.write(c"thread-self/comm", b"renamed").unwrap();
        assert_eq!(std::fs::read_to_string("/proc/thread-self/comm").unwrap(), "renamed\n");
        let elsewhere = std::env::temp_dir().join(format!("orlop-attributes-{}", std::process::id()));
        std::fs::create_dir_all(elsewhere.join("thread-self")).unwrap();
        std::fs::write(elsewhere.join("thread-self/comm"), "").unwrap();
        let fake = Attributes(std::fs::File::open(&elsewhere).unwrap().into());
        let error = fake.write(c"thread-self/comm", b"x").unwrap_err();
        assert_eq!(error, Error { call: "fstatfs: no procfs", errno: Errno::ENXIO });
        assert_eq!(std::fs::read_to_string(elsewhere.join("thread-self/comm")).unwrap(), "");
        std::fs::remove_dir_all(elsewhere).unwrap();
    }

    #[test]
    fn links_to_other_file_systems_are_not_followed() {
        let proc = Attributes::open().unwrap();
        for path in [c"thread-self/root/tmp/x", c"thread-self/cwd/x", c"../tmp/x"] {
            assert!(proc.write(path, b"x").is_err(), "{path:?}");
        }
    }
}
