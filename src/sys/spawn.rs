//! Starts a program and returns as soon as it runs, or as soon as it is known why it cannot.
//!
//! Runs in: both (hooks of the parent, and of init, which may not use std's `Command`)
//!
//! A child that shares our memory until it has executed: nothing of it is copied, and what failed
//! is left in a variable, so no pipe is needed. glibc's `clone` gives the child a stack of its own,
//! without which a shared address space would not survive.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::{mem, ptr};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Call as _, Error, Result, retry, signal};

/// What to execute, and what it gets.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) path: &'a CStr,
    pub(crate) args: &'a [CString],
    pub(crate) env: &'a [CString],
    /// Where it starts, if that exists; else, and with `None`, where we are.
    pub(crate) directory: Option<&'a CStr>,
    pub(crate) stdin: BorrowedFd<'a>,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
    /// Flags and program of a seccomp filter that it runs under.
    pub(crate) filter: Option<(u32, &'a [libc::sock_filter])>,
}

/// A running program: leader of a session and process group of its own. Readable once it exited.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Child {
    /// Kills it and whatever it started that is still in its process group.
    pub(crate) fn kill_group(&self) -> Result<()> {
        // Not reaped yet, so the number is still its own; `Program::spawn` returned after setsid.
        kill(Pid::from_raw(-self.pid.as_raw()), Signal::SIGKILL).call("kill")
    }

    /// Waits for its end and reaps it.
    pub(crate) fn wait(self) -> Result<WaitStatus> {
        retry(|| waitpid(self.pid, None)).call("waitpid")
    }
}

/// Enough for a few system calls: glibc's `posix_spawn` takes as much.
const STACK: usize = 32 * 1024;

impl Program<'_> {
    /// Fails with the call that failed in the child, most often `execve`.
    pub(crate) fn spawn(&self) -> Result<Child> {
        let argv = pointers(self.args);
        let envp = pointers(self.env);
        let mut entry = Entry {
            path: self.path.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            directory: self.directory.map_or(ptr::null(), CStr::as_ptr),
            stdio: [self.stdin.as_raw_fd(), self.stdout.as_raw_fd(), self.stderr.as_raw_fd()],
            filter: self.filter,
            failed: None,
        };
        keep_exit_statuses()?;
        // No handler of ours may run in a child that shares our memory.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).call("rt_sigprocmask")?;
        let child = clone(&mut entry);
        mask.thread_set_mask().call("rt_sigprocmask")?;
        let child = child?;
        match entry.failed {
            None => Ok(child),
            Some(error) => {
                child.wait()?;
                Err(error)
            }
        }
    }
}

/// The same strings as `execve` wants them.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// A caller that ignores SIGCHLD passes that on to us, and children would leave no status.
fn keep_exit_statuses() -> Result<()> {
    // SAFETY: sigaction only writes to `action`, for which all zeroes is a valid value.
    let ignored = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        Errno::result(libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut action)).call("rt_sigaction")?;
        action.sa_sigaction == libc::SIG_IGN
    };
    if ignored {
        signal::default_action(libc::SIGCHLD)?;
    }
    Ok(())
}

/// Returns when the child has executed or exited (CLONE_VFORK).
fn clone(entry: &mut Entry<'_>) -> Result<Child> {
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
    let mut pidfd: RawFd = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack (16-byte aligned, growing down) and `entry` outlive the child's use of them, as
    // we are suspended until it leaves our memory; signals are blocked; `enter` makes system calls only.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity());
        libc::clone(enter, top.cast(), flags, ptr::from_mut(entry).cast(), &raw mut pidfd)
    };
    let pid = Errno::result(pid).call("clone")?;
    // SAFETY: clone succeeded with CLONE_PIDFD, so this is a new descriptor (CLOEXEC) that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: Pid::from_raw(pid), pidfd })
}

/// What the child needs, and its answer.
struct Entry<'a> {
    path: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    directory: *const c_char,
    stdio: [RawFd; 3],
    filter: Option<(u32, &'a [libc::sock_filter])>,
    failed: Option<Error>,
}

/// The child. It may not allocate, panic or touch anything of the parent but its `Entry`.
extern "C" fn enter(entry: *mut c_void) -> c_int {
    // SAFETY: `clone` passed a valid Entry and is suspended, so this is the only reference to it.
    let entry = unsafe { &mut *entry.cast::<Entry<'_>>() };
    entry.failed = Some(entry.execute());
    127
}

impl Entry<'_> {
    /// Returns only if it fails.
    fn execute(&self) -> Error {
        let fail = |call| Error { call, errno: Errno::last() };
        // SAFETY: system calls on integers and on strings that outlive the call (see `clone`). The
        // descriptors are the child's own: CLONE_FILES is not set. 0, 1 and 2 are open since main, so
        // those of `stdio` lie above them and survive each other's dup2.
        unsafe {
            libc::setsid();
            for (to, from) in self.stdio.into_iter().enumerate() {
                if libc::dup2(from, to as RawFd) < 0 {
                    return fail("dup2");
                }
            }
            // Ours are CLOEXEC; this is for what our caller let us inherit (ENOSYS before Linux 5.9).
            let _ = super::fd::close_range(3, u32::MAX);
            if !self.directory.is_null() {
                libc::chdir(self.directory);
            }
            signal::reset();
            if let Some((flags, program)) = self.filter
                && let Err(error) = super::seccomp::set_mode_filter(flags, program)
            {
                return error;
            }
            libc::execve(self.path, self.argv, self.envp);
        }
        fail("execve")
    }
}
