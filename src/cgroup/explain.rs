//! What is made and written in cgroupfs: for `explain`.
//!
//! Runs in: parent

use crate::explain::Steps;

use super::devices::{self, Devices};
use super::path::PROPERTY;
use super::{Driver, Plan, Version};

impl Plan {
    pub(crate) fn explain_creation(&self, steps: &mut Steps) {
        match (self.driver, &self.scope) {
            (Driver::Disabled, _) => steps.add("stay in the caller's cgroup"),
            (Driver::Systemd, Some(scope)) => {
                steps.add_for(
                    PROPERTY,
                    format_args!("StartTransientUnit({}) over D-Bus, once init is there", scope.name()),
                );
            }
            _ => {
                for hierarchy in &self.hierarchies {
                    steps.add_for(PROPERTY, format_args!("mkdir {}", hierarchy.dir.display()));
                    if hierarchy.version == Version::V2 {
                        steps.add("have every cgroup above pass its controllers down (cgroup.subtree_control)");
                    }
                }
            }
        }
    }

    pub(crate) fn explain_limits(&self, steps: &mut Steps) {
        for write in &self.writes {
            let index = write.controller().map_or(Some(0), |name| self.find(name));
            let Some(hierarchy) = index.and_then(|index| self.hierarchies.get(index)) else { continue };
            let (dir, value) = (hierarchy.dir.display(), write.value.trim_end());
            steps.add_for(write.property, format_args!("write {dir}/{}: {value}", write.file));
        }
        match &self.devices {
            Devices::Program(program) => {
                let count = program.len();
                steps.add_for(devices::PROPERTY, format_args!("bpf(PROG_ATTACH, CGROUP_DEVICE), {count} instructions"));
            }
            Devices::Lists(writes) => {
                for write in writes {
                    let file = if write.allow { "devices.allow" } else { "devices.deny" };
                    steps.add_for(write.property, format_args!("write {file}: {}", write.line));
                }
            }
        }
        if let Some(owner) = self.owner {
            steps.add(format_args!("chown the cgroup to {owner}"));
        }
    }
}
