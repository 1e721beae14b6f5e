//! Removing a container and all that `create` made.
//!
//! Runs in: parent · runtime.md#delete
//!
//! Every step does nothing where there is nothing left to do, and the record goes last: a `delete`
//! that is killed can be repeated.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::record::{Init, LaterHooks};
use super::state::START_SOCKET;
use super::{Container, ContainerId, StateDir, Status, kill, layers};
use crate::cgroup::Cgroup;
use crate::error::{Error, On as _, Result};
use crate::hooks::{self, Moment};
use crate::intel_rdt;
use crate::phase::{self, Phase};
use crate::sys::pidfd;

/// How long a killed process may take to go: one that is in the kernel dies when it comes back.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until another look at what keeps it.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn delete(root: &Path, id: &ContainerId, force: bool) -> Result<()> {
    match Container::lookup(root, id)? {
        Some(container) => remove(container, force),
        // The traces of a create that was killed before it began, or of a delete at its end.
        None if force => remove_traces(root, id),
        None => Err(Error::no_such_container(id)),
    }
}

fn remove_traces(root: &Path, id: &ContainerId) -> Result<()> {
    let Some(dir) = StateDir::open(root, id)? else { return Ok(()) };
    // Somebody may be about to claim it.
    dir.lock()?;
    if dir.load()?.is_none() { dir.remove() } else { Ok(()) }
}

fn remove(mut container: Container, force: bool) -> Result<()> {
    refuse_unless_stopped(&container, force)?;
    container.dir.lock()?;
    // As it is now: a create may have gone on, another delete may have come to its end.
    match container.dir.load()? {
        Some(record) => container.record = record,
        None if force => return Ok(()),
        None => return Err(Error::no_such_container(&container.record.id)),
    }
    refuse_unless_stopped(&container, force)?;
    container.undo_create()
}

/// RT-55
fn refuse_unless_stopped(container: &Container, force: bool) -> Result<()> {
    match container.status()? {
        Status::Stopped => Ok(()),
        _ if force => Ok(()),
        status => {
            let problem = format!("cannot delete a container that is not stopped: it is {status}");
            Err(Error::state(&container.record.id, problem))
        }
    }
}

impl Container {
    /// Ends what still runs and removes all of the container (RT-31, RT-56), then runs the poststop
    /// hooks (RT-32). Nothing happens if another command has done so.
    pub(crate) fn destroy(&self) -> Result<()> {
        self.dir.lock()?;
        if self.dir.load()?.is_some() { self.undo_create() } else { Ok(()) }
    }

    /// The caller holds the lock, and has seen the record since.
    fn undo_create(&self) -> Result<()> {
        phase::enter(Phase::Delete);
        let cgroup = Cgroup::open(&self.record.cgroup);
        self.end(&cgroup)?;
        self.dir.unlink(START_SOCKET)?;
        cgroup.remove()?;
        self.record.intel_rdt.as_ref().map_or(Ok(()), intel_rdt::Record::remove)?;
        // The container's resources are gone. Its record still is there while the hooks run: if they
        // are interrupted, another delete runs them.
        let state = self.record.document(Status::Stopped, None);
        let LaterHooks { poststop, output, .. } = &self.record.hooks;
        hooks::run_last(poststop, output, &Moment::runtime(&state, &self.record.bundle));
        if !self.record.layers.is_empty() {
            layers::remove(self.dir.fd())?;
        }
        self.dir.remove()
    }

    /// Without init, a create was killed before its container was ready. Init died with it, and in
    /// the cgroup that the record names there may be somebody else.
    fn end(&self, cgroup: &Cgroup) -> Result<()> {
        let Some(init) = self.record.init else { return Ok(()) };
        if let Some(process) = kill::open_init(init)? {
            kill_and_wait(&process, init, cgroup)?;
        }
        if self.record.own_pid_namespace || cgroup.pids()?.is_empty() {
            return Ok(());
        }
        cgroup.kill(libc::SIGKILL)
    }
}

/// Waits until init has let go of everything it held. Who pauses the container meanwhile does not
/// keep it alive.
fn kill_and_wait(process: &OwnedFd, init: Init, cgroup: &Cgroup) -> Result<()> {
    let on = format_args!("pid {}", init.pid);
    match pidfd::send_signal(process.as_fd(), libc::SIGKILL) {
        Err(error) if error.errno != Errno::ESRCH => return Err(error.on(on)),
        _ => {}
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        cgroup.thaw_to_be_killed()?;
        if pidfd::wait(process.as_fd(), LOOK).on(on)? {
            return Ok(());
        }
    }
    Err(Error::other(format!("pid {}: still there {} s after SIGKILL", init.pid, PATIENCE.as_secs())))
}
