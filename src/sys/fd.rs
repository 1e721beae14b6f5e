//! Descriptors: reading, writing, closing, and what they refer to.
//!
//! Runs in: both

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::FileStat;

use super::{Call as _, Result, retry};

/// Writes the whole buffer in one call, as cgroup, procfs and sysctl files want it.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let written = retry(|| nix::unistd::write(fd, bytes)).call("write")?;
    if written == bytes.len() { Ok(()) } else { Err(super::Error { call: "write", errno: Errno::EIO }) }
}

pub(crate) fn fstat(fd: BorrowedFd<'_>) -> Result<FileStat> {
    nix::sys::stat::fstat(fd).call("fstat")
}

/// What an `O_PATH` descriptor refers to, to be read.
pub(crate) fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    super::path::open(&super::c_string(format!("/proc/self/fd/{}", fd.as_raw_fd()))?, OFlag::O_RDONLY)
}

/// The magic number of the file system that the descriptor lives on.
pub(crate) fn filesystem(fd: BorrowedFd<'_>) -> Result<i64> {
    Ok(nix::sys::statfs::fstatfs(fd).call("fstatfs")?.filesystem_type().0)
}

/// Fails unless the descriptor is of a procfs.
pub(crate) fn check_procfs(fd: BorrowedFd<'_>) -> Result<()> {
    const PROC_SUPER_MAGIC: i64 = 0x9fa0;
    match filesystem(fd)? {
        PROC_SUPER_MAGIC => Ok(()),
        _ => Err(super::Error { call: "fstatfs: no procfs", errno: Errno::ENXIO }),
    }
}

/// Puts `fd` where a program expects standard input, output or error.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, target: RawFd) -> Result<()> {
    // SAFETY: dup2 on open descriptors; whatever `target` was is closed, and nothing in this
    // program owns one of 0..=2 as an `OwnedFd`.
    Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), target) }).call("dup2").map(drop)
}

/// Closes every descriptor from `first` on, but for one.
pub(crate) fn close_all_but(first: u32, kept: BorrowedFd<'_>) -> Result<()> {
    let kept = kept.as_raw_fd().cast_unsigned();
    if kept > first {
        close_range(first, kept - 1)?;
    }
    close_range(first.max(kept + 1), u32::MAX)
}

pub(crate) fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: asked for by init and by the children that become hooks, of numbers that no `OwnedFd`
    // used afterwards holds.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    Errno::result(result).call("close_range").map(drop)
}

/// Has execve close every descriptor from `first` on.
pub(crate) fn close_on_exec_from(first: u32) -> Result<()> {
    // SAFETY: nothing is closed now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Errno::result(result).call("close_range").map(drop)
}

/// Has execve leave this one open.
pub(crate) fn keep_on_exec(fd: BorrowedFd<'_>) -> Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).call("fcntl(F_SETFD)").map(drop)
}

/// Closes a descriptor that belongs to code which this child of ours will never return to.
pub(crate) fn close_in_child(fd: BorrowedFd<'_>) {
    // SAFETY: the owner is not used and not dropped in this process any more (see `init::run`), so
    // nothing here refers to the number afterwards.
    unsafe { libc::close(fd.as_raw_fd()) };
}

/// Takes over a descriptor that a system call has just made.
pub(super) fn own(result: libc::c_long, call: &'static str) -> Result<OwnedFd> {
    let fd = Errno::result(result).call(call)?;
    // SAFETY: the call succeeded, so it returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Whether the caller handed this descriptor down to us: it is open and, unlike all of ours, is not
/// closed by execve.
pub(crate) fn is_inherited(fd: RawFd) -> bool {
    // SAFETY: F_GETFD reads a flag and touches no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// Standard input, output and error, which are open from `main` on.
pub(crate) fn standard(fd: RawFd) -> BorrowedFd<'static> {
    debug_assert!((0..=2).contains(&fd));
    // SAFETY: `main` opens 0, 1 and 2 where the caller had closed them, and nothing closes them.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// A file in memory with this content, for somebody else to read from its beginning.
pub(crate) fn memory(name: &std::ffi::CStr, content: &[u8]) -> Result<OwnedFd> {
    let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC).call("memfd_create")?;
    nix::sys::uio::pwrite(&fd, content, 0).call("pwrite")?;
    Ok(fd)
}

/// All that a file holds, from its beginning on.
pub(crate) fn contents(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(fstat(fd)?.st_size).unwrap_or(0)];
    let length = nix::sys::uio::pread(fd, &mut content, 0).call("pread")?;
    content.truncate(length);
    Ok(content)
}
