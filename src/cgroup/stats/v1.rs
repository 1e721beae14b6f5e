//! Statistics of one hierarchy of v1.
//!
//! Runs in: parent · kernel documentation cgroup-v1/

use super::{BlockIo, CpuSet, CpuUsage, Files, Group, HugePages, Memory, MemoryUse, Pids, Stats, Throttling, parse};
use crate::error::Result;

/// `cpuacct.stat` counts in USER_HZ, which is 100 on every architecture we run on.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Several controllers may share the hierarchy.
pub(super) fn add(group: &Group, stats: &mut Stats) -> Result<()> {
    let files = group.files();
    if group.controls("cpuacct") {
        stats.cpu.usage = cpu_usage(&files)?;
    }
    if group.controls("cpu") {
        stats.cpu.throttling = throttling(&files.text("cpu.stat")?);
    }
    if group.controls("cpuset") {
        stats.cpuset = cpuset(&files)?;
    }
    if group.controls("memory") {
        stats.memory = memory(&files)?;
    }
    if group.controls("pids") {
        let limit = parse::number(&files.text("pids.max")?);
        let limit = if limit == u64::MAX { 0 } else { limit };
        stats.pids = Pids { current: files.number("pids.current")?, limit };
    }
    if group.controls("blkio") {
        stats.blkio = block_io(&files)?;
    }
    if group.controls("hugetlb") {
        for size in files.page_sizes(".usage_in_bytes") {
            let pages = huge_pages(&files, &size)?;
            stats.hugetlb.insert(size, pages);
        }
    }
    Ok(())
}

fn cpu_usage(files: &Files<'_>) -> Result<CpuUsage> {
    let stat = parse::table(&files.text("cpuacct.stat")?);
    let nanoseconds = |name| stat.get(name).map_or(0, |ticks| ticks.saturating_mul(NANOSECONDS_PER_TICK));
    let (percpu_user, percpu_kernel) = parse::by_cpu(&files.text("cpuacct.usage_all")?);
    Ok(CpuUsage {
        total: files.number("cpuacct.usage")?,
        percpu: parse::numbers(&files.text("cpuacct.usage_percpu")?),
        percpu_kernel,
        percpu_user,
        kernel: nanoseconds("system"),
        user: nanoseconds("user"),
    })
}

fn throttling(stat: &str) -> Throttling {
    let stat = parse::table(stat);
    let of = |name| stat.get(name).copied().unwrap_or(0);
    Throttling {
        periods: of("nr_periods"),
        throttled_periods: of("nr_throttled"),
        throttled_time: of("throttled_time"),
    }
}

fn cpuset(files: &Files<'_>) -> Result<CpuSet> {
    let flag = |name: &str| files.number(&format!("cpuset.{name}"));
    Ok(CpuSet {
        cpus: parse::list(&files.text("cpuset.cpus")?),
        cpu_exclusive: flag("cpu_exclusive")?,
        mems: parse::list(&files.text("cpuset.mems")?),
        mem_hardwall: flag("mem_hardwall")?,
        mem_exclusive: flag("mem_exclusive")?,
        memory_migrate: flag("memory_migrate")?,
        memory_spread_page: flag("memory_spread_page")?,
        memory_spread_slab: flag("memory_spread_slab")?,
        memory_pressure: flag("memory_pressure")?,
        sched_load_balance: flag("sched_load_balance")?,
        sched_relax_domain_level: parse::signed(&files.text("cpuset.sched_relax_domain_level")?),
    })
}

fn memory(files: &Files<'_>) -> Result<Memory> {
    let raw = parse::table(&files.text("memory.stat")?);
    Ok(Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: memory_use(files, "memory")?,
        swap: memory_use(files, "memory.memsw")?,
        kernel: memory_use(files, "memory.kmem")?,
        kernel_tcp: memory_use(files, "memory.kmem.tcp")?,
        raw,
        psi: None,
    })
}

fn memory_use(files: &Files<'_>, prefix: &str) -> Result<MemoryUse> {
    let of = |name: &str| files.number(&format!("{prefix}.{name}"));
    Ok(MemoryUse {
        limit: of("limit_in_bytes")?,
        usage: of("usage_in_bytes")?,
        max: of("max_usage_in_bytes")?,
        failcnt: of("failcnt")?,
    })
}

/// The BFQ scheduler counts by itself, where it is in use.
fn block_io(files: &Files<'_>) -> Result<BlockIo> {
    let of = |name: &str| files.text(name).map(|text| parse::block_io(&text));
    let serviced = of("blkio.bfq.io_serviced_recursive")?;
    if !serviced.is_empty() {
        let bytes = of("blkio.bfq.io_service_bytes_recursive")?;
        return Ok(BlockIo { io_service_bytes_recursive: bytes, io_serviced_recursive: serviced, psi: None });
    }
    Ok(BlockIo {
        io_service_bytes_recursive: of("blkio.throttle.io_service_bytes_recursive")?,
        io_serviced_recursive: of("blkio.throttle.io_serviced_recursive")?,
        psi: None,
    })
}

fn huge_pages(files: &Files<'_>, size: &str) -> Result<HugePages> {
    // Reservations are counted apart from Linux 5.7 on, and are what is limited.
    let prefix = match files.text(&format!("hugetlb.{size}.rsvd.usage_in_bytes"))?.is_empty() {
        true => format!("hugetlb.{size}"),
        false => format!("hugetlb.{size}.rsvd"),
    };
    let of = |name: &str| files.number(&format!("{prefix}.{name}"));
    Ok(HugePages { usage: of("usage_in_bytes")?, max: of("max_usage_in_bytes")?, failcnt: of("failcnt")? })
}
