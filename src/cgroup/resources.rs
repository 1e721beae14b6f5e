//! `linux.resources`: what is checked on every host; `v1` and `v2` say which files it becomes.
//!
//! Runs in: parent · config-linux.md#control-groups (LNX-69 to LNX-98)
//!
//! As in runc, 0 in memory and cpu values is the same as unset: that is what engines mean by it.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use oci_spec::runtime::LinuxCpu;

use super::{Layout, Missing, Version, Write, block_io, file, hugepages, network, rdma, v1, v2};
use crate::error::{For as _, On as _, Property, Result};
use crate::spec::config::Resources;
use crate::sys;

pub(super) const LIMIT: Property = Property::of("linux.resources.memory.limit");
pub(super) const RESERVATION: Property = Property::of("linux.resources.memory.reservation");
pub(super) const SWAP: Property = Property::of("linux.resources.memory.swap");
pub(super) const SWAPPINESS: Property = Property::of("linux.resources.memory.swappiness");
pub(super) const OOM_KILLER: Property = Property::of("linux.resources.memory.disableOOMKiller");
const HIERARCHY: Property = Property::of("linux.resources.memory.useHierarchy");
pub(super) const SHARES: Property = Property::of("linux.resources.cpu.shares");
pub(super) const QUOTA: Property = Property::of("linux.resources.cpu.quota");
pub(super) const PERIOD: Property = Property::of("linux.resources.cpu.period");
pub(super) const BURST: Property = Property::of("linux.resources.cpu.burst");
pub(super) const IDLE: Property = Property::of("linux.resources.cpu.idle");
pub(super) const RT_RUNTIME: Property = Property::of("linux.resources.cpu.realtimeRuntime");
pub(super) const RT_PERIOD: Property = Property::of("linux.resources.cpu.realtimePeriod");
pub(super) const CPUS: Property = Property::of("linux.resources.cpu.cpus");
pub(super) const MEMS: Property = Property::of("linux.resources.cpu.mems");
pub(super) const PIDS: Property = Property::of("linux.resources.pids.limit");
pub(super) const UNIFIED: Property = Property::of("linux.resources.unified");

/// Files through which `unified` would move, stop or end processes, init among them.
const NO_LIMITS: [&str; 4] = ["cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.threads"];

/// The writes that carry out `resources`, in order.
pub(super) fn compile(resources: &Resources, layout: &Layout) -> Result<Vec<Write>> {
    check_memory(resources)?;
    check_cpu(resources)?;
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        at_least_unlimited(PIDS, limit)?;
    }
    match layout.version() {
        // A host without cgroups is told apart when they are to be made.
        Some(Version::V2) | None => {
            let mut writes = v2::writes(resources)?;
            common(resources, Version::V2, &mut writes)?;
            unified(resources, &mut writes)?;
            Ok(writes)
        }
        Some(Version::V1) => {
            if !resources.unified.is_empty() {
                return Err(UNIFIED.unsupported("cgroup v2, and this host uses v1"));
            }
            let mut writes = v1::writes(resources);
            common(resources, Version::V1, &mut writes)?;
            writes.iter().try_for_each(|write| is_mounted(write, layout))?;
            Ok(writes)
        }
    }
}

/// The properties whose file names are most of what differs between the versions.
fn common(resources: &Resources, version: Version, writes: &mut Vec<Write>) -> Result<()> {
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        writes.push(Write::new("pids.max", or_max(limit), PIDS));
    }
    if let Some(config) = &resources.block_io {
        block_io::compile(config, version, writes)?;
    }
    hugepages::compile(&resources.hugepage_limits, version, writes)?;
    if let Some(config) = &resources.network {
        network::compile(config, version, writes)?;
    }
    rdma::compile(&resources.rdma, writes)
}

/// v1: a controller that the host does not have matters only when it is asked for something.
fn is_mounted(write: &Write, layout: &Layout) -> Result<()> {
    match write.controller() {
        Some(name) if !layout.controls(name) => {
            Err(write.property.unsupported(format!("the {name} controller, which this host does not mount")))
        }
        _ => Ok(()),
    }
}

/// A value that is there, and is not the zero that stands for "not set".
pub(super) fn given<T: Copy + Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

fn at_least_unlimited(property: Property, value: i64) -> Result<()> {
    if value < -1 { Err(property.invalid(format!("{value} is neither a limit nor -1 (unlimited)"))) } else { Ok(()) }
}

fn check_memory(resources: &Resources) -> Result<()> {
    let Some(memory) = &resources.memory else { return Ok(()) };
    for (property, value) in [(LIMIT, memory.limit()), (RESERVATION, memory.reservation()), (SWAP, memory.swap())] {
        at_least_unlimited(property, value.unwrap_or_default())?;
    }
    if let Some(swap) = given(memory.swap()).filter(|swap| *swap > 0) {
        // The value counts memory and swap together.
        match given(memory.limit()) {
            None | Some(-1) => return Err(SWAP.invalid(format!("{swap} needs a memory.limit that it includes"))),
            Some(limit) if swap < limit => {
                return Err(SWAP.invalid(format!("{swap} is less than memory.limit ({limit}), which it includes")));
            }
            Some(_) => {}
        }
    }
    if let Some(swappiness) = memory.swappiness().filter(|value| *value > 100) {
        return Err(SWAPPINESS.invalid(format!("{swappiness} is more than 100")));
    }
    if memory.use_hierarchy() == Some(false) {
        return Err(HIERARCHY.unsupported("Linux before 5.11: a cgroup's memory includes that of the cgroups below it"));
    }
    Ok(())
}

