//! The cgroup while its container is being created: made, limited, joined; removed again unless kept.
//!
//! Runs in: parent · runtime.md#create (RT-34: a failed create leaves nothing behind)

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::Pid;

use super::devices::{self, Devices};
use super::path::PROPERTY;
use super::{
    Driver, Group, Hierarchy, Plan, Record, Version, Write, file, live, oom, owner, resources, systemd, tree, v1, v2,
};
use crate::container::Rootless;
use crate::error::{Error, For as _, On as _, Result};
use crate::host::{self, Host};
use crate::sys::Call as _;

/// How long a failed create waits for its own, killed process to leave the cgroup.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a directory is made again because another container's delete took its parent away.
const ATTEMPTS: usize = 16;

#[derive(Debug)]
pub(crate) struct Guard {
    driver: Driver,
    groups: Vec<Group>,
    /// The first hierarchy's directory, locked so that two creates cannot share a cgroup.
    directory: Option<File>,
    /// The scope that systemd has made.
    unit: Option<String>,
}

impl Guard {
    /// `common` is a directory of all creates that could want the same cgroup.
    pub(super) fn create(plan: &Plan, rootless: Rootless, common: &Path) -> Result<Self> {
        let mut guard = Self {
            driver: plan.driver,
            groups: Vec::with_capacity(plan.hierarchies.len()),
            directory: None,
            unit: None,
        };
        match plan.driver {
            Driver::Cgroupfs => {}
            // Made when there is a process to make it around.
            Driver::Systemd => {
                guard.groups.extend(plan.hierarchies.iter().map(|hierarchy| hierarchy.group(0)));
                return Ok(guard);
            }
            Driver::Disabled => return Ok(guard),
        }
        if plan.hierarchies.is_empty() && !may_do_without(plan, rootless) {
            return Err(plan.reason().unsupported("cgroups, and this host has none mounted"));
        }
        match guard.make(plan, common) {
            Err(error) if refused(error.errno()) && may_do_without(plan, rootless) => {
                guard.undo();
                Ok(guard)
            }
            Err(error) => Err(error.property(plan.reason())),
            Ok(()) => Ok(guard),
        }
    }

    fn make(&mut self, plan: &Plan, common: &Path) -> Result<()> {
        if let Some(first) = plan.hierarchies.first() {
            let (made, directory) = claim(&first.dir, common)?;
            self.groups.push(first.group(made));
            self.directory = Some(directory);
        }
        for hierarchy in plan.hierarchies.iter().skip(1) {
            self.groups.push(hierarchy.group(make_directory(&hierarchy.dir)?));
        }
        for (hierarchy, group) in plan.hierarchies.iter().zip(&self.groups) {
            if group.made == 0 {
                live::check_vacant(group)?;
            }
            match group.version {
                Version::V1 => v1::prepare(plan, hierarchy, group.made)?,
                Version::V2 => v2::prepare(plan, hierarchy)?,
            }
        }
        Ok(())
    }

    /// What was really made, for state.json in place of the intent.
    pub(crate) fn record(&self) -> Record {
        Record { driver: self.driver, unit: self.unit.clone(), groups: self.groups.clone() }
    }

    /// Whether there is a cgroup to join at all.
    pub(crate) fn is_managed(&self) -> bool {
        !self.groups.is_empty()
    }

