//! Cgroup v2: one directory, and the controllers that its ancestors pass down to it.
//!
//! Runs in: parent · config-linux.md#unified (LNX-95 to LNX-98), kernel documentation cgroup-v2

use std::path::Path;

use nix::errno::Errno;

use super::resources::{self, given};
use super::{Hierarchy, Plan, Write, file};
use crate::error::code::Code;
use crate::error::{Error, Meaning, Property, Result};
use crate::spec::config::Resources;

/// The files for `resources`.
pub(super) fn writes(resources: &Resources) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    memory(resources, &mut writes)?;
    cpu(resources, &mut writes)?;
    Ok(writes)
}

/// LNX-98: what v2 has no file for cannot be carried out.
pub(super) fn v1_only(property: Property) -> Error {
    property.unsupported("cgroup v1; v2 has no such setting")
}

fn memory(resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    let Some(memory) = &resources.memory else { return Ok(()) };
    if memory.swappiness().is_some() {
        return Err(v1_only(resources::SWAPPINESS));
    }
    if memory.disable_oom_killer() == Some(true) {
        return Err(v1_only(resources::OOM_KILLER));
    }
    let limit = given(memory.limit());
    if let Some(limit) = limit {
        writes.push(Write::new("memory.max", resources::or_max(limit), resources::LIMIT));
    }
    // The configuration counts memory and swap together, v2 swap alone.
    let swap = match given(memory.swap()) {
        None if limit == Some(-1) => Some("max".to_owned()),
        None => None,
        Some(-1) => Some("max".to_owned()),
        Some(both) => Some((both - limit.unwrap_or_default()).to_string()),
    };
    if let Some(swap) = swap {
        // A kernel without swap has no such file, and nothing is to be limited.
        let idle = swap == "max" || swap == "0";
        let write = Write::new("memory.swap.max", swap, resources::SWAP);
        writes.push(if idle { write.optional() } else { write });
    }
    if let Some(reservation) = given(memory.reservation()) {
        writes.push(Write::new("memory.low", resources::or_max(reservation), resources::RESERVATION));
    }
    Ok(())
}

fn cpu(resources: &Resources, writes: &mut Vec<Write>) -> Result<()> {
    let Some(cpu) = &resources.cpu else { return Ok(()) };
    if given(cpu.realtime_runtime()).is_some() {
        return Err(v1_only(resources::RT_RUNTIME));
    }
    if given(cpu.realtime_period()).is_some() {
        return Err(v1_only(resources::RT_PERIOD));
    }
    let weight = given(cpu.shares()).map(|shares| ("cpu.weight", weight(shares)));
    resources::weight_and_idle(cpu, weight, writes);
    match (given(cpu.quota()), given(cpu.period())) {
        (None, None) => {}
        (quota, period) => {
            let quota = resources::or_max(quota.unwrap_or(-1));
            let value = period.map_or(quota.clone(), |period| format!("{quota} {period}"));
            let property = if cpu.quota().is_some() { resources::QUOTA } else { resources::PERIOD };
            writes.push(Write::new("cpu.max", value, property));
        }
    }
    if let Some(burst) = cpu.burst() {
        writes.push(Write::new("cpu.max.burst", burst, resources::BURST));
    }
    resources::cpuset(cpu, writes);
    Ok(())
}

/// v1's shares (2 to 262144, 1024 unless set) as v2's weight (1 to 10000, 100 unless set): on a
/// logarithmic scale a parabola through the three pairs (2, 1), (1024, 100) and (262144, 10000), as
/// runc has it since 1.3.2 and crun since 1.23.
fn weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        1024 => 100,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

/// Has every ancestor pass down all controllers it can, as other runtimes do: statistics need them
/// where no limit does. Only one that a limit needs must be there (LNX-95, LNX-97).
pub(super) fn prepare(plan: &Plan, hierarchy: &Hierarchy) -> Result<()> {
    let Some(parent) = hierarchy.dir.parent() else { return Ok(()) };
    let all = words(&hierarchy.mountpoint, "cgroup.controllers")?;
    let mut passed = words(parent, "cgroup.subtree_control")?;
    let mut refusals = Vec::new();
    if !all.iter().all(|name| passed.contains(name)) {
        let mut ancestors: Vec<&Path> =
            parent.ancestors().take_while(|dir| dir.starts_with(&hierarchy.mountpoint)).collect();
        while let Some(dir) = ancestors.pop() {
            enable(dir, &mut refusals)?;
        }
        passed = words(parent, "cgroup.subtree_control")?;
    }
    for write in &plan.writes {
        if let Some(name) = write.controller()
            && !passed.iter().any(|passed| passed == name)
        {
            return Err(missing(write, name, &refusals));
        }
    }
    Ok(())
}

/// A controller that a cgroup did not pass down.
struct Refusal {
    controller: String,
    file: String,
    errno: Errno,
}

/// Passes on what `dir` itself has.
fn enable(dir: &Path, refusals: &mut Vec<Refusal>) -> Result<()> {
    let passed = words(dir, "cgroup.subtree_control")?;
    let missing: Vec<String> =
        words(dir, "cgroup.controllers")?.into_iter().filter(|name| !passed.contains(name)).collect();
    let path = dir.join("cgroup.subtree_control");
    let request = |names: &[String]| names.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    let put = |names: &[String]| file::write_path(&path, &request(names)).err().and_then(|error| error.errno());
    if missing.is_empty() {
        return Ok(());
    }
    let Some(refused) = put(&missing) else { return Ok(()) };
    for name in missing {
        // One that cannot be had (cpu while there are real-time processes) keeps no other back. But
        // not among processes: there controllers for threads can be had, and spoil it for children.
        let errno = if refused == Errno::EBUSY { Some(refused) } else { put(std::slice::from_ref(&name)) };
        if let Some(errno) = errno {
            refusals.push(Refusal { controller: name, file: path.display().to_string(), errno });
        }
    }
    Ok(())
}

fn missing(write: &Write, controller: &str, refusals: &[Refusal]) -> Error {
    let why = match refusals.iter().find(|refusal| refusal.controller == controller) {
        None => "which this host's cgroup v2 does not have".to_owned(),
        Some(Refusal { file, errno, .. }) => {
            let hint = match errno {
                Errno::EBUSY => " (that cgroup has processes of its own)",
                Errno::EACCES | Errno::EPERM | Errno::EROFS => " (that cgroup is not delegated to the caller)",
                Errno::EOPNOTSUPP => " (that cgroup is threaded)",
                _ => "",
            };
            format!("which {file} refuses to pass down: {}{hint}", Meaning(*errno))
        }
    };
    let error = write.property.unsupported(format!("{} needs the {controller} controller, {why}", write.file));
    let error = error.code_is(Code::CgroupController);
    match refusals.iter().any(|refusal| matches!(refusal.errno, Errno::EACCES | Errno::EPERM)) {
        true => {
            error.hint(format!("with systemd, `Delegate=` of user@.service and of its slices must name {controller}"))
        }
        false => error,
    }
}

fn words(dir: &Path, name: &str) -> Result<Vec<String>> {
    Ok(file::read_value(&dir.join(name))?.split_whitespace().map(str::to_owned).collect())
}
