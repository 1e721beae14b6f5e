//! The statistics as OpenMetrics text: what Prometheus and its like read.
//!
//! Runs in: parent · OpenMetrics 1.0, docs/metrics.md has the names
//!
//! Base units, seconds and bytes. Names that cAdvisor has for the same figures are cAdvisor's.

use std::fmt::{Display, Write as _};

use super::{DeviceIo, Pressure, Stats};

/// The media type's end mark.
const END: &str = "# EOF\n";

/// One text for one container.
pub(crate) fn text(id: &str, stats: &Stats) -> String {
    let mut page = Page { text: String::new(), id: escape(id) };
    cpu(&mut page, stats);
    memory(&mut page, stats);
    others(&mut page, stats);
    let pressures = [("cpu", &stats.cpu.psi), ("memory", &stats.memory.psi), ("io", &stats.blkio.psi)];
    for (resource, pressure) in pressures {
        if let Some(pressure) = pressure {
            stalled(&mut page, resource, pressure);
        }
    }
    page.text + END
}

fn cpu(page: &mut Page, stats: &Stats) {
    let usage = &stats.cpu.usage;
    page.family("container_cpu_usage_seconds", Kind::Counter, "CPU time used").value(Seconds(usage.total));
    page.family("container_cpu_user_seconds", Kind::Counter, "CPU time used in user mode").value(Seconds(usage.user));
    page.family("container_cpu_system_seconds", Kind::Counter, "CPU time used in the kernel")
        .value(Seconds(usage.kernel));
    let throttling = &stats.cpu.throttling;
    page.family("container_cpu_cfs_periods", Kind::Counter, "Periods of the CPU quota").value(throttling.periods);
    page.family("container_cpu_cfs_throttled_periods", Kind::Counter, "Periods in which the quota was used up")
        .value(throttling.throttled_periods);
    page.family("container_cpu_cfs_throttled_seconds", Kind::Counter, "Time spent waiting for the quota")
        .value(Seconds(throttling.throttled_time));
}

fn memory(page: &mut Page, stats: &Stats) {
    let (usage, swap) = (stats.memory.usage, stats.memory.swap);
    page.family("container_memory_usage_bytes", Kind::Gauge, "Memory in use").value(usage.usage);
    page.family("container_memory_max_usage_bytes", Kind::Gauge, "Most memory in use at any time").value(usage.max);
    page.family("container_memory_cache_bytes", Kind::Gauge, "Memory that is page cache").value(stats.memory.cache);
    page.family("container_memory_swap_bytes", Kind::Gauge, "Swap space in use")
        .value(swap.usage.saturating_sub(usage.usage));
    // v1's largest is a page short of the largest signed number.
    if usage.limit < i64::MAX as u64 - (1 << 20) {
        page.family("container_memory_limit_bytes", Kind::Gauge, "Memory that may be used").value(usage.limit);
    }
    page.family("container_memory_failcnt", Kind::Counter, "Times that the limit was reached").value(usage.failcnt);
    if let Some(kills) = stats.oom_kills {
        page.family("container_oom_kills", Kind::Counter, "Processes killed for want of memory").value(kills);
    }
}

fn others(page: &mut Page, stats: &Stats) {
    page.family("container_processes", Kind::Gauge, "Processes and threads").value(stats.pids.current);
    if stats.pids.limit > 0 {
        page.family("container_processes_limit", Kind::Gauge, "Processes and threads allowed").value(stats.pids.limit);
    }
    let io = &stats.blkio;
    page.family("container_blkio_bytes", Kind::Counter, "Bytes moved to and from block devices")
        .devices(&io.io_service_bytes_recursive);
    page.family("container_blkio_operations", Kind::Counter, "Operations on block devices")
        .devices(&io.io_serviced_recursive);
    let mut family = page.family("container_hugetlb_usage_bytes", Kind::Gauge, "Huge pages in use");
    for (size, pages) in &stats.hugetlb {
        family.labelled(&[("pagesize", size)], pages.usage);
    }
    let mut family = page.family("container_hugetlb_failcnt", Kind::Counter, "Huge pages refused by their limit");
    for (size, pages) in &stats.hugetlb {
        family.labelled(&[("pagesize", size)], pages.failcnt);
    }
}

