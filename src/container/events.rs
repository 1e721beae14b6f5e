//! `events`: a stream of what happens to a container: statistics, want of memory, and its end.
//!
//! Runs in: parent
//!
//! One thread, which waits for the first of: the container's end, a notice of the kernel, the next
//! round of statistics, and nobody reading any more.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::kernel_log::{self, KernelLog, Victim};
use super::record::Init;
use super::{Container, Status, kill, status};
use crate::cgroup::{Cgroup, Notice, OomNotices, Stats};
use crate::error::{Error, On as _, Result};
use crate::seccomp;
use crate::sys::{self, Call as _, pidfd};

/// As runc prints them; `exit` is ours.
#[derive(Debug, Serialize)]
pub(crate) struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Stats(Box<Stats>),
    Oom(Victim),
    Exit(Exit),
}

/// Why the container has ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exit {
    reason: &'static str,
    /// Of the first process; 128 + n if signal n ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// What its seccomp filter killed it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    syscall: Option<String>,
}

/// One event, of a container that has not stopped.
pub(crate) fn stats(container: &Container) -> Result<Stats> {
    alive(container)?;
    Cgroup::open(&container.record.cgroup).stats()
}

impl<'a> Event<'a> {
    pub(crate) fn stats(container: &'a Container, stats: Stats) -> Self {
        Self { kind: "stats", id: &container.record.id, data: Some(Data::Stats(Box::new(stats))) }
    }

    fn oom(container: &'a Container, victim: Option<Victim>) -> Self {
        Self { kind: "oom", id: &container.record.id, data: victim.map(Data::Oom) }
    }

    fn exit(container: &'a Container, exit: Exit) -> Self {
        Self { kind: "exit", id: &container.record.id, data: Some(Data::Exit(exit)) }
    }
}

fn alive(container: &Container) -> Result<Init> {
    let ended = || Error::state(&container.record.id, "container is not running");
    match container.status()? {
        Status::Stopped => Err(ended()),
        _ => container.record.init.ok_or_else(ended),
    }
}

/// Tells everything until the container's first process ends, or nobody reads any more.
pub(crate) fn follow(
    container: &Container,
    interval: Duration,
    tell: &mut dyn FnMut(&Event<'_>) -> Result<()>,
) -> Result<()> {
    let init = alive(container)?;
    let cgroup = Cgroup::open(&container.record.cgroup);
    cgroup.require("events")?;
    let Some(process) = kill::open_init(init)? else {
        return Err(Error::state(&container.record.id, "container is not running"));
    };
    let mut watch = Watch {
        process,
        notices: cgroup.oom_notices()?,
        kills: cgroup.oom_kills().unwrap_or(0),
        oom: false,
        log: KernelLog::open(),
        records: Vec::new(),
    };
    let mut next = Instant::now() + interval;
    loop {
        let happened = watch.wait(next)?;
        if watch.notice(&cgroup, happened.ended) {
            tell(&Event::oom(container, watch.victim(&cgroup)))?;
        }
        if happened.ended {
            return tell(&Event::exit(container, exit(init, &mut watch)));
        }
        if happened.unread {
            return Ok(());
        }
        if Instant::now() >= next {
            // Late, rather than several at once after the machine has slept.
            next = (next + interval).max(Instant::now());
            match cgroup.stats() {
                Ok(stats) => tell(&Event::stats(container, stats))?,
                Err(error) => log::warn!("{error}"),
            }
        }
    }
}

/// What is waited for.
struct Watch {
    process: OwnedFd,
    notices: Option<OomNotices>,
    /// As far as is known; the last figure outlives the cgroup.
    kills: u64,
    /// Whether there was an out-of-memory condition at all.
    oom: bool,
    /// As far as it may be read.
    log: Option<KernelLog>,
    /// What it has said since the last notice.
    records: Vec<String>,
}

struct Happened {
    ended: bool,
    unread: bool,
}

impl Watch {
    fn wait(&self, until: Instant) -> Result<Happened> {
        let mut fds = vec![
            PollFd::new(self.process.as_fd(), PollFlags::POLLIN),
            PollFd::new(sys::fd::standard(1), PollFlags::empty()),
        ];
        fds.extend(self.notices.iter().map(|notices| PollFd::new(notices.as_fd(), notices.poll_flags())));
        // Rounded up: or we would wake a little early, again and again.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        sys::retry(|| poll(&mut fds, timeout)).call("poll").on("events")?;
        let flags = |index: usize| fds.get(index).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        Ok(Happened {
            ended: flags(0).contains(PollFlags::POLLIN),
            unread: flags(1).intersects(PollFlags::POLLERR | PollFlags::POLLNVAL),
        })
    }

    fn read_log(&mut self) {
        self.records = self.log.as_ref().map_or_else(Vec::new, KernelLog::records);
    }

    fn victim(&mut self, cgroup: &Cgroup) -> Option<Victim> {
        self.read_log();
        kernel_log::victim(&self.records, &cgroup.memory_path()?)
    }

    /// Whether there is an out-of-memory condition to tell of. At the end, the counter knows what a
    /// notice that is still under way would say.
    fn notice(&mut self, cgroup: &Cgroup, last: bool) -> bool {
        let notice = self.notices.as_mut().map_or(Notice::Nothing, OomNotices::take);
        if notice == Notice::End {
            self.notices = None;
        }
        let before = self.kills;
        if notice != Notice::Nothing || last {
            self.kills = cgroup.oom_kills().unwrap_or(before);
        }
        let told = notice == Notice::Oom || (last && !self.oom && self.kills > before);
        self.oom |= told;
        told
    }
}

/// The kernel's last word on the first process: while it is a zombie in /proc, afterwards (Linux 6.15)
/// through its descriptor.
fn exit(init: Init, watch: &mut Watch) -> Exit {
    let wait_status = status::exit_code(init).or_else(|| pidfd::exit_code(watch.process.as_fd()));
    let mut exit = Exit::new(wait_status, watch.oom);
    if exit.signal == Some(libc::SIGSYS) {
        watch.read_log();
        exit.syscall = kernel_log::forbidden_call(&watch.records, init.pid).and_then(seccomp::name_of);
    }
    exit
}

impl Exit {
    /// From a status as waitpid(2) has it.
    fn new(wait_status: Option<i32>, oom: bool) -> Self {
        let Some(status) = wait_status else { return Self::default() };
        let signal = status & 0x7f;
        if signal == 0 {
            return Self { reason: "exited", exit_status: Some(status >> 8 & 0xff), ..Self::default() };
        }
        let reason = match signal {
            libc::SIGKILL if oom => "oom",
            libc::SIGSYS => "seccomp",
            _ => "signal",
        };
        Self { reason, exit_status: Some(128 + signal), signal: Some(signal), syscall: None }
    }
}

impl Default for Exit {
    fn default() -> Self {
        Self { reason: "unknown", exit_status: None, signal: None, syscall: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let exit = |status, oom| {
            let Exit { reason, exit_status, signal, .. } = Exit::new(status, oom);
            (reason, exit_status, signal)
        };
        assert_eq!(exit(Some(3 << 8), false), ("exited", Some(3), None));
        assert_eq!(exit(Some(0), true), ("exited", Some(0), None));
        assert_eq!(exit(Some(9), false), ("signal", Some(137), Some(9)));
        assert_eq!(exit(Some(9), true), ("oom", Some(137), Some(9)));
        assert_eq!(exit(Some(31 | 0x80), false), ("seccomp", Some(159), Some(31)));
        assert_eq!(exit(None, true), ("unknown", None, None));
    }
}
