//! The cgroup of a container that exists: its processes, signals, the freezer, removal.
//!
//! Runs in: parent · runtime.md#kill, runtime.md#delete (RT-56, RT-57)

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

use super::path::PROPERTY;
use super::tree::{gone, processes};
use super::{Driver, Group, Record, Version, driver, file, freezer, oom, path, systemd, tree};
use crate::error::{Error, On as _, Result};
use crate::sys::{Call as _, pidfd};

/// How long delete waits for killed processes to be gone.
const REMOVAL: Duration = Duration::from_secs(10);

/// v1: the hierarchies whose list of processes stands for the container, best first. The freezer
/// holds still what it lists; the others cannot be left by accident.
const TRACKERS: [&str; 5] = ["freezer", "devices", "name=systemd", "memory", "pids"];

/// How long processes are killed anew that cannot be frozen, and so may fork meanwhile.
const KILLING: Duration = Duration::from_secs(10);
/// How long until another look at who has forked.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Cgroup {
    driver: Driver,
    pub(super) unit: Option<String>,
    pub(super) groups: Vec<Group>,
}

impl Cgroup {
    pub(crate) fn open(record: &Record) -> Self {
        Self { driver: record.driver, unit: record.unit.clone(), groups: record.groups.clone() }
    }

    /// For commands that are about the cgroup itself (`pause`, `events`, `update`): refuses where the
    /// container has none of its own.
    pub(crate) fn require(&self, command: &str) -> Result<()> {
        if self.groups.is_empty() { Err(driver::none(self.driver, command)) } else { Ok(()) }
    }

    /// The processes in it and in all cgroups below it.
    pub(crate) fn pids(&self) -> Result<Vec<Pid>> {
        self.tracker().map_or(Ok(Vec::new()), |group| processes(&group.dir))
    }

    /// Whether there is one to tell the container's processes by.
    pub(crate) fn is_managed(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether it can be held still: a v1 host need not mount the freezer.
    pub(crate) fn has_freezer(&self) -> bool {
        self.freezer().is_some()
    }

    /// Sends a signal to every process in it; none escapes by forking.
    pub(crate) fn kill(&self, signal: i32) -> Result<()> {
        let Some(group) = self.tracker() else { return Ok(()) };
        match (group.version, signal) {
            (Version::V2, libc::SIGKILL) => match file::write_path(&group.dir.join("cgroup.kill"), "1") {
                Err(error) if gone(&error) => Ok(()),
                result => result,
            },
            (Version::V1, libc::SIGKILL) => uninterrupted(|| self.kill_v1(group)),
            _ => uninterrupted(|| self.signal_all(group, signal)),
        }
    }

    /// To all while they are frozen; what was frozen before stays so.
    fn signal_all(&self, group: &Group, signal: i32) -> Result<()> {
        let was_frozen = self.is_frozen()?;
        if !was_frozen {
            self.freeze()?;
        }
        let sent = send_all(group, signal);
        let thawed = if was_frozen { Ok(()) } else { self.thaw() };
        sent.and(thawed)
    }

    /// Without a freezer, or while something in it does not freeze, again until there is nobody left.
    fn kill_v1(&self, group: &Group) -> Result<()> {
        let deadline = Instant::now() + KILLING;
        while Instant::now() < deadline {
            let frozen = self.has_freezer() && self.freeze().is_ok();
            let sent = send_all(group, libc::SIGKILL);
            let thawed = self.thaw_to_be_killed();
            sent.and(thawed)?;
            if frozen || self.pids()?.is_empty() {
                return Ok(());
            }
            tree::await_exits(&group.dir, Instant::now() + LOOK)?;
        }
        Err(Errno::ETIMEDOUT).call("kill").on(group.dir.display())
    }

    pub(crate) fn is_frozen(&self) -> Result<bool> {
        self.freezer().map_or(Ok(false), freezer::is_frozen)
    }

    /// All of it, or none and an error.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.freezer().map_or(Ok(()), freezer::freeze)
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        self.freezer().map_or(Ok(()), freezer::thaw)
    }

