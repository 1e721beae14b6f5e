//! A command under ptrace: the system calls of it and of the processes that it makes, until they become
//! another program. One of the calls can be made to fail, or to be the last of its process.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::errnos;
use crate::harness::runtime::{self, Output, Running};

/// Longer than a command waits for anything, such as a lock.
const HUNG: Duration = Duration::from_secs(45);

/// What happens at a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, when it has been made.
    Kill,
    /// It is not made, and fails.
    Fail(Errno),
}

/// A system call, counted from 0, of a process: 0 is the command, the others are numbered as they appear.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) process: usize,
    pub(super) call: usize,
    pub(super) fault: Fault,
}

/// A system call and the first of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: i64,
    pub(super) args: [u64; 3],
}

impl Call {
    pub(super) fn removes(&self) -> bool {
        [libc::SYS_rmdir, libc::SYS_unlink, libc::SYS_unlinkat].contains(&self.number)
    }
}

/// What a traced command has done.
pub(super) struct Trace {
    pub(super) output: Output,
    /// Where the output of whoever lives on still arrives.
    pub(super) running: Running,
    /// The calls of each process.
    pub(super) calls: Vec<Vec<Call>>,
    pub(super) pids: Vec<Pid>,
    pub(super) hung: bool,
    pub(super) time: Duration,
}

/// Runs a command, and `also` under the same eyes, to the command's end.
pub(super) fn trace(dir: &Path, command: Command, also: Option<Pid>, point: Option<Point>) -> Trace {
    // The end of the thread that traces is the end of all tracing: who is still there goes on unseen.
    std::thread::scope(|scope| scope.spawn(|| begin(dir, command, also, point)).join().unwrap())
}

fn begin(dir: &Path, mut command: Command, also: Option<Pid>, point: Option<Point>) -> Trace {
    #[allow(unsafe_code)]
    // SAFETY: between fork and exec, ptrace(PTRACE_TRACEME) is a mere system call.
    unsafe {
        command.pre_exec(|| Ok(ptrace::traceme()?));
    }
    let started = Instant::now();
    let running = runtime::spawn_command(dir, command);
    let main = Pid::from_raw(running.pid());
    let mut tracer = Tracer { processes: vec![Process::new(main)], point };
    let hung = AtomicBool::new(false);
    let code = std::thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        scope.spawn(|| {
            let is_done = is_done;
            if is_done.recv_timeout(HUNG) == Err(RecvTimeoutError::Timeout) {
                hung.store(true, Ordering::Relaxed);
                kill(main, Signal::SIGKILL).unwrap();
            }
        });
        tracer.take(main, also);
        let code = tracer.follow(main);
        tracer.let_go();
        drop(done);
        code
    });
    Trace {
        output: Output { code, stdout: running.stdout(), stderr: running.stderr() },
        running,
        pids: tracer.processes.iter().map(|process| process.pid).collect(),
        calls: tracer.processes.into_iter().map(|process| process.calls).collect(),
        hung: hung.into_inner(),
        time: started.elapsed(),
    }
}

struct Tracer {
    processes: Vec<Process>,
    point: Option<Point>,
}

struct Process {
    pid: Pid,
    calls: Vec<Call>,
    /// Still to stop for the first time.
    is_new: bool,
}

impl Process {
    fn new(pid: Pid) -> Self {
        Self { pid, calls: Vec::new(), is_new: true }
    }
}

impl Tracer {
    /// The command, which stops when it has been executed, and a process that runs already.
    fn take(&mut self, main: Pid, also: Option<Pid>) {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        assert_eq!(waitpid(main, None), Ok(WaitStatus::Stopped(main, Signal::SIGTRAP)));
        ptrace::setoptions(main, options).unwrap();
        self.processes[0].is_new = false;
        if let Some(pid) = also {
            ptrace::seize(pid, options).unwrap();
            ptrace::interrupt(pid).unwrap();
            self.processes.push(Process { is_new: false, ..Process::new(pid) });
        }
        go_on(main, None);
    }

