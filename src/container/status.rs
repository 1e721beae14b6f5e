//! Where a container is in its life, from its record, its first process and its start socket.
//!
//! Runs in: parent · runtime.md#state, #lifecycle

use std::fmt::{self, Display};
use std::fs::File;
use std::io::Read as _;

use nix::errno::Errno;
use nix::unistd::Pid;
use serde::Serialize;

use super::Container;
use super::record::Init;
use super::state::START_SOCKET;
use crate::cgroup::Cgroup;
use crate::error::{On as _, Result};
use crate::sys::{self, Call as _};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    /// No status of the spec's, but every engine's.
    Paused,
    Stopped,
}

impl Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

impl Container {
    pub(crate) fn status(&self) -> Result<Status> {
        let Some(init) = self.record.init else {
            // A create that was killed has let go of its lock.
            return Ok(if self.dir.is_locked()? { Status::Creating } else { Status::Stopped });
        };
        match living(init)? {
            None => Ok(Status::Stopped),
            // Also one that is still to be started: who starts it would wait for a frozen init.
            Some(_) if Cgroup::open(&self.record.cgroup).is_frozen()? => Ok(Status::Paused),
            // A start that was killed, or could not write, may have left its socket.
            Some(stat) if self.dir.holds(START_SOCKET)? && (!stat.has_executed() || waits(init.pid)) => {
                Ok(Status::Created)
            }
            Some(_) => Ok(Status::Running),
        }
    }

    /// Init's pid, while there is an init.
    pub(crate) fn pid(&self, status: Status) -> Option<i32> {
        self.record.init.filter(|_| status != Status::Stopped).map(|init| init.pid)
    }
}

/// Whether this very process runs: not a zombie, not another one with the same pid.
pub(crate) fn is_alive(init: Init) -> Result<bool> {
    living(init).map(|stat| stat.is_some())
}

fn living(init: Init) -> Result<Option<Stat>> {
    let is_init = |stat: &Stat| stat.is_alive() && stat.start_time == init.start_time;
    let read = || match Stat::read(init.pid) {
        // Gone before the file was opened, or while it was read; or this /proc is no use.
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ESRCH) && is_gone(init.pid) => Ok(None),
        stat => stat.map(|stat| Some(stat).filter(is_init)),
    };
    // Another process may just have got its pid.
    read().or_else(|_| read()).on(format_args!("/proc/{}/stat", init.pid))
}

/// Whether it executes the small program that waits for `start`. Who may not look goes by the socket.
fn waits(pid: i32) -> bool {
    match std::fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(program) => program.as_os_str() == "/memfd:orlop (deleted)",
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

fn is_gone(pid: i32) -> bool {
    nix::sys::signal::kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

/// How this very process has ended, as waitpid(2) would tell its parent: while it is a zombie.
pub(crate) fn exit_code(init: Init) -> Option<i32> {
    let stat = Stat::read(init.pid).ok()?;
    (stat.start_time == init.start_time && !stat.is_alive()).then_some(stat.exit_code)
}

/// The parent of a process, while there is one.
pub(super) fn parent(pid: i32) -> Option<i32> {
    Stat::read(pid).ok().map(|stat| stat.parent)
}

/// When a process started, for its record.
pub(crate) fn start_time(pid: i32) -> Result<u64> {
    let stat = Stat::read(pid).on(format_args!("/proc/{pid}/stat"))?;
    Ok(stat.start_time)
}

/// What proc_pid_stat(5) tells about a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    state: u8,
    parent: i32,
    flags: u32,
    threads: u64,
    start_time: u64,
    exit_code: i32,
}

impl Stat {
    /// Longest: 52 numbers of up to 20 digits.
    const LONGEST: usize = 2048;

    /// PF_FORKNOEXEC of the kernel's sched.h: cloned, and not executed anything since.
    const NOT_EXECUTED: u32 = 0x40;

    fn read(pid: i32) -> sys::Result<Self> {
        let file = File::open(format!("/proc/{pid}/stat")).call("open")?;
        let mut text = [0; Self::LONGEST];
        let length = (&file).read(&mut text).call("read")?;
        Self::parse(&text[..length]).ok_or(sys::Error { call: "read", errno: Errno::EBADMSG })
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        // The name is in parentheses, and may itself hold blanks and parentheses.
        let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
        let rest = std::str::from_utf8(&text[after_name..]).ok()?;
        // The state is the third field of the file.
        let mut fields = rest.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let flags = fields.nth(9 - 5)?.parse().ok()?;
        let threads = fields.nth(20 - 10)?.parse().ok()?;
        let start_time = fields.nth(22 - 21)?.parse().ok()?;
        let exit_code = fields.nth(52 - 23)?.parse().ok()?;
        Some(Self { state, parent, flags, threads, start_time, exit_code })
    }

    /// A zombie with threads is a process whose main thread alone has ended.
    fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    /// Init becomes the container's program by execve.
    fn has_executed(&self) -> bool {
        self.flags & Self::NOT_EXECUTED == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a) b (c)) S 1 4242 4242 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 3 0 98765 1000 10 \
                        18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 256";

    #[test]
    fn the_name_may_hold_anything() {
        let stat = Stat::parse(STAT.as_bytes()).unwrap();
        assert_eq!(
            stat,
            Stat { state: b'S', parent: 1, flags: 4_194_560, threads: 3, start_time: 98765, exit_code: 256 }
        );
        let latin1 = [b"1 (\xff\xfe) R", &STAT.as_bytes()[17..]].concat();
        assert_eq!(Stat::parse(&latin1).unwrap().start_time, 98765);
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"1 (x) S 1 2"), None);
    }

    /// RT-09
    #[test]
    fn a_zombie_is_not_alive_unless_it_has_threads() {
        for (state, threads, alive) in
            [(b'R', 1, true), (b'T', 1, true), (b'Z', 1, false), (b'Z', 0, false), (b'Z', 2, true), (b'X', 0, false)]
        {
            assert_eq!(
                Stat { state, parent: 1, flags: 0, threads, start_time: 0, exit_code: 0 }.is_alive(),
                alive,
                "{}",
                char::from(state)
            );
        }
    }

    #[test]
    fn a_child_that_has_executed_nothing_yet() {
        let stat = Stat::parse(STAT.replace(" 4194560 ", " 4194624 ").as_bytes()).unwrap();
        assert!(!stat.has_executed());
        assert!(Stat::parse(STAT.as_bytes()).unwrap().has_executed());
    }

    #[test]
    fn another_process_with_the_same_pid_is_another_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let init = Init { pid, start_time: start_time(pid).unwrap() };
        assert!(is_alive(init).unwrap());
        assert!(!is_alive(Init { start_time: init.start_time + 1, ..init }).unwrap());
    }
}
