//! Statistics of a cgroup of v2, in the terms of v1.
//!
//! Runs in: parent · kernel documentation cgroup-v2

use super::{BlockIo, Cpu, CpuUsage, Files, Group, HugePages, Memory, MemoryUse, Pids, Stats, Throttling, parse};
use crate::error::Result;

pub(super) fn add(group: &Group, stats: &mut Stats) -> Result<()> {
    let files = group.files();
    stats.cpu = cpu(&files)?;
    stats.memory = memory(&files)?;
    let limit = files.number("pids.max")?;
    stats.pids = Pids { current: files.number("pids.current")?, limit: if limit == u64::MAX { 0 } else { limit } };
    let io = files.text("io.stat")?;
    stats.blkio = BlockIo {
        io_service_bytes_recursive: parse::io_stat(&io, [("rbytes", "Read"), ("wbytes", "Write")]),
        io_serviced_recursive: parse::io_stat(&io, [("rios", "Read"), ("wios", "Write")]),
        psi: parse::pressure(&files.text("io.pressure")?),
    };
    for size in files.page_sizes(".current") {
        let pages = huge_pages(&files, &size)?;
        stats.hugetlb.insert(size, pages);
    }
    Ok(())
}

fn cpu(files: &Files<'_>) -> Result<Cpu> {
    let stat = parse::table(&files.text("cpu.stat")?);
    let of = |name| stat.get(name).copied().unwrap_or(0);
    let nanoseconds = |name| of(name).saturating_mul(1000);
    Ok(Cpu {
        usage: CpuUsage {
            total: nanoseconds("usage_usec"),
            kernel: nanoseconds("system_usec"),
            user: nanoseconds("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: of("nr_periods"),
            throttled_periods: of("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
        psi: parse::pressure(&files.text("cpu.pressure")?),
    })
}

fn memory(files: &Files<'_>) -> Result<Memory> {
    let raw = parse::table(&files.text("memory.stat")?);
    let usage = memory_use(files, "memory")?;
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap: with_swap(usage, memory_use(files, "memory.swap")?),
        raw,
        psi: parse::pressure(&files.text("memory.pressure")?),
        ..Memory::default()
    })
}

fn memory_use(files: &Files<'_>, prefix: &str) -> Result<MemoryUse> {
    let of = |name: &str| files.number(&format!("{prefix}.{name}"));
    Ok(MemoryUse { limit: of("max")?, usage: of("current")?, max: of("peak")?, failcnt: 0 })
}

/// v1 counts memory and swap together; the two peaks need not have been at the same time.
fn with_swap(memory: MemoryUse, swap: MemoryUse) -> MemoryUse {
    MemoryUse {
        limit: memory.limit.saturating_add(swap.limit),
        usage: memory.usage.saturating_add(swap.usage),
        max: 0,
        failcnt: 0,
    }
}

fn huge_pages(files: &Files<'_>, size: &str) -> Result<HugePages> {
    let reserved = files.text(&format!("hugetlb.{size}.rsvd.current"))?;
    let usage = match reserved.is_empty() {
        true => files.number(&format!("hugetlb.{size}.current"))?,
        false => parse::number(&reserved),
    };
    let events = parse::table(&files.text(&format!("hugetlb.{size}.events"))?);
    Ok(HugePages { usage, max: 0, failcnt: events.get("max").copied().unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_swap_are_one_figure() {
        let memory = MemoryUse { limit: 100, usage: 60, max: 80, failcnt: 0 };
        let swap = MemoryUse { limit: 50, usage: 5, max: 9, failcnt: 0 };
        assert_eq!(with_swap(memory, swap), MemoryUse { limit: 150, usage: 65, max: 0, failcnt: 0 });
        let unlimited = MemoryUse { limit: u64::MAX, ..swap };
        assert_eq!(with_swap(memory, unlimited).limit, u64::MAX);
    }
}
