//! Processes by descriptor: unlike a pid, it cannot come to mean another process.
//!
//! Runs in: parent · pidfd_open and poll on it Linux 5.3

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::{Call as _, Error, Result, fd, retry};

/// The process that has this pid now; ESRCH where there is none.
pub(crate) fn open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: takes two integers and makes a descriptor.
    match fd::own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }, "pidfd_open") {
        // Gone, but its number still is that of a session or process group (before Linux 6.15).
        Err(error) if error.errno == Errno::EINVAL => Err(Error { errno: Errno::ESRCH, ..error }),
        result => result,
    }
}

/// A copy of one of its descriptors (Linux 5.6). Needs the rights of a debugger (ptrace(2)).
pub(crate) fn getfd(pidfd: BorrowedFd<'_>, number: i32) -> Result<OwnedFd> {
    // SAFETY: takes integers and makes a descriptor.
    fd::own(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) }, "pidfd_getfd")
}

/// Sends a signal, which may be a real-time one; 0 only asks whether that would be allowed.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: with a null siginfo the kernel fills in its own, as kill(2) does.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0) };
    Errno::result(result).call("pidfd_send_signal").map(drop)
}

/// Waits for the end of a process, child or not; says whether it came within the time.
pub(crate) fn wait(pidfd: BorrowedFd<'_>, time: Duration) -> Result<bool> {
    let deadline = Instant::now() + time;
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let ready = retry(|| {
        let left = deadline.saturating_duration_since(Instant::now());
        nix::poll::poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX))
    });
    Ok(ready.call("poll")? > 0)
}
