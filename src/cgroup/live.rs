//! The cgroup of a container that exists: its processes, signals, the freezer, removal.
//!
//! Runs in: parent · runtime.md#kill, runtime.md#delete (RT-56, RT-57)

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use super::path::PROPERTY;
use super::{Driver, Group, Record, Version, driver, file};
use crate::error::{Error, For as _, On as _, Result};
use crate::sys::{Call as _, pidfd};

/// How long delete waits for killed processes to be gone.
const REMOVAL: Duration = Duration::from_secs(10);
/// How long the kernel may take to freeze a cgroup; a task in uninterruptible sleep delays it.
const FREEZING: Duration = Duration::from_secs(10);
/// Between two looks at something that cannot be polled (v1).
const NAP: Duration = Duration::from_millis(2);

/// v1: the hierarchies whose list of processes stands for the container, best first. The freezer
/// holds still what it lists; the others cannot be left by accident.
const TRACKERS: [&str; 5] = ["freezer", "devices", "name=systemd", "memory", "pids"];

#[derive(Debug)]
pub(crate) struct Cgroup {
    driver: Driver,
    groups: Vec<Group>,
}

impl Cgroup {
    pub(crate) fn open(record: &Record) -> Self {
        Self { driver: record.driver, groups: record.groups.clone() }
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

    /// Sends a signal to every process in it. None escapes by forking, unless a v1 host mounts no
    /// freezer.
    pub(crate) fn kill(&self, signal: i32) -> Result<()> {
        let Some(group) = self.tracker() else { return Ok(()) };
        if group.version == Version::V2 && signal == libc::SIGKILL {
            return match file::write_path(&group.dir.join("cgroup.kill"), "1") {
                Err(error) if gone(&error) => Ok(()),
                result => result,
            };
        }
        let was_frozen = self.is_frozen()?;
        if !was_frozen {
            self.freeze()?;
        }
        let sent = processes(&group.dir).and_then(|pids| pids.into_iter().try_for_each(|pid| send(pid, signal)));
        // On v1, a frozen process cannot even be killed.
        let thawed = if was_frozen && signal != libc::SIGKILL { Ok(()) } else { self.thaw() };
        sent.and(thawed)
    }

    pub(crate) fn is_frozen(&self) -> Result<bool> {
        let Some(group) = self.freezer() else { return Ok(false) };
        is_frozen(group)
    }

    pub(crate) fn freeze(&self) -> Result<()> {
        let Some(group) = self.freezer() else { return Ok(()) };
        let result = match group.version {
            Version::V1 => freeze_v1(&group.dir),
            Version::V2 => freeze_v2(&group.dir),
        };
        match result {
            Err(error) if gone(&error) => Ok(()),
            Err(error) => {
                let _ = self.thaw();
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        let Some(group) = self.freezer() else { return Ok(()) };
        let result = match group.version {
            Version::V1 => file::write_path(&group.dir.join("freezer.state"), "THAWED"),
            Version::V2 => file::write_path(&group.dir.join("cgroup.freeze"), "0"),
        };
        result.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
    }

    /// Removes what `create` made, with cgroups that the container made in it; parents only when
    /// nobody else uses them. What is gone already is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        self.groups.iter().try_for_each(|group| remove(group, REMOVAL))
    }

    fn tracker(&self) -> Option<&Group> {
        TRACKERS.iter().find_map(|name| self.find(name)).or(self.groups.first())
    }

    fn freezer(&self) -> Option<&Group> {
        self.find("freezer")
    }

    fn find(&self, controller: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.version == Version::V2 || group.controls(controller))
    }
}

impl Group {
    fn controls(&self, controller: &str) -> bool {
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
    if (group.version == Version::V2 || group.controls("freezer")) && is_frozen(group)? {
        return Err(PROPERTY.invalid(format!("{dir} is frozen")));
    }
    match kind(group).as_deref() {
        Some("threaded") => Err(PROPERTY.invalid(format!("{dir} is a threaded cgroup"))),
        _ => Ok(()),
    }
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

/// Removes the directories of one hierarchy that are ours.
pub(super) fn remove(group: &Group, patience: Duration) -> Result<()> {
    let mut ours = group.dir.ancestors().take(group.made);
    if let Some(dir) = ours.next() {
        remove_tree(dir, Instant::now() + patience).property(PROPERTY)?;
    }
    for parent in ours {
        match file::rmdir(parent) {
            Ok(()) => {}
            Err(error) if error.errno == Errno::ENOENT => {}
            // Another container is below it, or an engine's process in it.
            Err(error) if matches!(error.errno, Errno::EBUSY | Errno::ENOTEMPTY) => break,
            Err(error) => return Err(error.on(parent.display())).property(PROPERTY),
        }
    }
    Ok(())
}

fn remove_tree(dir: &Path, deadline: Instant) -> Result<()> {
    loop {
        match file::rmdir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV) => return Ok(()),
            Err(error) if error.errno == Errno::EBUSY && Instant::now() < deadline => {
                for child in children(dir)? {
                    remove_tree(&child, deadline)?;
                }
                await_exit(dir, deadline)?;
            }
            Err(error) => return Err(error.on(describe(dir))),
        }
    }
}

/// A cgroup that cannot be removed, with whoever is in the way.
fn describe(dir: &Path) -> String {
    match processes(dir).unwrap_or_default().first() {
        Some(pid) => format!("{} (process {pid} is in it)", dir.display()),
        None => dir.display().to_string(),
    }
}

/// Waits until one of the processes in `dir` is gone, or a moment if there is none: the kernel lets
/// go of a cgroup only after the last exit.
fn await_exit(dir: &Path, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let events = match file::open_path(&dir.join("cgroup.events"), OFlag::O_RDONLY) {
        Ok(events) => events,
        // v1 has no such file.
        Err(_) => {
            std::thread::sleep(NAP.min(left));
            return Ok(());
        }
    };
    match file::value_of(&events) {
        Ok(value) if value.contains("populated 1") => await_change(&events, left),
        // Empty, or gone by now: the kernel needs a moment more.
        _ => {
            std::thread::sleep(NAP.min(left));
            Ok(())
        }
    }
}

fn await_change(events: &OwnedFd, left: Duration) -> Result<()> {
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno).call("poll").on("cgroup.events"),
    }
}

