//! `update`: other limits for a container that exists.
//!
//! Runs in: parent
//!
//! All or nothing: the new configuration is written down first, the values are written, and with one
//! rename it is the container's. What fails before takes back everything.

use crate::cgroup::{Cgroup, warn_of_kernel_memory};
use crate::error::{Error, Property, Result};
use crate::host::Host;
use crate::spec::change::{Change, Changed};

use super::{Container, Status};

const RDT: Property = Property::of("linux.intelRdt");

impl Container {
    pub(crate) fn update(&mut self, change: &Change) -> Result<()> {
        self.dir.lock()?;
        // Another command may have been at work on it until now.
        if let Some(record) = self.dir.load()? {
            self.record = record;
        }
        let done = self.change(change);
        self.dir.unlock();
        done
    }

    fn change(&self, change: &Change) -> Result<()> {
        if self.status()? == Status::Stopped {
            return Err(Error::state(&self.record.id, "container not running"));
        }
        let cgroup = Cgroup::open(&self.record.cgroup);
        cgroup.require("update")?;
        let (text, changed) = change.merge(&self.dir.config_text()?)?;
        warn_of_kernel_memory(&change.resources()?);
        self.dir.stage_config(&text)?;
        let updated = self.apply(change, &cgroup, &changed);
        if updated.is_err() {
            self.dir.discard_config()?;
        }
        updated
    }

    fn apply(&self, change: &Change, cgroup: &Cgroup, changed: &Changed<'_>) -> Result<()> {
        let journal = cgroup.update(changed, Host::new().cgroups()?)?;
        let limits = match (change.rdt()?, &self.record.intel_rdt) {
            (None, _) => None,
            (Some(rdt), Some(class)) => Some(class.update(&rdt)?),
            (Some(_), None) => return Err(RDT.unsupported("the container has no class of service to change")),
        };
        self.dir.commit_config()?;
        journal.keep();
        if let Some(limits) = limits {
            limits.keep();
        }
        Ok(())
    }
}
