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

/// The kernel's `struct pidfd_info` as it began (Linux 6.13).
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

const INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(0xFF, 11, struct pidfd_info)`
const GET_INFO: libc::Ioctl = 0xc040_ff0b_u32 as libc::Ioctl;

/// How a process has ended that somebody has waited for since, as waitpid(2) has told them. Linux 6.15;
/// none before.
pub(crate) fn exit_code(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the number says how long the structure is, which the kernel reads and writes.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) };
    (result == 0 && info.mask & INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_has_no_exit_code() {
        let own = open(std::process::id().cast_signed()).unwrap();
        assert_eq!(size_of::<Info>(), 64);
        assert_eq!(exit_code(own.as_fd()), None);
    }

    #[test]
    fn the_exit_code_of_a_child_that_was_waited_for() {
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
        let pidfd = open(child.id().cast_signed()).unwrap();
        child.wait().unwrap();
        // None before Linux 6.15.
        assert!(matches!(exit_code(pidfd.as_fd()), Some(0x300) | None));
    }
}
