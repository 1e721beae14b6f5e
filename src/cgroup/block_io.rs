//! `linux.resources.blockIO`: shares of block devices, and their speed limits.
//!
//! Runs in: parent · config-linux.md#block-io (LNX-84 to LNX-88), kernel documentation
//! block/bfq-iosched, cgroup-v1/blkio-controller, cgroup-v2 "IO"
//!
//! Weights belong to a scheduler or cost model, and each has file names of its own: CFQ (until Linux
//! 5.0), BFQ, and v2's io.cost. What the kernel has is found out by writing.

use super::resources::given;
use super::{Version, Write, v2};
use crate::error::{Property, Result};
use crate::spec::config::{BlockIo, ThrottleDevice, WeightDevice};

const WEIGHT: Property = Property::of("linux.resources.blockIO.weight");
const LEAF_WEIGHT: Property = Property::of("linux.resources.blockIO.leafWeight");
const WEIGHT_DEVICE: &str = "linux.resources.blockIO.weightDevice";

pub(super) fn compile(config: &BlockIo, version: Version, writes: &mut Vec<Write>) -> Result<()> {
    if let Some(weight) = in_range(WEIGHT, given(config.weight))? {
        writes.push(weight_of_cgroup(weight, version));
    }
    if let Some(weight) = in_range(LEAF_WEIGHT, given(config.leaf_weight))? {
        writes.push(leaf(version, Write::new("blkio.leaf_weight", weight, LEAF_WEIGHT))?);
    }
    for (index, device) in config.weight_device.iter().enumerate() {
        weight_of_device(device, Property::at(WEIGHT_DEVICE, index), version, writes)?;
    }
    throttles(config, version, writes);
    Ok(())
}

/// 10 to 1000, says the specification; for one device, 0 takes its weight away.
fn in_range(property: Property, weight: Option<u16>) -> Result<Option<u16>> {
    match weight {
        Some(weight) if weight != 0 && !(10..=1000).contains(&weight) => {
            Err(property.invalid(format!("{weight} is not between 10 and 1000")))
        }
        weight => Ok(weight),
    }
}

fn weight_of_cgroup(weight: u16, version: Version) -> Write {
    match version {
        Version::V1 => Write::new("blkio.weight", weight, WEIGHT).or(Write::new("blkio.bfq.weight", weight, WEIGHT)),
        Version::V2 => Write::new("io.bfq.weight", weight, WEIGHT).or(Write::new("io.weight", on_v2(weight), WEIGHT)),
    }
}

/// LNX-85, LNX-86
fn weight_of_device(device: &WeightDevice, at: Property, version: Version, writes: &mut Vec<Write>) -> Result<()> {
    if device.weight.is_none() && device.leaf_weight.is_none() {
        return Err(at.invalid("neither weight nor leafWeight is given"));
    }
    let name = format!("{}:{}", device.major, device.minor);
    if let Some(weight) = in_range(at.field("weight"), device.weight)? {
        let write = |file: &'static str, value: String| Write::new(file, format!("{name} {value}"), at.field("weight"));
        writes.push(match (version, weight) {
            (Version::V1, _) => write("blkio.weight_device", weight.to_string())
                .or(write("blkio.bfq.weight_device", weight.to_string())),
            (Version::V2, 0) => {
                write("io.bfq.weight", "default".to_owned()).or(write("io.weight", "default".to_owned()))
            }
            (Version::V2, _) => {
                write("io.bfq.weight", weight.to_string()).or(write("io.weight", on_v2(weight).to_string()))
            }
        });
    }
    if let Some(weight) = in_range(at.field("leafWeight"), device.leaf_weight)? {
        let write = Write::new("blkio.leaf_weight_device", format!("{name} {weight}"), at.field("leafWeight"));
        writes.push(leaf(version, write)?);
    }
    Ok(())
}

/// Only CFQ weighed a cgroup's own processes against its children.
fn leaf(version: Version, write: Write) -> Result<Write> {
    match version {
        Version::V1 => Ok(write),
        Version::V2 => Err(v2::v1_only(write.property)),
    }
}

/// The range of v1 (10 to 1000) on that of io.weight (1 to 10000), as runc and crun have it. BFQ
/// takes 1 to 1000 on both versions.
fn on_v2(weight: u16) -> u64 {
    1 + (u64::from(weight) - 10) * 9999 / 990
}

