//! `update`: other limits for a container that exists.
//!
//! Runs in: parent
//!
//! All or nothing: the new configuration is written down first, the values are written, and with one
//! rename it is the container's. What fails before takes back everything.

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::spec::change::Change;

use super::{Container, Status};

impl Container {
    pub(crate) fn update(&mut self, change: &Change) -> Result<()> {
        self.dir.lock()?;
        // Another command may have been at work on it until now.
        if let Some(record) = self.dir.load()? {
            self.record = record;
        }
        let done = self.change(change);
        let unlocked = self.dir.unlock();
        done.and(unlocked)
    }

    fn change(&self, change: &Change) -> Result<()> {
        if self.status()? == Status::Stopped {
            return Err(Error::state(&self.record.id, "container not running"));
        }
        let cgroup = Cgroup::open(&self.record.cgroup);
        cgroup.require("update")?;
        let (text, changed) = change.merge(&self.dir.config_text()?)?;
        let host = Host::new();
        crate::cgroup::warn_of_kernel_memory(&change.resources()?);
        self.dir.stage_config(&text)?;
        let updated = cgroup.update(&changed, host.cgroups()?).and_then(|journal| {
            self.dir.commit_config()?;
            journal.keep();
            Ok(())
        });
        if updated.is_err() {
            self.dir.discard_config()?;
        }
        updated
    }
}
