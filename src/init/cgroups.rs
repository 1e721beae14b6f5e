//! Init's way into its cgroups, taken when the first mount needs them.
//!
//! Runs in: init · cgroups(7), cgroup_namespaces(7)

use std::os::fd::AsFd as _;

use nix::sched::CloneFlags;

use crate::cgroup::Hierarchy;
use crate::error::{For as _, On as _, Property, Result};
use crate::namespace::enter;
use crate::rootfs::Cgroups;
use crate::sync::ToInit;
use crate::sys;

use super::Setup;

/// Until it is needed, the parent makes the cgroups while init mounts.
pub(super) struct Entry<'a, 'b> {
    setup: &'b Setup<'a>,
    entered: bool,
}

impl<'a, 'b> Entry<'a, 'b> {
    pub(super) fn new(setup: &'b Setup<'a>) -> Self {
        Self { setup, entered: false }
    }
}

impl Cgroups for Entry<'_, '_> {
    fn enter(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.entered, true) {
            return Ok(());
        }
        if self.setup.rendezvous.joinable {
            for door in self.setup.channel.wait(ToInit::Joinable)? {
                // "0" is the writer: one thread moves, and no grace period is waited for.
                sys::fd::write(door.as_fd(), b"0").on("tasks").property(Property::of("linux.cgroupsPath"))?;
            }
        }
        enter::cgroup(&self.setup.plan.namespaces)
    }

    fn hierarchies(&self) -> &[Hierarchy] {
        self.setup.plan.cgroup.hierarchies()
    }

    fn own_namespace(&self) -> bool {
        self.setup.plan.namespaces.has(CloneFlags::CLONE_NEWCGROUP)
    }
}
