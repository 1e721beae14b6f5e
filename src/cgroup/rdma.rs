//! `linux.resources.rdma`: handles and objects of RDMA devices.
//!
//! Runs in: parent · config-linux.md#rdma (LNX-94), kernel documentation cgroup-v1/rdma, cgroup-v2

use super::Write;
use crate::error::{Property, Result};
use crate::spec::config::Rdma;
use crate::spec::map::Map;

const PROPERTY: Property = Property::of("linux.resources.rdma");

/// v1 and v2 have the same file. A line changes only what it names.
pub(super) fn compile(devices: &Map<Rdma>, writes: &mut Vec<Write>) -> Result<()> {
    for (name, limits) in devices.iter() {
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(PROPERTY.invalid(format!("{name:?} is not the name of a device")));
        }
        let mut line = name.to_owned();
        for (key, limit) in [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)] {
            if let Some(limit) = limit {
                line.push_str(&format!(" {key}={limit}"));
            }
        }
        if line.len() == name.len() {
            return Err(PROPERTY.invalid(format!("{name:?} has neither hcaHandles nor hcaObjects")));
        }
        writes.push(Write::new("rdma.max", line, PROPERTY));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, v1, v2, writes};

    /// LNX-94
    #[test]
    fn a_line_for_each_device() {
        let json = r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}}"#;
        for host in [v1(), v2()] {
            assert_eq!(
                writes(&host, json),
                ["rdma.max=mlx5_1 hca_handle=3 hca_object=10000", "rdma.max=mlx4_0 hca_object=0"]
            );
            let neither = error(&host, r#"{"rdma": {"mlx5_1": {}}}"#);
            assert_eq!(neither, "linux.resources.rdma: \"mlx5_1\" has neither hcaHandles nor hcaObjects");
            assert!(error(&host, r#"{"rdma": {"a b": {"hcaHandles": 3}}}"#).contains("is not the name of a device"));
        }
    }
}