fn throttles(config: &BlockIo, version: Version, writes: &mut Vec<Write>) {
    let lists: [(&[ThrottleDevice], &'static str, &'static str, &'static str); 4] = [
        (
            &config.throttle_read_bps_device,
            "linux.resources.blockIO.throttleReadBpsDevice",
            "blkio.throttle.read_bps_device",
            "rbps",
        ),
        (
            &config.throttle_write_bps_device,
            "linux.resources.blockIO.throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
            "wbps",
        ),
        (
            &config.throttle_read_iops_device,
            "linux.resources.blockIO.throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
            "riops",
        ),
        (
            &config.throttle_write_iops_device,
            "linux.resources.blockIO.throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            "wiops",
        ),
    ];
    for (devices, property, file, key) in lists {
        for (index, ThrottleDevice { major, minor, rate }) in devices.iter().enumerate() {
            let at = Property::at(property, index);
            writes.push(match (version, rate) {
                (Version::V1, _) => Write::new(file, format!("{major}:{minor} {rate}"), at),
                // No limit, which v1 writes as 0.
                (Version::V2, 0) => Write::new("io.max", format!("{major}:{minor} {key}=max"), at),
                (Version::V2, _) => Write::new("io.max", format!("{major}:{minor} {key}={rate}"), at),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, v1, v2, writes};

    /// LNX-84, LNX-98
    #[test]
    fn weights() {
        let weight = r#"{"blockIO": {"weight": 500}}"#;
        assert_eq!(writes(&v1(), weight), ["blkio.weight=500|blkio.bfq.weight=500"]);
        assert_eq!(writes(&v2(), weight), ["io.bfq.weight=500|io.weight=4950"]);
        for (weight, expected) in [(10, 1), (100, 910), (1000, 10_000)] {
            let json = format!(r#"{{"blockIO": {{"weight": {weight}}}}}"#);
            assert_eq!(writes(&v2(), &json), [format!("io.bfq.weight={weight}|io.weight={expected}")]);
        }
        let leaf = r#"{"blockIO": {"leafWeight": 30, "weightDevice": [{"major": 8, "minor": 1, "leafWeight": 40}]}}"#;
        assert_eq!(writes(&v1(), leaf), ["blkio.leaf_weight=30", "blkio.leaf_weight_device=8:1 40"]);
        assert!(error(&v2(), leaf).starts_with("linux.resources.blockIO.leafWeight: not supported: cgroup v1"));
    }

    /// LNX-84, LNX-85, LNX-86
    #[test]
    fn weights_of_devices() {
        let devices = r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10},
                                                       {"major": 8, "minor": 16, "weight": 0}]}}"#;
        assert_eq!(
            writes(&v1(), devices),
            [
                "blkio.weight_device=8:0 10|blkio.bfq.weight_device=8:0 10",
                "blkio.weight_device=8:16 0|blkio.bfq.weight_device=8:16 0"
            ]
        );
        assert_eq!(
            writes(&v2(), devices),
            ["io.bfq.weight=8:0 10|io.weight=8:0 1", "io.bfq.weight=8:16 default|io.weight=8:16 default"]
        );
    }

    /// LNX-87, LNX-88
    #[test]
    fn throttles() {
        let json = r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
                                   "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 0}],
                                   "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3},
                                                              {"major": 8, "minor": 16, "rate": 4}],
                                   "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 5}]}}"#;
        assert_eq!(
            writes(&v1(), json),
            [
                "blkio.throttle.read_bps_device=8:0 1000",
                "blkio.throttle.write_bps_device=8:0 0",
                "blkio.throttle.read_iops_device=8:0 3",
                "blkio.throttle.read_iops_device=8:16 4",
                "blkio.throttle.write_iops_device=8:0 5"
            ]
        );
        assert_eq!(
            writes(&v2(), json),
            [
                "io.max=8:0 rbps=1000",
                "io.max=8:0 wbps=max",
                "io.max=8:0 riops=3",
                "io.max=8:16 riops=4",
                "io.max=8:0 wiops=5"
            ]
        );
    }

    /// LNX-84, LNX-86
    #[test]
    fn values_that_cannot_be() {
        for host in [v1(), v2()] {
            for (json, expected) in [
                (r#"{"weight": 9}"#, "linux.resources.blockIO.weight: 9 is not between 10 and 1000"),
                (r#"{"leafWeight": 1001}"#, "linux.resources.blockIO.leafWeight: 1001 is not between"),
                (
                    r#"{"weightDevice": [{"major": 8, "minor": 0}]}"#,
                    "linux.resources.blockIO.weightDevice[0]: neither weight nor leafWeight is given",
                ),
                (
                    r#"{"weightDevice": [{"major": 8, "minor": 0, "weight": 1}]}"#,
                    "linux.resources.blockIO.weightDevice[0].weight: 1 is not between",
                ),
            ] {
                let error = error(&host, &format!(r#"{{"blockIO": {json}}}"#));
                assert!(error.starts_with(expected), "{error}");
            }
        }
    }
}