    /// v2: what CLONE_INTO_CGROUP takes.
    pub(crate) fn birth(&self) -> Option<BorrowedFd<'_>> {
        let unified = self.groups.first()?.version == Version::V2;
        self.directory.as_ref().filter(|_| unified).map(AsFd::as_fd)
    }

    /// v1: the `tasks` files; a single-threaded process that writes "0" to each has joined, without
    /// the grace period that moving a whole process by `cgroup.procs` waits for.
    pub(crate) fn doors(&self) -> Result<Vec<OwnedFd>> {
        let v1 = self.groups.iter().filter(|group| group.version == Version::V1);
        v1.map(|group| file::open_path(&group.dir.join("tasks"), OFlag::O_WRONLY).property(PROPERTY)).collect()
    }

    /// Has systemd make its scope around the container's process, where it is the driver.
    pub(crate) fn adopt(&mut self, plan: &Plan, host: &Host, pid: Pid) -> Result<()> {
        let (Some(scope), [hierarchy]) = (&plan.scope, plan.hierarchies.as_slice()) else { return Ok(()) };
        host.systemd()?.start(scope, pid)?;
        self.unit = Some(scope.name().to_owned());
        self.groups = vec![hierarchy.group(1)];
        let directory = file::open_path(&hierarchy.dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY).property(PROPERTY)?;
        self.directory = Some(File::from(directory));
        if !live::holds(&self.groups[0], pid)? {
            return Err(PROPERTY.invalid(format!("systemd did not put process {pid} into {}", hierarchy.dir.display())));
        }
        v2::prepare(plan, hierarchy)
    }

    /// Moves a process in from outside, where neither `birth` nor `doors` will do.
    pub(crate) fn join(&self, pid: Pid) -> Result<()> {
        if self.unit.is_some() {
            return Ok(());
        }
        self.groups.iter().try_for_each(|group| {
            let joined = file::write_path(&group.dir.join("cgroup.procs"), &pid.to_string());
            joined.map_err(|error| live::explain(group, error)).property(PROPERTY)
        })
    }

    /// Applies all limits.
    pub(crate) fn limit(&self, plan: &Plan) -> Result<()> {
        for (index, (hierarchy, group)) in plan.hierarchies.iter().zip(&self.groups).enumerate() {
            let is_new = group.made > 0;
            let here = |write: &&Write| match group.version {
                _ if is_new && write.initial => false,
                Version::V1 => v1::is_late(write) && write.controller().and_then(|name| plan.find(name)) == Some(index),
                Version::V2 => true,
            };
            resources::apply(&group.dir, plan.writes.iter().filter(here))?;
            if plan.configured || is_new {
                self.allow_devices(plan, hierarchy, group)?;
            }
            if let (Version::V2, Some(owner), Some(directory)) = (group.version, plan.owner, &self.directory) {
                owner::give(&group.dir, directory, owner)?;
            }
        }
        Ok(())
    }

    fn allow_devices(&self, plan: &Plan, hierarchy: &Hierarchy, group: &Group) -> Result<()> {
        match (&plan.devices, &self.directory) {
            (Devices::Program(program), Some(directory)) => {
                devices::attach(&group.dir, directory, program, group.made > 0)
            }
            (Devices::Lists(writes), _) if hierarchy.controls("devices") => devices::write(&group.dir, writes),
            _ => Ok(()),
        }
    }

    /// Names the memory limit as the reason why init failed, if it was.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let memory = self.groups.iter().find(|group| group.version == Version::V2 || group.controls("memory"));
        oom::explain(memory, error)
    }

    /// The container lives: its cgroup stays.
    pub(crate) fn keep(mut self) {
        self.groups.clear();
        self.unit = None;
    }

    fn undo(&mut self) {
        if let Some(unit) = self.unit.take() {
            systemd::release(&unit);
        }
        for group in self.groups.drain(..).rev() {
            if let Err(error) = tree::remove(&group, Instant::now() + PATIENCE) {
                log::warn!("{error}");
            }
        }
        self.directory = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.undo();
    }
}

/// A caller without rights here (rootless, or a read-only cgroupfs) gets by without a cgroup, but
/// not without limits; for the host's root the device rules make it indispensable.
fn may_do_without(plan: &Plan, rootless: Rootless) -> bool {
    match rootless {
        Rootless::Auto => plan.is_optional() && !host::is_host_root(),
        Rootless::Yes => plan.writes.is_empty(),
        Rootless::No => false,
    }
}

fn refused(errno: Option<Errno>) -> bool {
    matches!(errno, Some(Errno::EACCES | Errno::EPERM | Errno::EROFS))
}

/// Makes and locks the first directory. Nobody else makes one meanwhile: who made it could not lock it any
/// more, and would take it away from who could.
fn claim(dir: &Path, common: &Path) -> Result<(usize, File)> {
    let alone = File::open(common).call("open").on(common.display())?;
    alone.lock().call("flock").on(common.display())?;
    let made = make_directory(dir)?;
    match lock(dir) {
        Ok(Some(directory)) => Ok((made, directory)),
        // Somebody with another `common` was faster, and may go on with it.
        Ok(None) => Err(PROPERTY.invalid(format!("{} is in use by another create", dir.display()))),
        Err(error) => {
            remove(dir.ancestors().take(made));
            Err(error)
        }
    }
}

/// Makes `dir` and its missing parents; says how many of them, from `dir` upwards, are new.
fn make_directory(dir: &Path) -> Result<usize> {
    let mut fresh = Vec::new();
    let result = try_make(dir, &mut fresh);
    if result.is_err() {
        remove(fresh.iter().rev().copied());
    }
    result.map(|()| fresh.len())
}

/// Takes away what was just made, the innermost first.
fn remove<'a>(directories: impl Iterator<Item = &'a Path>) {
    for dir in directories {
        let _ = file::rmdir(dir);
    }
}

fn try_make<'a>(dir: &'a Path, fresh: &mut Vec<&'a Path>) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match file::mkdir(dir) {
            Ok(()) => fresh.push(dir),
            Err(error) if error.errno == Errno::EEXIST => fresh.clear(),
            Err(error) if error.errno == Errno::ENOENT => match dir.parent() {
                Some(parent) => {
                    fresh.clear();
                    try_make(parent, fresh)?;
                    continue;
                }
                None => return Err(error.on(dir.display())),
            },
            Err(error) => return Err(error.on(dir.display())),
        }
        return Ok(());
    }
    Err(Errno::ENOENT).call("mkdir").on(dir.display())
}

/// Whoever locks the directory may use the cgroup, None if somebody else does; the lock ends with this process, when the cgroup
/// holds the container's and is taken.
fn lock(dir: &Path) -> Result<Option<File>> {
    let directory = File::from(file::open_path(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?);
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error).call("flock").on(dir.display()),
    }
}
