//! Cgroup v1: a directory in each controller's hierarchy.
//!
//! Runs in: parent · config-linux.md#control-groups, kernel documentation cgroup-v1/

use std::path::Path;

use super::resources::{self, given};
use super::{Hierarchy, Plan, Write, file};
use crate::error::Result;
use crate::spec::config::Resources;

/// The files for `resources`.
pub(super) fn writes(resources: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    memory(resources, &mut writes);
    cpu(resources, &mut writes);
    writes
}

fn memory(resources: &Resources, writes: &mut Vec<Write>) {
    let Some(memory) = &resources.memory else { return };
    let limit = given(memory.limit());
    if let Some(limit) = limit {
        writes.push(Write::new("memory.limit_in_bytes", limit, resources::LIMIT));
    }
    if let Some(swap) = given(memory.swap()) {
        writes.push(Write::new("memory.memsw.limit_in_bytes", swap, resources::SWAP));
    } else if limit == Some(-1) {
        // It includes the memory, so it cannot stay below.
        writes.push(Write::new("memory.memsw.limit_in_bytes", -1, resources::LIMIT).optional());
    }
    if let Some(reservation) = given(memory.reservation()) {
        writes.push(Write::new("memory.soft_limit_in_bytes", reservation, resources::RESERVATION));
    }
    if let Some(swappiness) = memory.swappiness() {
        writes.push(Write::new("memory.swappiness", swappiness, resources::SWAPPINESS));
    }
    if let Some(disable) = memory.disable_oom_killer() {
        let write = Write::new("memory.oom_control", u8::from(disable), resources::OOM_KILLER);
        writes.push(if disable { write } else { write.initial() });
    }
}

fn cpu(resources: &Resources, writes: &mut Vec<Write>) {
    let Some(cpu) = &resources.cpu else { return };
    resources::weight_and_idle(cpu, given(cpu.shares()).map(|shares| ("cpu.shares", shares)), writes);
    if let Some(period) = given(cpu.period()) {
        writes.push(Write::new("cpu.cfs_period_us", period, resources::PERIOD));
    }
    if let Some(quota) = given(cpu.quota()) {
        writes.push(Write::new("cpu.cfs_quota_us", quota, resources::QUOTA));
    }
    if let Some(burst) = cpu.burst() {
        writes.push(Write::new("cpu.cfs_burst_us", burst, resources::BURST));
    }
    if let Some(period) = given(cpu.realtime_period()) {
        writes.push(Write::new("cpu.rt_period_us", period, resources::RT_PERIOD));
    }
    if let Some(runtime) = given(cpu.realtime_runtime()) {
        writes.push(Write::new("cpu.rt_runtime_us", runtime, resources::RT_RUNTIME));
    }
    resources::cpuset(cpu, writes);
}

/// What must be in place before anyone can join. `made`: how many directories are new, from the
/// container's upwards.
pub(super) fn prepare(plan: &Plan, hierarchy: &Hierarchy, made: usize) -> Result<()> {
    if hierarchy.controls("cpu") {
        budget_parents(plan, &hierarchy.dir, made)?;
    }
    if hierarchy.controls("cpuset") {
        fill_cpuset(plan, hierarchy, made > 0)?;
    }
    Ok(())
}

/// A new cgroup has no realtime budget to give to those below it: new parents get the container's.
fn budget_parents(plan: &Plan, dir: &Path, made: usize) -> Result<()> {
    let mut parents: Vec<_> = dir.ancestors().take(made).skip(1).collect();
    parents.reverse();
    let budget = || plan.writes.iter().filter(|write| write.file.starts_with("cpu.rt_"));
    parents.into_iter().try_for_each(|parent| resources::apply(parent, budget()))
}

/// A cpuset without cpus or memory nodes takes nobody in, and new ones are empty.
fn fill_cpuset(plan: &Plan, hierarchy: &Hierarchy, is_new: bool) -> Result<()> {
    let parent = hierarchy.dir.parent().unwrap_or(&hierarchy.mountpoint);
    for name in ["cpuset.cpus", "cpuset.mems"] {
        // Also where the configuration has a list: it may hold no more than the parent's.
        let inherited = filled(parent, name)?;
        let path = hierarchy.dir.join(name);
        let configured = plan.writes.iter().any(|write| write.file == name);
        if !configured && (is_new || file::read_value(&path)?.is_empty()) {
            file::write_path(&path, &inherited)?;
        }
    }
    resources::apply(&hierarchy.dir, plan.writes.iter().filter(|write| is_cpuset(write)))
}

/// The list in `dir`, filled from the next cgroup above that has one if there is none.
fn filled(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    let value = file::read_value(&path)?;
    match dir.parent() {
        Some(parent) if value.is_empty() => {
            let value = filled(parent, name)?;
            file::write_path(&path, &value)?;
            Ok(value)
        }
        _ => Ok(value),
    }
}

fn is_cpuset(write: &Write) -> bool {
    write.controller() == Some("cpuset")
}

/// What `prepare` has left to be written when the container may be in already.
pub(super) fn is_late(write: &Write) -> bool {
    !is_cpuset(write)
}
