//! A cgroup with all that a container may have made below it: its processes, and its removal.
//!
//! Runs in: parent · runtime.md#delete (RT-56, RT-57)
//!
//! The container can nest cgroups deeper than a path is long and than descriptors last, and go on
//! making them meanwhile. So the walk goes by one descriptor, down by name and up by `..` (a cgroup
//! never moves to another parent), and has a deadline.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, UnlinkatFlags};

use super::path::PROPERTY;
use super::{Group, file};
use crate::error::{Error, For as _, On as _, Result};
use crate::sys::{self, Call as _, path, pidfd};

/// How long a walk may take: who makes cgroups for longer is attacking.
const WALK: Duration = Duration::from_secs(10);
/// Before another look at a cgroup of v1 that is in use although nobody is in it, which no event ends.
const NAP: Duration = Duration::from_millis(2);

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW);

/// What to do with each cgroup of a tree.
pub(super) trait Visit {
    /// Before those below it.
    fn enter(&mut self, _dir: BorrowedFd<'_>) -> sys::Result<()> {
        Ok(())
    }

    /// After those below it; not for the topmost.
    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> sys::Result<()> {
        Ok(())
    }
}

/// Visits `top` and all below it. What vanishes meanwhile is passed over.
pub(super) fn walk(top: &Path, visit: &mut impl Visit) -> Result<()> {
    match open(top) {
        Err(error) if vanished(error.errno) => Ok(()),
        dir => dir.and_then(|dir| walk_from(dir, visit)).on(top.display()),
    }
}

fn walk_from(mut dir: OwnedFd, visit: &mut impl Visit) -> sys::Result<()> {
    let deadline = Instant::now() + WALK;
    // How we got here, and what is still to be seen at each level.
    let mut trail: Vec<CString> = Vec::new();
    let mut levels = vec![look(&dir, visit)?];
    while Instant::now() < deadline {
        match levels.last_mut().and_then(Vec::pop) {
            Some(name) => match path::openat(dir.as_fd(), &name, DIRECTORY, 0) {
                Err(error) if vanished(error.errno) => {}
                child => {
                    dir = child?;
                    levels.push(look(&dir, visit)?);
                    trail.push(name);
                }
            },
            None => {
                levels.pop();
                let Some(name) = trail.pop() else { return Ok(()) };
                dir = path::openat(dir.as_fd(), c"..", DIRECTORY, 0)?;
                visit.leave(dir.as_fd(), &name)?;
            }
        }
    }
    Err(sys::Error { call: "walk through the cgroups", errno: Errno::ETIMEDOUT })
}

/// The names of the cgroups directly below `dir`.
fn look(dir: &OwnedFd, visit: &mut impl Visit) -> sys::Result<Vec<CString>> {
    let names = visit.enter(dir.as_fd()).and_then(|()| {
        let mut entries = Dir::from_fd(path::openat(dir.as_fd(), c".", DIRECTORY, 0)?).call("fdopendir")?;
        let mut names = Vec::new();
        for entry in entries.iter() {
            let entry = entry.call("readdir")?;
            if entry.file_type() == Some(Type::Directory) && !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    });
    match names {
        Err(error) if vanished(error.errno) => Ok(Vec::new()),
        names => names,
    }
}

fn open(dir: &Path) -> sys::Result<OwnedFd> {
    path::open(&sys::c_path(dir)?, DIRECTORY)
}

/// The cgroup was removed before or while it was asked.
fn vanished(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENODEV)
}

/// The same for an error that names its file.
pub(super) fn gone(error: &Error) -> bool {
    error.errno().is_some_and(vanished)
}

/// All processes in `dir` and below.
pub(super) fn processes(dir: &Path) -> Result<Vec<Pid>> {
    struct Processes(Vec<Pid>);

    impl Visit for Processes {
        fn enter(&mut self, dir: BorrowedFd<'_>) -> sys::Result<()> {
            match file::open(dir, Path::new("cgroup.procs"), OFlag::O_RDONLY).and_then(|list| file::text_of(&list)) {
                Ok(text) => self.0.extend(parse_pids(&text)),
                // A threaded cgroup: its processes are listed by the domain above it.
                Err(error) if error.errno == Errno::EOPNOTSUPP => {}
                Err(error) => return Err(error),
            }
            Ok(())
        }
    }

    let mut found = Processes(Vec::new());
    walk(dir, &mut found)?;
    Ok(found.0)
}

/// A process outside of our pid namespace is listed as 0.
fn parse_pids(text: &str) -> impl Iterator<Item = Pid> {
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).map(Pid::from_raw)
}

