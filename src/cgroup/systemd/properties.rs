//! Limits as properties of the unit, so that systemd knows them: `systemctl show` tells them, and
//! nothing is taken back when systemd writes its own values again (daemon-reload).
//!
//! Runs in: parent · systemd.resource-control(5), org.freedesktop.systemd1(5)
//!
//! They are read off the writes that are going to be made anyway, whatever part of the configuration
//! those come from (`unified`, too). What has no property, or a value that is not understood here, is
//! only written; the kernel judges it.

use zbus::Variant;

use super::unit::Unit;
use crate::cgroup::Write;

/// A property's name and value.
pub(super) type Setting = (&'static str, Variant<'static>);

/// What systemd means by no limit.
const INFINITY: u64 = u64::MAX;
const SECOND: u64 = 1_000_000;
/// Of cpu.max.
const DEFAULT_PERIOD: u64 = 100_000;
/// CPUQuotaPerSecUSec is kept in percents by older versions.
const PERCENT: u64 = SECOND / 100;

/// The versions of systemd that came to know a setting.
const CPU_IDLE: u32 = 252;
const OOM_POLICY_OF_SCOPES: u32 = 253;
const ZSWAP: u32 = 253;

/// What every container's scope has.
pub(super) fn of_scope(unit: &Unit, id: &str) -> Vec<Setting> {
    let mut settings = vec![
        ("Description", Variant::from(format!("orlop container {id}"))),
        ("Slice", Variant::from(unit.slice.clone())),
        // The files in it are ours to write, and so are cgroups below it.
        ("Delegate", Variant::from(true)),
        // It must not be stopped early at shutdown because of what it does not depend on.
        ("DefaultDependencies", Variant::from(false)),
    ];
    let accounting = ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"];
    settings.extend(accounting.map(|name| (name, Variant::from(true))));
    settings
}

/// `DeviceAllow` and its policy; `None` allows everything.
pub(super) fn of_devices(list: Option<Vec<(String, String)>>) -> [Setting; 2] {
    let policy = if list.is_some() { "strict" } else { "auto" };
    [("DevicePolicy", Variant::from(policy)), ("DeviceAllow", Variant::from(list.unwrap_or_default()))]
}

/// What the writes come to; of two for one property the last counts, as in the files.
pub(super) fn of_writes<'a>(writes: impl IntoIterator<Item = &'a Write>, version: u32) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut rates = Rates::default();
    for write in writes {
        let value = write.value.trim();
        for (name, value) in of_file(&write.file, value, version).unwrap_or_default() {
            settings.retain(|(other, _)| *other != name);
            settings.push((name, value));
        }
        rates.collect(&write.file, value);
    }
    settings.extend(rates.settings());
    settings
}

fn of_file(file: &str, value: &str, version: u32) -> Option<Vec<Setting>> {
    let one = |name: &'static str, value: u64| Some(vec![(name, Variant::from(value))]);
    match file {
        "memory.max" => one("MemoryMax", limit(value)?),
        "memory.high" => one("MemoryHigh", limit(value)?),
        "memory.low" => one("MemoryLow", limit(value)?),
        "memory.min" => one("MemoryMin", limit(value)?),
        "memory.swap.max" => one("MemorySwapMax", limit(value)?),
        "memory.zswap.max" if version >= ZSWAP => one("MemoryZSwapMax", limit(value)?),
        "memory.oom.group" if version >= OOM_POLICY_OF_SCOPES => {
            let policy = if value == "1" { "kill" } else { "continue" };
            Some(vec![("OOMPolicy", Variant::from(policy))])
        }
        "pids.max" => one("TasksMax", limit(value)?),
        "cpu.weight" => one("CPUWeight", value.parse().ok()?),
        // A weight of 0 is systemd's word for it.
        "cpu.idle" if value == "1" && version >= CPU_IDLE => one("CPUWeight", 0),
        "cpu.max" => cpu_quota(value),
        "cpuset.cpus" => Some(vec![("AllowedCPUs", Variant::from(bits(value)?))]),
        "cpuset.mems" => Some(vec![("AllowedMemoryNodes", Variant::from(bits(value)?))]),
        "io.weight" | "io.bfq.weight" => {
            let value = value.strip_prefix("default").unwrap_or(value).trim().parse().ok()?;
            one("IOWeight", if file == "io.weight" { value } else { from_bfq(value) })
        }
        _ => None,
    }
}

