//! What a container has used, from the files of its cgroups, in the shape of runc's `events`.
//!
//! Runs in: parent
//!
//! Field names, what is left out when it is zero, and where v2's figures go are runc's: monitoring
//! software reads them. `openmetrics` says the same in the exposition format.

pub(crate) mod openmetrics;
mod parse;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::path::Path;

use nix::errno::Errno;
use serde::{Serialize, Serializer};

use super::tree::gone;
use super::{Cgroup, Group, Version, file};
use crate::error::{On as _, Result};
use crate::sys::Call as _;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    cpu: Cpu,
    cpuset: CpuSet,
    memory: Memory,
    pids: Pids,
    blkio: BlockIo,
    /// By page size, as in `2MB`.
    hugetlb: BTreeMap<String, HugePages>,
    intel_rdt: IntelRdt,
    /// runc fills it for interfaces that it made, which it does no more.
    network_interfaces: Option<()>,
    /// In no JSON of runc's.
    #[serde(skip)]
    oom_kills: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

/// Nanoseconds.
#[derive(Debug, Default, Serialize)]
struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

/// v1 only.
#[derive(Debug, Default, Serialize)]
struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    usage: MemoryUse,
    /// Memory and swap together, on v2 too.
    swap: MemoryUse,
    kernel: MemoryUse,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: MemoryUse,
    /// memory.stat
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

/// Bytes. Without a limit, `limit` is the largest number that the kernel has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct MemoryUse {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    /// 0 is none.
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<DeviceIo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<DeviceIo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Pressure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct DeviceIo {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    /// `Read`, `Write` and so on.
    op: String,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

#[derive(Debug, Default, Serialize)]
struct HugePages {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
struct IntelRdt {}

/// Pressure stall information (v2).
#[derive(Debug, Default, PartialEq, Serialize)]
struct Pressure {
    some: Stalls,
    full: Stalls,
}

/// Percentages of the last seconds, and microseconds in all.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Stalls {
    #[serde(serialize_with = "as_go")]
    avg10: f64,
    #[serde(serialize_with = "as_go")]
    avg60: f64,
    #[serde(serialize_with = "as_go")]
    avg300: f64,
    total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Go prints `0`, not `0.0`.
fn as_go<S: Serializer>(number: &f64, to: S) -> std::result::Result<S::Ok, S::Error> {
    if number.fract() == 0.0 { to.serialize_u64(*number as u64) } else { to.serialize_f64(*number) }
}

impl Cgroup {
    /// What the kernel does not count here stays zero.
    pub(crate) fn stats(&self) -> Result<Stats> {
        self.require("events")?;
        if let Some(group) = self.tracker().filter(|group| !file::exists(&group.dir)) {
            return Err(Errno::ENOENT).call("open").on(group.dir.display());
        }
        let mut stats = Stats::default();
        for group in self.groups() {
            match group.version {
                Version::V1 => v1::add(group, &mut stats)?,
                Version::V2 => v2::add(group, &mut stats)?,
            }
        }
        stats.oom_kills = self.oom_kills();
        Ok(stats)
    }
}

/// The files of one directory; one that is missing, or of which the kernel knows nothing (PSI that is
/// switched off), is empty.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn text(&self, name: &str) -> Result<String> {
        match file::read_path(&self.0.join(name)) {
            Err(error) if gone(&error) || error.errno() == Some(Errno::EOPNOTSUPP) => Ok(String::new()),
            text => text,
        }
    }

    fn number(&self, name: &str) -> Result<u64> {
        Ok(parse::number(&self.text(name)?))
    }

    /// The page sizes that the host has, from the names of the files `hugetlb.SIZE<suffix>`.
    fn page_sizes(&self, suffix: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0).into_iter().flatten().flatten();
        let size = |name: &str| Some(name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?.to_owned());
        let sizes = entries.filter_map(|entry| size(entry.file_name().to_str()?));
        sizes.filter(|size| !size.contains('.')).collect()
    }
}

impl Group {
    fn files(&self) -> Files<'_> {
        Files(&self.dir)
    }
}
