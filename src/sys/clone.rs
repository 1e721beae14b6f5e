//! clone3: one child, its pid and a descriptor of it.
//!
//! Runs in: parent · clone3 Linux 5.3, CLONE_INTO_CGROUP 5.7

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::{Call as _, Result};

/// The whole of it: libc's constant for Linux is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which of the two processes returned.
#[derive(Debug)]
pub(crate) enum Process {
    Parent { child: Pid, pidfd: OwnedFd },
    Child,
}

/// Whose child the new process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildOf {
    Caller,
    /// `CLONE_PARENT`: a sibling of the caller, so that it outlives it and is reaped by its parent.
    CallersParent,
}

/// Forks with new namespaces, straight into a cgroup (v2) where one is given.
///
/// The program has to be single-threaded: only then may the child go on using all of it.
pub(crate) fn clone3(namespaces: CloneFlags, child_of: ChildOf, cgroup: Option<BorrowedFd<'_>>) -> Result<Process> {
    let threads = || std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().count();
    debug_assert!(threads() < 2, "clone in a threaded program");
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all-zero is the documented default of every field of clone_args.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces.bits() as u64 | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    match child_of {
        ChildOf::Caller => args.exit_signal = libc::SIGCHLD as u64,
        ChildOf::CallersParent => args.flags |= libc::CLONE_PARENT as u64,
    }
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has its own copy of the memory and, as the program has one
    // thread, no lock in it is held by somebody who is gone; `args` and `pidfd` outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) };
    match Errno::result(result).call("clone3")? {
        0 => Ok(Process::Child),
        pid => Ok(Process::Parent {
            child: Pid::from_raw(pid as libc::pid_t),
            // SAFETY: the kernel has stored a new descriptor, which nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Ends this process without running anything: neither destructors nor exit handlers, which are
/// the parent's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(status) }
}
