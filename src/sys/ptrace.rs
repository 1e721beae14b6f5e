//! ptrace(2), as far as it takes to see what one system call of another process returns.
//!
//! Runs in: parent · PTRACE_GET_SYSCALL_INFO Linux 5.3

use libc::c_long;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{Call as _, Error, Result, retry};

/// A process that stops where we say, and dies if we do before we let it go.
#[derive(Debug)]
pub(crate) struct Tracee(Pid);

impl Tracee {
    /// Stops the process where it is; a system call that it waits in is resumed later.
    pub(crate) fn attach(pid: i32) -> Result<Self> {
        let pid = Pid::from_raw(pid);
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options).call("ptrace(PTRACE_SEIZE)")?;
        ptrace::interrupt(pid).call("ptrace(PTRACE_INTERRUPT)")?;
        let tracee = Self(pid);
        tracee.wait()?;
        Ok(tracee)
    }

    /// Lets it run until its next call of this number has returned, and says what.
    pub(crate) fn run_until_returned(&self, call: c_long) -> Result<nix::Result<i64>> {
        let mut entered = false;
        let mut signal = None;
        loop {
            ptrace::syscall(self.0, signal.take()).call("ptrace(PTRACE_SYSCALL)")?;
            match self.wait()? {
                WaitStatus::PtraceSyscall(_) => match self.system_call()? {
                    SystemCall::Entered(number) => entered = number == call,
                    SystemCall::Returned(result) if entered => return Ok(result),
                    SystemCall::Returned(_) => {}
                },
                WaitStatus::Stopped(_, received) => signal = Some(received),
                _ => {}
            }
        }
    }

    pub(crate) fn detach(self) -> Result<()> {
        ptrace::detach(self.0, None::<Signal>).call("ptrace(PTRACE_DETACH)")
    }

    /// Its next stop; ESRCH if it has ended instead.
    fn wait(&self) -> Result<WaitStatus> {
        match retry(|| waitpid(self.0, Some(WaitPidFlag::__WALL))).call("waitpid")? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => Err(Error { call: "waitpid", errno: Errno::ESRCH }),
            status => Ok(status),
        }
    }

    fn system_call(&self) -> Result<SystemCall> {
        // SAFETY: integers only, for which all zeroes is a valid value.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        let (pid, size) = (self.0.as_raw(), size_of_val(&info));
        // SAFETY: the kernel writes at most `size` bytes into `info`.
        let result = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info) };
        Errno::result(result).call("ptrace(PTRACE_GET_SYSCALL_INFO)")?;
        // SAFETY: `op` says which member of the union the kernel has filled in.
        Ok(unsafe {
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY => SystemCall::Entered(info.u.entry.nr as c_long),
                _ if info.u.exit.is_error != 0 => {
                    SystemCall::Returned(Err(Errno::from_raw(info.u.exit.sval.wrapping_neg() as i32)))
                }
                _ => SystemCall::Returned(Ok(info.u.exit.sval)),
            }
        })
    }
}

enum SystemCall {
    Entered(c_long),
    Returned(nix::Result<i64>),
}