fn limit(value: &str) -> Option<u64> {
    if value == "max" { Some(INFINITY) } else { value.parse().ok() }
}

/// `max`, `50000`, `50000 100000`.
fn cpu_quota(value: &str) -> Option<Vec<Setting>> {
    let (quota, period) = match value.split_once(' ') {
        Some((quota, period)) => (quota, Some(period.trim().parse().ok()?)),
        None => (value, None),
    };
    let per_second = match limit(quota)? {
        INFINITY => INFINITY,
        quota => {
            let part = u128::from(quota) * u128::from(SECOND) / u128::from(period.unwrap_or(DEFAULT_PERIOD).max(1));
            // Upwards, so that cgroups below can have what the configuration says.
            u64::try_from(part).ok()?.checked_next_multiple_of(PERCENT)?
        }
    };
    let mut settings = vec![("CPUQuotaPerSecUSec", Variant::from(per_second))];
    settings.extend(period.map(|period| ("CPUQuotaPeriodUSec", Variant::from(period))));
    Some(settings)
}

/// `0-2,8` as a bit for each number, lowest first. No number is no restriction.
fn bits(list: &str) -> Option<Vec<u8>> {
    const MOST: usize = 1 << 16;
    let mut bytes = Vec::new();
    for range in list.split_terminator(',').map(str::trim) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        for number in first..=last {
            if bytes.len() <= number / 8 {
                bytes.resize(number / 8 + 1, 0u8);
            }
            bytes[number / 8] |= 1 << (number % 8);
        }
    }
    Some(bytes)
}

/// BFQ's scale (1 to 1000) as that of io.weight (1 to 10000): 100 is 100 on both, and both halves are
/// straight. systemd goes the other way when it writes.
fn from_bfq(weight: u64) -> u64 {
    match weight {
        ..=100 => weight.max(1),
        _ => 100 + (weight.min(1000) - 100) * 9900 / 900,
    }
}

