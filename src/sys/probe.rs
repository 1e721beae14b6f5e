//! Whether the kernel has a system call: it is made with arguments that cannot do anything.
//!
//! Runs in: parent (`doctor`)

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::clone::{ChildOf, Process, clone3, exit_now};
use super::{Result, retry};

/// A system call, and the version of Linux that brought it.
#[derive(Debug)]
pub(crate) struct Syscall {
    pub(crate) name: &'static str,
    pub(crate) since: &'static str,
    number: libc::c_long,
}

const fn call(name: &'static str, since: &'static str, number: libc::c_long) -> Syscall {
    Syscall { name, since, number }
}

/// Without which no container is made.
pub(crate) const NEEDED: &[Syscall] = &[
    call("open_tree", "5.2", libc::SYS_open_tree),
    call("move_mount", "5.2", libc::SYS_move_mount),
    call("fsopen", "5.2", libc::SYS_fsopen),
    call("fsconfig", "5.2", libc::SYS_fsconfig),
    call("fsmount", "5.2", libc::SYS_fsmount),
    call("pidfd_open", "5.3", libc::SYS_pidfd_open),
    call("clone3", "5.3", libc::SYS_clone3),
    call("openat2", "5.6", libc::SYS_openat2),
    call("close_range", "5.9", libc::SYS_close_range),
    call("mount_setattr", "5.12", libc::SYS_mount_setattr),
];

/// Of use for one property or another.
pub(crate) const USEFUL: &[Syscall] = &[
    call("seccomp", "3.17", libc::SYS_seccomp),
    call("pidfd_getfd", "5.6", libc::SYS_pidfd_getfd),
    call("landlock_create_ruleset", "5.13", libc::SYS_landlock_create_ruleset),
];

impl Syscall {
    /// ENOSYS is also what a seccomp filter around us may say.
    pub(crate) fn exists(&self) -> bool {
        // SAFETY: each call of the lists above takes -1 for a descriptor, pid or pointer, or for the first of an
        // empty range, and fails before it touches anything.
        let result = unsafe { libc::syscall(self.number, -1, 0, 0, 0, 0, 0) };
        Errno::result(result) != Err(Errno::ENOSYS)
    }
}

/// Whether `act` succeeds in a child with new namespaces, which ends with it.
pub(crate) fn in_child(namespaces: CloneFlags, act: impl FnOnce() -> bool) -> Result<bool> {
    match clone3(namespaces, ChildOf::Caller, None)? {
        Process::Child => exit_now(i32::from(!act())),
        Process::Parent { child, .. } => {
            let status = retry(|| nix::sys::wait::waitpid(child, None));
            Ok(matches!(status, Ok(nix::sys::wait::WaitStatus::Exited(_, 0))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_no_kernel_has() {
        assert!(!call("none", "never", 0x7fff).exists());
        assert!(NEEDED.iter().all(Syscall::exists), "{NEEDED:?}");
    }
}
