//! `pause` and `resume`: all processes of a container held still by the freezer, and let go on.
//!
//! Runs in: parent

use super::{Container, Status};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};

/// A container that was created can be paused too; it can be started after `resume`.
pub(crate) fn pause(container: &Container) -> Result<()> {
    let error = |problem: &str| Err(Error::state(&container.record.id, problem));
    match container.status()? {
        Status::Running | Status::Created => {}
        // The phrase engines know.
        status => return error(&format!("container not running: it is {status}")),
    }
    let cgroup = Cgroup::open(&container.record.cgroup);
    cgroup.require("pause")?;
    if !cgroup.has_freezer() {
        return error("cannot pause: this host has no freezer");
    }
    cgroup.freeze()?;
    if cgroup.pids()?.is_empty() {
        cgroup.thaw()?;
        return error("container not running: it ended while it was paused");
    }
    Ok(())
}

pub(crate) fn resume(container: &Container) -> Result<()> {
    match container.status()? {
        Status::Paused => Cgroup::open(&container.record.cgroup).thaw(),
        status => Err(Error::state(&container.record.id, format!("container not paused: it is {status}"))),
    }
}
