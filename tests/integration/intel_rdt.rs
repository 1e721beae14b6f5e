//! `linux.intelRdt` (config-linux.md). Few machines have it and no emulator does, so what is made in resctrl is
//! shown by the unit tests of src/intel_rdt/group.rs, on a tree of plain files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Bundle, Value, json};

/// Where the kernel's file system is mounted, if it is.
fn resctrl() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(" - resctrl "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

/// LNX-100: what cannot be applied is no container; nothing is made before.
#[test]
fn not_mounted() {
    if let Some(point) = resctrl() {
        skip!("resctrl is mounted at {}", point.display());
    }
    let mut bundle = Bundle::new();
    for wanted in [json!({}), json!({"closID": "orlop-test"}), json!({"enableMonitoring": true})] {
        bundle.set("/linux/intelRdt", wanted);
        bundle.refused(&["linux.intelRdt: not supported: resctrl"]);
    }
}

/// LNX-105, LNX-106, LNX-107: values are checked whether it is mounted or not.
#[test]
fn bad_values() {
    let mut bundle = Bundle::new();
    for (wanted, property) in [
        (json!({"memBwSchema": "L3:0=f"}), "linux.intelRdt.memBwSchema"),
        (json!({"memBwSchema": "MB:0=20\nL3:0=f"}), "linux.intelRdt.memBwSchema"),
        (json!({"schemata": ["L3:0=f", "MB:0=20\nL3:0=f"]}), "linux.intelRdt.schemata[1]"),
        (json!({"closID": "../escape"}), "linux.intelRdt.closID"),
        (json!({"closID": "info"}), "linux.intelRdt.closID"),
    ] {
        bundle.set("/linux/intelRdt", wanted);
        bundle.refused(&[property]);
    }
}

/// LNX-99, LNX-112, LNX-116, LNX-118, LNX-119, LNX-120: on a machine that has it.
#[test]
fn a_class_of_its_own() {
    let Some(root) = resctrl() else {
        skip!("resctrl is not mounted");
    };
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/intelRdt", json!({"enableMonitoring": root.join("mon_groups").is_dir()}));
    let container = bundle.create();
    let group = root.join(bundle.tag());
    let monitor = group.join("mon_groups").join(bundle.tag());
    let tasks = fs::read_to_string(if monitor.is_dir() { &monitor } else { &group }.join("tasks")).unwrap();
    assert_eq!(tasks.trim(), container.pid().to_string());
    drop(container);
    assert!(!group.exists());
}

/// LNX-101: a container that does not ask for it is made without a look at resctrl.
#[test]
fn not_asked_for() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/intelRdt", Value::Null).output();
    let known = Path::new("/sys/fs/resctrl").join(bundle.tag());
    assert!(!known.exists());
}

/// FEAT-27, FEAT-28, FEAT-29
#[test]
fn features() {
    let features: Value = serde_json::from_str(&Bundle::new().command(&["features"]).success().stdout).unwrap();
    let all = json!({"enabled": true, "schemata": true, "monitoring": true});
    assert_eq!(features["linux"]["intelRdt"], all);
}