/// Settings of single block devices: one property holds those of all devices.
#[derive(Default)]
struct Rates(Vec<(&'static str, Vec<(String, u64)>)>);

impl Rates {
    fn collect(&mut self, file: &str, value: &str) {
        let Some((device, values)) = value.split_once(' ').filter(|(device, _)| device.contains(':')) else { return };
        let device = format!("/dev/block/{device}");
        match file {
            "io.weight" | "io.bfq.weight" => {
                let weight = values.trim().parse().ok();
                let weight = weight.map(|weight| if file == "io.weight" { weight } else { from_bfq(weight) });
                self.add("IODeviceWeight", device, weight);
            }
            "io.max" => {
                for (key, value) in values.split_whitespace().filter_map(|pair| pair.split_once('=')) {
                    let name = match key {
                        "rbps" => "IOReadBandwidthMax",
                        "wbps" => "IOWriteBandwidthMax",
                        "riops" => "IOReadIOPSMax",
                        "wiops" => "IOWriteIOPSMax",
                        _ => continue,
                    };
                    self.add(name, device.clone(), limit(value));
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &'static str, device: String, value: Option<u64>) {
        let Some(value) = value else { return };
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, list)) => {
                list.retain(|(other, _)| *other != device);
                list.push((device, value));
            }
            None => self.0.push((name, vec![(device, value)])),
        }
    }

    fn settings(self) -> impl Iterator<Item = Setting> {
        self.0.into_iter().map(|(name, list)| (name, Variant::from(list)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Property;

    fn settings(version: u32, writes: &[(&'static str, &str)]) -> Vec<String> {
        let property = Property::of("linux.resources");
        let writes: Vec<_> = writes.iter().map(|(file, value)| Write::new(*file, value, property)).collect();
        of_writes(&writes, version).iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// LNX-69, LNX-76, LNX-92
    #[test]
    fn numbers_and_no_limit() {
        let writes = [
            ("memory.max", "67108864"),
            ("memory.low", "1024"),
            ("memory.high", "4096"),
            ("memory.min", "0"),
            ("memory.swap.max", "max"),
            ("pids.max", "12"),
            ("cpu.weight", "79"),
        ];
        assert_eq!(
            settings(250, &writes),
            [
                "MemoryMax=uint64 67108864",
                "MemoryLow=uint64 1024",
                "MemoryHigh=uint64 4096",
                "MemoryMin=uint64 0",
                "MemorySwapMax=uint64 18446744073709551615",
                "TasksMax=uint64 12",
                "CPUWeight=uint64 79",
            ]
        );
    }

    /// LNX-77
    #[test]
    fn a_quota_is_a_share_of_each_second() {
        for (value, expected) in [
            ("50000 100000", vec!["CPUQuotaPerSecUSec=uint64 500000", "CPUQuotaPeriodUSec=uint64 100000"]),
            ("20000", vec!["CPUQuotaPerSecUSec=uint64 200000"]),
            ("1 3", vec!["CPUQuotaPerSecUSec=uint64 340000", "CPUQuotaPeriodUSec=uint64 3"]),
            ("max 5000", vec!["CPUQuotaPerSecUSec=uint64 18446744073709551615", "CPUQuotaPeriodUSec=uint64 5000"]),
            ("max", vec!["CPUQuotaPerSecUSec=uint64 18446744073709551615"]),
            ("some", vec![]),
        ] {
            assert_eq!(settings(250, &[("cpu.max", value)]), expected, "{value}");
        }
    }

    /// LNX-80, LNX-81
    #[test]
    fn lists_are_bits() {
        assert_eq!(bits("0-2,8").unwrap(), [0b111, 1]);
        assert_eq!(bits("3").unwrap(), [0b1000]);
        assert!(bits("").unwrap().is_empty());
        for list in [",", "a", "1-", "-1", "99999999"] {
            assert_eq!(bits(list), None, "{list}");
        }
        assert_eq!(settings(250, &[("cpuset.cpus", "0,1")]), ["AllowedCPUs=[byte 0x03]"]);
    }

    /// What a version does not know is only written.
    #[test]
    fn versions() {
        let writes = [("cpu.weight", "79"), ("cpu.idle", "1"), ("memory.oom.group", "1"), ("memory.zswap.max", "5")];
        assert_eq!(settings(251, &writes), ["CPUWeight=uint64 79"]);
        assert_eq!(settings(253, &writes), ["CPUWeight=uint64 0", r#"OOMPolicy="kill""#, "MemoryZSwapMax=uint64 5"]);
    }

    /// LNX-84…LNX-88
    #[test]
    fn block_devices() {
        let writes = [
            ("io.weight", "default 200"),
            ("io.weight", "8:0 50"),
            ("io.max", "8:0 rbps=1048576"),
            ("io.max", "8:16 rbps=max wiops=30"),
        ];
        assert_eq!(
            settings(250, &writes),
            [
                "IOWeight=uint64 200",
                r#"IODeviceWeight=[("/dev/block/8:0", uint64 50)]"#,
                r#"IOReadBandwidthMax=[("/dev/block/8:0", uint64 1048576), ("/dev/block/8:16", 18446744073709551615)]"#,
                r#"IOWriteIOPSMax=[("/dev/block/8:16", uint64 30)]"#,
            ]
        );
        assert_eq!(settings(250, &[("io.bfq.weight", "1000")]), ["IOWeight=uint64 10000"]);
    }

    #[test]
    fn what_has_no_property_has_none() {
        let writes = [("cpu.max.burst", "5"), ("hugetlb.2MB.max", "0"), ("memory.max", "much"), ("cgroup.type", "x")];
        assert!(settings(257, &writes).is_empty());
    }
}