/// Removes the directories of one hierarchy that are ours.
pub(super) fn remove(group: &Group, deadline: Instant) -> Result<()> {
    let mut ours = group.dir.ancestors().take(group.made);
    if let Some(dir) = ours.next() {
        remove_tree(dir, deadline).property(PROPERTY)?;
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
    struct Removal;

    impl Visit for Removal {
        fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
            match nix::unistd::unlinkat(parent, name, UnlinkatFlags::RemoveDir).call("unlinkat") {
                // In use: its processes are waited for all together.
                Err(error) if error.errno != Errno::EBUSY && !vanished(error.errno) => Err(error),
                _ => Ok(()),
            }
        }
    }

    loop {
        match file::rmdir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if vanished(error.errno) => return Ok(()),
            Err(error) if error.errno == Errno::EBUSY && Instant::now() < deadline => {
                await_vacated(dir, deadline)?;
                walk(dir, &mut Removal)?;
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

/// Waits until nobody is in `dir` and below it: the kernel lets go of a cgroup only after the last
/// exit. v2 tells when that is; on v1 it is when all that are listed have ended.
fn await_vacated(dir: &Path, deadline: Instant) -> Result<()> {
    let path = dir.join("cgroup.events");
    match file::open_path(&path, OFlag::O_RDONLY) {
        Ok(events) => await_line(&events, "populated 0", deadline).on(path.display()).map(drop),
        // No such file on v1.
        Err(_) => await_exits(dir, deadline),
    }
}

/// Waits until all that are listed now have ended.
pub(super) fn await_exits(dir: &Path, deadline: Instant) -> Result<()> {
    let pids = processes(dir)?;
    for pid in &pids {
        let on = || format!("process {pid}");
        match pidfd::open(pid.as_raw()) {
            Err(error) if error.errno == Errno::ESRCH => {}
            process => {
                let process = process.map_err(|error| error.on(on()))?;
                let left = deadline.saturating_duration_since(Instant::now());
                pidfd::wait(process.as_fd(), left).map_err(|error| error.on(on()))?;
            }
        }
    }
    if pids.is_empty() && !has_children(dir)? {
        std::thread::sleep(NAP);
    }
    Ok(())
}

/// The kernel counts the directories in a cgroup as its links, beside two of its own.
fn has_children(dir: &Path) -> Result<bool> {
    match std::fs::metadata(dir).call("stat") {
        Ok(metadata) => Ok(std::os::unix::fs::MetadataExt::nlink(&metadata) > 2),
        Err(error) if vanished(error.errno) => Ok(false),
        Err(error) => Err(error.on(dir.display())),
    }
}

/// Waits until `cgroup.events` has `line`, or is gone; says whether that came in time.
pub(super) fn await_line(events: &OwnedFd, line: &str, deadline: Instant) -> sys::Result<bool> {
    loop {
        match file::value_again(events) {
            Ok(text) if text.lines().any(|found| found == line) => return Ok(true),
            Err(error) if vanished(error.errno) => return Ok(true),
            value => value?,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).call("poll"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seen(Vec<String>);

    impl Visit for Seen {
        fn leave(&mut self, _: BorrowedFd<'_>, name: &CStr) -> sys::Result<()> {
            self.0.push(name.to_string_lossy().into_owned());
            Ok(())
        }
    }

    /// The walk needs no cgroupfs.
    #[test]
    fn what_is_below_comes_first_however_deep() {
        let top = std::env::temp_dir().join(format!("orlop-tree-{}", std::process::id()));
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::write(top.join("a/file"), "").unwrap();
        let mut dir = open(&top.join("a/b")).unwrap();
        let long = CString::new("n".repeat(200)).unwrap();
        for _ in 0..40 {
            path::mkdirat(dir.as_fd(), &long, 0o755).unwrap();
            dir = path::openat(dir.as_fd(), &long, DIRECTORY, 0).unwrap();
        }
        let mut seen = Seen(Vec::new());
        walk(&top, &mut seen).unwrap();
        assert_eq!(seen.0.len(), 42);
        assert_eq!(seen.0[40..], ["b", "a"]);
        std::fs::remove_dir_all(&top).unwrap();
        walk(&top, &mut seen).unwrap();
    }

    #[test]
    fn pids_of_other_namespaces_and_nonsense_are_passed_over() {
        let pids: Vec<i32> = parse_pids("12\n0\n\n-4\nx\n99999999999\n7\n").map(Pid::as_raw).collect();
        assert_eq!(pids, [12, 7]);
    }
}