/// All processes in `dir` and below.
fn processes(dir: &Path) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        match file::read_path(&dir.join("cgroup.procs")) {
            Ok(text) => found.extend(text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw)),
            Err(error) if gone(&error) => continue,
            // A threaded cgroup: its processes are listed by the domain above it.
            Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
        pending.extend(children(&dir)?);
    }
    Ok(found)
}

fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.call("opendir").on(dir.display())?,
    };
    let directories = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_dir().then(|| entry.path())
    });
    Ok(directories.collect())
}

/// The cgroup was removed before or while it was asked.
fn gone(error: &Error) -> bool {
    matches!(error.errno(), Some(Errno::ENOENT | Errno::ENODEV))
}

fn send(pid: Pid, signal: i32) -> Result<()> {
    let sent = pidfd::open(pid.as_raw()).and_then(|process| pidfd::send_signal(process.as_fd(), signal));
    match sent {
        Err(error) if error.errno == Errno::ESRCH => Ok(()),
        result => result.on(format_args!("process {pid}")),
    }
}

fn is_frozen(group: &Group) -> Result<bool> {
    let (name, mark) = match group.version {
        Version::V1 => ("freezer.state", "FR"),
        Version::V2 => ("cgroup.events", "frozen 1"),
    };
    match file::read_value(&group.dir.join(name)) {
        Ok(value) => Ok(value.contains(mark)),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A task that forks while the cgroup freezes keeps v1 in FREEZING until it is asked again.
fn freeze_v1(dir: &Path) -> Result<()> {
    let state = dir.join("freezer.state");
    let deadline = Instant::now() + FREEZING;
    while Instant::now() < deadline {
        file::write_path(&state, "FROZEN")?;
        if file::read_value(&state)?.starts_with("FROZEN") {
            return Ok(());
        }
        std::thread::sleep(NAP);
    }
    Err(Errno::ETIMEDOUT).call("freeze").on(dir.display())
}

fn freeze_v2(dir: &Path) -> Result<()> {
    file::write_path(&dir.join("cgroup.freeze"), "1")?;
    let deadline = Instant::now() + FREEZING;
    let path = dir.join("cgroup.events");
    while Instant::now() < deadline {
        let events = file::open_path(&path, OFlag::O_RDONLY)?;
        if file::value_of(&events).on(path.display())?.contains("frozen 1") {
            return Ok(());
        }
        await_change(&events, deadline.saturating_duration_since(Instant::now()))?;
    }
    Err(Errno::ETIMEDOUT).call("freeze").on(dir.display())
}