/// LNX-72
pub(crate) fn warn_of_kernel_memory(resources: &Resources) {
    let Some(memory) = &resources.memory else { return };
    for (name, value) in [("kernel", memory.kernel()), ("kernelTCP", memory.kernel_tcp())] {
        if given(value).is_some() {
            log::warn!("linux.resources.memory.{name} is ignored: Linux has no such limit any more");
        }
    }
}

/// LNX-78, LNX-79, LNX-83
fn check_cpu(resources: &Resources) -> Result<()> {
    let Some(cpu) = &resources.cpu else { return Ok(()) };
    at_least_unlimited(QUOTA, cpu.quota().unwrap_or_default())?;
    at_least_unlimited(RT_RUNTIME, cpu.realtime_runtime().unwrap_or_default())?;
    if let (Some(burst), Some(quota @ 1..)) = (cpu.burst(), cpu.quota())
        && burst > quota.unsigned_abs()
    {
        return Err(BURST.invalid(format!("{burst} is more than cpu.quota ({quota})")));
    }
    match cpu.idle() {
        None | Some(0 | 1) => Ok(()),
        Some(idle) => Err(IDLE.invalid(format!("{idle} is neither 0 nor 1"))),
    }
}

/// The share of cpu time, and whether the cgroup gets only what others leave. An idle cgroup takes no
/// other share, so one that stops being idle does so first.
pub(super) fn weight_and_idle(cpu: &LinuxCpu, weight: Option<(&'static str, u64)>, writes: &mut Vec<Write>) {
    let weight = weight.map(|(file, value)| Write::new(file, value, SHARES));
    let idle = cpu.idle().map(|idle| Write::new("cpu.idle", idle, IDLE));
    let in_order = if cpu.idle() == Some(1) { [weight, idle] } else { [idle, weight] };
    writes.extend(in_order.into_iter().flatten());
}

pub(super) fn cpuset(cpu: &LinuxCpu, writes: &mut Vec<Write>) {
    for (file, list, property) in [("cpuset.cpus", cpu.cpus(), CPUS), ("cpuset.mems", cpu.mems(), MEMS)] {
        if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
            writes.push(Write::new(file, list, property));
        }
    }
}

/// -1 as the kernel writes "unlimited" on v2, and for pids everywhere.
pub(super) fn or_max(limit: i64) -> String {
    if limit == -1 { "max".to_owned() } else { limit.to_string() }
}

/// LNX-95 to LNX-97: any file of the cgroup, also of controllers that nobody here knows.
fn unified(resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    for (file, value) in resources.unified.iter() {
        // A name with a slash would reach the files of other cgroups.
        if file.is_empty() || file == "." || file == ".." || file.contains(['/', '\0']) {
            return Err(UNIFIED.invalid(format!("{file:?} is not the name of a cgroup's file")));
        }
        if NO_LIMITS.contains(&file) {
            return Err(UNIFIED.invalid(format!("{file:?} is no setting: it acts on processes")));
        }
        let write = |line: &str| Write::new(file.to_owned(), line, UNIFIED);
        // Files such as io.max take one line at a time. An empty value still is one: it resets.
        writes.extend(if value.is_empty() { vec![write("\n")] } else { value.lines().map(write).collect() });
    }
    Ok(())
}

/// Writes values into the files of one directory. The kernel checks some of them against each
/// other (a memory limit against the swap limit, a burst against its quota), so which order is right
/// depends on what the files hold: what is refused is tried once more after the others.
pub(super) fn apply<'a>(dir: &Path, writes: impl Iterator<Item = &'a Write>) -> Result<()> {
    let mut writes = writes.peekable();
    if writes.peek().is_none() {
        return Ok(());
    }
    let directory = file::open_path(dir, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let mut refused = Vec::new();
    for write in writes {
        match put(&directory, write) {
            (_, Err(error)) if error.errno == Errno::EINVAL => refused.push(write),
            (write, result) => name(result, dir, write)?,
        }
    }
    refused.into_iter().try_for_each(|write| {
        let (write, result) = put(&directory, write);
        name(result, dir, write)
    })
}

/// Writes the first of its files that is there; says which that was.
fn put<'a>(directory: &OwnedFd, write: &'a Write) -> (&'a Write, sys::Result<()>) {
    match (file::write(directory, Path::new(&*write.file), &write.value), &write.missing) {
        (Err(error), Missing::IsFine) if error.errno == Errno::ENOENT => (write, Ok(())),
        (Err(error), Missing::Other(other)) if error.errno == Errno::ENOENT => put(directory, other),
        (result, _) => (write, result),
    }
}

fn name(result: sys::Result<()>, dir: &Path, write: &Write) -> Result<()> {
    result.on(format_args!("{}/{} ({})", dir.display(), write.file, write.value.trim_end())).property(write.property)
}
