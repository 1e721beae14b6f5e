//! Files by descriptor and relative path; the one look-up that is safe in a hostile tree.
//!
//! Runs in: both

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};

use super::{Call as _, Error, Result, retry};

/// How often a look-up is repeated that a concurrent rename disturbed (openat2(2), EAGAIN). Who
/// keeps renaming for longer than that is attacking.
const TRIES: usize = 1000;

pub(crate) fn open(path: &CStr, flags: OFlag) -> Result<OwnedFd> {
    retry(|| nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty())).call("open")
}

pub(crate) fn openat(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, mode: u32) -> Result<OwnedFd> {
    retry(|| nix::fcntl::openat(dir, path, flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(mode))).call("openat")
}

pub(crate) fn openat2(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, resolve: ResolveFlag) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    for _ in 0..TRIES {
        match nix::fcntl::openat2(dir, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result.call("openat2"),
        }
    }
    Err(Error { call: "openat2", errno: Errno::EAGAIN })
}

pub(crate) fn mkdirat(dir: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<()> {
    nix::sys::stat::mkdirat(dir, path, Mode::from_bits_truncate(mode)).call("mkdirat")
}

pub(crate) fn mknodat(dir: BorrowedFd<'_>, path: &CStr, kind: SFlag, mode: u32, device: u64) -> Result<()> {
    nix::sys::stat::mknodat(dir, path, kind, Mode::from_bits_truncate(mode), device).call("mknodat")
}

pub(crate) fn symlinkat(target: &CStr, dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    nix::unistd::symlinkat(target, dir, path).call("symlinkat")
}

pub(crate) fn readlinkat(dir: BorrowedFd<'_>, path: &CStr) -> Result<PathBuf> {
    nix::fcntl::readlinkat(dir, path).call("readlinkat").map(PathBuf::from)
}

pub(crate) fn unlinkat(dir: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    nix::unistd::unlinkat(dir, path, nix::unistd::UnlinkatFlags::NoRemoveDir).call("unlinkat")
}

/// Of the name itself, not of what a symbolic link there points to.
pub(crate) fn lstatat(dir: BorrowedFd<'_>, path: &CStr) -> Result<FileStat> {
    nix::sys::stat::fstatat(dir, path, AtFlags::AT_SYMLINK_NOFOLLOW).call("fstatat")
}

/// Owner of what an `O_PATH` descriptor refers to, which fchown(2) would refuse.
pub(crate) fn chown(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: an empty, NUL-terminated path and AT_EMPTY_PATH: the call acts on `fd` itself.
    let result = unsafe { libc::fchownat(fd.as_raw_fd(), super::EMPTY.as_ptr(), uid, gid, libc::AT_EMPTY_PATH) };
    Errno::result(result).call("fchownat").map(drop)
}

/// Follows a symbolic link at `name`: only for a directory that nobody else can reach.
pub(crate) fn chmodat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    let mode = Mode::from_bits_truncate(mode);
    nix::sys::stat::fchmodat(dir, name, mode, nix::sys::stat::FchmodatFlags::FollowSymlink).call("fchmodat")
}

pub(crate) fn fchdir(fd: BorrowedFd<'_>) -> Result<()> {
    nix::unistd::fchdir(fd).call("fchdir")
}
