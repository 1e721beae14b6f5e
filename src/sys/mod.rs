//! System calls: the only place with `unsafe`, and the one vocabulary for nix, libc and raw calls.
//!
//! Runs in: both
//!
//! Functions are named after their system call, take `BorrowedFd` and return `OwnedFd`, retry
//! EINTR where the call may be repeated, and fail with the name of the call and its errno. Who
//! calls them adds the object (`.on(path)`) and the property.

pub(crate) mod bpf;
pub(crate) mod clone;
pub(crate) mod exe;
pub(crate) mod exec;
pub(crate) mod fd;
pub(crate) mod ids;
pub(crate) mod landlock;
pub(crate) mod mempolicy;
pub(crate) mod mount;
pub(crate) mod net;
pub(crate) mod netlink;
pub(crate) mod ns;
pub(crate) mod path;
pub(crate) mod pidfd;
pub(crate) mod prctl;
pub(crate) mod probe;
pub(crate) mod ptrace;
pub(crate) mod sched;
pub(crate) mod seccomp;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod stdio;
pub(crate) mod tty;
pub(crate) mod wait;
pub(crate) mod waiter;
pub(crate) mod xattr;

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// A failed system call; two words, so that the good path pays nothing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) call: &'static str,
    pub(crate) errno: Errno,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Names the call of a result that nix or `Errno::result` gave.
pub(crate) trait Call<T> {
    fn call(self, call: &'static str) -> Result<T>;
}

impl<T> Call<T> for nix::Result<T> {
    fn call(self, call: &'static str) -> Result<T> {
        self.map_err(|errno| Error { call, errno })
    }
}

impl<T> Call<T> for std::io::Result<T> {
    fn call(self, call: &'static str) -> Result<T> {
        self.map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            Error { call, errno }
        })
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// A path or string for the kernel. One with a NUL inside cannot name anything.
pub(crate) fn c_string(bytes: impl AsRef<[u8]>) -> Result<CString> {
    CString::new(bytes.as_ref()).map_err(|_| Error { call: "NUL byte in a string", errno: Errno::EINVAL })
}

pub(crate) fn c_path(path: &Path) -> Result<CString> {
    c_string(path.as_os_str().as_bytes())
}

/// The empty path, for calls that then act on the descriptor itself.
pub(crate) const EMPTY: &CStr = c"";