    /// Lets SIGKILL through to whoever is frozen, which on v1 it does not do by itself.
    pub(crate) fn thaw_to_be_killed(&self) -> Result<()> {
        self.freezer().map_or(Ok(()), freezer::thaw_to_be_killed)
    }

    /// Removes what `create` made, with cgroups that the container made in it; parents only when
    /// nobody else uses them. What is gone already is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        if let Some(unit) = &self.unit {
            systemd::release(unit);
        }
        let deadline = Instant::now() + REMOVAL;
        self.groups.iter().try_for_each(|group| tree::remove(group, deadline))
    }

    /// Its path in the hierarchy that counts memory, as the kernel writes it.
    pub(crate) fn memory_path(&self) -> Option<PathBuf> {
        let group = self.find("memory")?;
        let below = group.dir.strip_prefix(path::STANDARD).ok()?;
        let mut parts = below.components();
        if group.version == Version::V1 {
            parts.next();
        }
        Some(Path::new("/").join(parts.as_path()))
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(super) fn tracker(&self) -> Option<&Group> {
        TRACKERS.iter().find_map(|name| self.find(name)).or(self.groups.first())
    }

    fn freezer(&self) -> Option<&Group> {
        self.find("freezer")
    }

    /// Names the memory limit as the reason of a failure, if it was.
    pub(crate) fn explain(&self, error: Error) -> Error {
        oom::explain(self.find("memory"), error)
    }

    pub(super) fn find(&self, controller: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.version == Version::V2 || group.controls(controller))
    }
}

impl Group {
    pub(super) fn controls(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|name| name == controller)
    }
}

/// A cgroup that was there before the container may be used if nobody is in it and it is not frozen
/// (LNX-48): a second container's processes would share limits, signals and end. A threaded one has
/// no list of processes, and controllers for threads only.
pub(super) fn check_vacant(group: &Group) -> Result<()> {
    let dir = group.dir.display();
    if let Some(pid) = processes(&group.dir)?.first() {
        return Err(PROPERTY.invalid(format!("{dir} is not empty: process {pid} is in it")));
    }
    if (group.version == Version::V2 || group.controls("freezer")) && freezer::is_frozen(group)? {
        return Err(PROPERTY.invalid(format!("{dir} is frozen")));
    }
    match kind(group).as_deref() {
        Some("threaded") => Err(PROPERTY.invalid(format!("{dir} is a threaded cgroup"))),
        _ => Ok(()),
    }
}

/// Whether a process is in this very cgroup.
pub(super) fn holds(group: &Group, pid: Pid) -> Result<bool> {
    let list = file::read_path(&group.dir.join("cgroup.procs"))?;
    Ok(list.lines().any(|line| line.parse() == Ok(pid.as_raw())))
}

/// v2: `domain`, `threaded` and so on.
fn kind(group: &Group) -> Option<String> {
    let path = group.dir.join("cgroup.type");
    (group.version == Version::V2).then(|| file::read_value(&path).ok()).flatten()
}

/// Why the kernel lets no process into a cgroup of v2.
pub(super) fn explain(group: &Group, error: Error) -> Error {
    match (error.errno(), kind(group).as_deref()) {
        (Some(Errno::EOPNOTSUPP), Some(kind @ ("domain invalid" | "threaded"))) => PROPERTY.invalid(format!(
            "{} is a cgroup of type \"{kind}\": one above it is threaded, or has processes and controllers",
            group.dir.display()
        )),
        _ => error,
    }
}

/// No signal ends this command between freezing a cgroup and thawing it.
fn uninterrupted(action: impl FnOnce() -> Result<()>) -> Result<()> {
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).call("rt_sigprocmask")?;
    let done = action();
    mask.thread_set_mask().call("rt_sigprocmask")?;
    done
}

fn send_all(group: &Group, signal: i32) -> Result<()> {
    processes(&group.dir)?.into_iter().try_for_each(|pid| send(pid, signal))
}

fn send(pid: Pid, signal: i32) -> Result<()> {
    let sent = pidfd::open(pid.as_raw()).and_then(|process| pidfd::send_signal(process.as_fd(), signal));
    match sent {
        Err(error) if error.errno == Errno::ESRCH => Ok(()),
        result => result.on(format_args!("process {pid}")),
    }
}