    /// To the end of the command: its exit status, or 128 and the signal.
    fn follow(&mut self, main: Pid) -> i32 {
        // Not the other children of this program, which are the other tests'.
        let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(ours)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == main => return code,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => return 128 + signal as i32,
                Ok(WaitStatus::PtraceSyscall(pid)) => self.at_call(pid),
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => self.at_event(pid, event, pid == main),
                Ok(WaitStatus::Stopped(pid, signal)) => {
                    let process = self.process(pid);
                    // A new process begins with a SIGSTOP that nobody has sent.
                    let first = std::mem::replace(&mut self.processes[process].is_new, false);
                    go_on(pid, Some(signal).filter(|_| !first));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => panic!("waitpid: {errno}"),
            }
        }
    }

    /// Who has not had its first stop yet would stop for good, with nobody left to tell it to go on.
    fn let_go(&self) {
        for process in self.processes.iter().filter(|process| process.is_new) {
            if let Ok(WaitStatus::Stopped(pid, _)) = waitpid(process.pid, Some(WaitPidFlag::__WALL)) {
                let _ = ptrace::detach(pid, None);
            }
        }
    }

    fn process(&mut self, pid: Pid) -> usize {
        let known = self.processes.iter().position(|process| process.pid == pid);
        known.unwrap_or_else(|| {
            self.processes.push(Process::new(pid));
            self.processes.len() - 1
        })
    }

    fn at_event(&mut self, pid: Pid, event: i32, is_main: bool) {
        match event {
            libc::PTRACE_EVENT_EXEC if !is_main => {
                // A hook, or the container's program: not what is looked at.
                let _ = ptrace::detach(pid, None);
                return;
            }
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                if let Ok(child) = ptrace::getevent(pid) {
                    self.process(Pid::from_raw(child as i32));
                }
            }
            _ => {}
        }
        go_on(pid, None);
    }

    fn at_call(&mut self, pid: Pid) {
        let process = self.process(pid);
        let goes_on = match ptrace::syscall_info(pid) {
            Ok(info) if info.op == libc::PTRACE_SYSCALL_INFO_ENTRY => self.enter(pid, process),
            Ok(_) => self.leave(pid, process),
            // Killed meanwhile.
            Err(_) => return,
        };
        if goes_on.unwrap_or(false) {
            go_on(pid, None);
        }
    }

    fn enter(&mut self, pid: Pid, process: usize) -> nix::Result<bool> {
        let mut registers = ptrace::getregs(pid)?;
        let number = registers.orig_rax.cast_signed();
        self.processes[process].calls.push(Call { number, args: [registers.rdi, registers.rsi, registers.rdx] });
        if let Some(Fault::Fail(_)) = self.fault(process) {
            match number {
                // Fails by returning what was the end before.
                libc::SYS_brk => registers.rdi = 0,
                // Closes even when it fails.
                libc::SYS_close => {}
                _ => registers.orig_rax = u64::MAX,
            }
            ptrace::setregs(pid, registers)?;
        }
        Ok(true)
    }

    fn leave(&mut self, pid: Pid, process: usize) -> nix::Result<bool> {
        match self.fault(process) {
            Some(Fault::Kill) => {
                kill(pid, Signal::SIGKILL)?;
                return Ok(false);
            }
            Some(Fault::Fail(errno)) if !self.is_brk(process) => {
                let mut registers = ptrace::getregs(pid)?;
                registers.rax = (-(errno as i64)).cast_unsigned();
                ptrace::setregs(pid, registers)?;
            }
            _ => {}
        }
        Ok(true)
    }

    fn is_brk(&self, process: usize) -> bool {
        self.processes[process].calls.last().is_some_and(|call| call.number == libc::SYS_brk)
    }

    /// What happens at the present call of a process. It need not be the same call each time, if one before
    /// was interrupted.
    fn fault(&self, process: usize) -> Option<Fault> {
        let calls = &self.processes[process].calls;
        let point = self.point.filter(|point| point.process == process && point.call + 1 == calls.len())?;
        match point.fault {
            Fault::Fail(errno) if !errnos::plausible(calls.last()?).contains(&errno) => None,
            fault => Some(fault),
        }
    }
}

/// Who is gone meanwhile was killed, which another event tells.
fn go_on(pid: Pid, signal: Option<Signal>) {
    match ptrace::syscall(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("ptrace(PTRACE_SYSCALL, {pid}): {errno}"),
    }
}