/// In microseconds.
fn stalled(page: &mut Page, resource: &str, pressure: &Pressure) {
    let microseconds = |total: u64| Seconds(total.saturating_mul(1000));
    page.family(
        &format!("container_pressure_{resource}_waiting_seconds"),
        Kind::Counter,
        &format!("Time in which some tasks waited for {resource}"),
    )
    .value(microseconds(pressure.some.total));
    page.family(
        &format!("container_pressure_{resource}_stalled_seconds"),
        Kind::Counter,
        &format!("Time in which all tasks waited for {resource}"),
    )
    .value(microseconds(pressure.full.total));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

struct Page {
    text: String,
    /// As the value of a label.
    id: String,
}

/// What follows the description of one metric.
struct Family<'a> {
    page: &'a mut Page,
    /// Of its samples.
    name: String,
}

impl Page {
    /// The unit is the end of the name.
    fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        let (kind, suffix) = if kind == Kind::Counter { ("counter", "_total") } else { ("gauge", "") };
        self.line(format_args!("# TYPE {name} {kind}"));
        if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit)) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {help}."));
        Family { page: self, name: format!("{name}{suffix}") }
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

impl Family<'_> {
    fn value(&mut self, value: impl Display) {
        self.labelled(&[], value);
    }

    fn devices(&mut self, list: &[DeviceIo]) {
        for DeviceIo { major, minor, op, value } in list.iter().filter(|io| matches!(&*io.op, "Read" | "Write")) {
            self.labelled(&[("device", &format!("{major}:{minor}")), ("operation", op)], value);
        }
    }

    fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let mut all = format!("id=\"{}\"", self.page.id);
        for (name, label) in labels {
            let _ = write!(all, ",{name}=\"{}\"", escape(label));
        }
        self.page.line(format_args!("{}{{{all}}} {value}", self.name));
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// Nanoseconds, printed as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HugePages, Stalls};
    use super::*;

    #[test]
    fn every_sample_follows_its_description() {
        let mut stats = Stats::default();
        stats.cpu.usage.total = 1_234_567_890;
        stats.cpu.psi =
            Some(Pressure { some: Stalls { total: 1_500_000, ..Stalls::default() }, full: Stalls::default() });
        stats.memory.usage.limit = 1 << 20;
        stats.blkio.io_serviced_recursive = vec![
            DeviceIo { major: 8, minor: 1, op: "Read".into(), value: 3 },
            DeviceIo { major: 8, minor: 1, op: "Sync".into(), value: 3 },
        ];
        stats.hugetlb.insert("2MB".into(), HugePages { usage: 7, ..HugePages::default() });
        let text = text("a\"b", &stats);
        assert!(text.ends_with("\n# EOF\n"));
        for line in [
            "# TYPE container_cpu_usage_seconds counter\n# UNIT container_cpu_usage_seconds seconds\n",
            "container_cpu_usage_seconds_total{id=\"a\\\"b\"} 1.234567890\n",
            "container_memory_limit_bytes{id=\"a\\\"b\"} 1048576\n",
            "container_blkio_operations_total{id=\"a\\\"b\",device=\"8:1\",operation=\"Read\"} 3\n# ",
            "container_hugetlb_usage_bytes{id=\"a\\\"b\",pagesize=\"2MB\"} 7\n",
            "container_pressure_cpu_waiting_seconds_total{id=\"a\\\"b\"} 1.500000000\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(!text.contains("container_processes_limit"));
    }

    #[test]
    fn no_limit_is_no_metric() {
        for limit in [u64::MAX, 9_223_372_036_854_771_712] {
            let mut stats = Stats::default();
            stats.memory.usage.limit = limit;
            assert!(!text("x", &stats).contains("container_memory_limit"));
        }
    }
}
