//! Namespaces: joining, making, and telling their type.
//!
//! Runs in: both

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::{Call as _, Result};

pub(crate) fn unshare(flags: CloneFlags) -> Result<()> {
    nix::sched::unshare(flags).call("unshare")
}

pub(crate) fn setns(namespace: BorrowedFd<'_>, kind: CloneFlags) -> Result<()> {
    nix::sched::setns(namespace, kind).call("setns")
}

/// The `CLONE_NEW*` flag of what an open namespace file is; fails on other files.
pub(crate) fn namespace_type(namespace: BorrowedFd<'_>) -> Result<CloneFlags> {
    // SAFETY: NS_GET_NSTYPE takes no argument and touches no memory.
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_NSTYPE) };
    Errno::result(result).map(CloneFlags::from_bits_retain).call("ioctl(NS_GET_NSTYPE)")
}
