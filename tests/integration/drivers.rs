//! `--cgroup-manager` and `--systemd-cgroup`: who manages a container's cgroup.

use std::fs;

use crate::harness::{Bundle, Container, Value, cgroup, json};

/// A container created with these global options.
#[track_caller]
fn create(bundle: &Bundle, options: &[&str]) -> Container {
    bundle.write();
    let create = ["create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id];
    Container::created(bundle.scratch(), &bundle.id, bundle.spawn(&[options, &create].concat()))
}

fn recorded_driver(bundle: &Bundle) -> Value {
    let path = bundle.scratch().state_root().join(&bundle.id).join("state.json");
    let state: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    state["cgroup"]["driver"].clone()
}

/// `disabled`: the container stays in its creator's cgroups, and nothing is made.
#[test]
fn disabled() {
    let bundle = Bundle::with_script("exec sleep 1000");
    let container = create(&bundle, &["--cgroup-manager=disabled"]);
    for controller in cgroup::in_use() {
        assert_eq!(cgroup::of(container.pid(), controller), cgroup::own(controller), "{controller}");
    }
    assert!(!bundle.cgroup("pids").exists());
    assert_eq!(container.creator().stderr, "");
    assert_eq!(recorded_driver(&bundle), "disabled");
    container.start();
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();
}

/// Limits are passed over, and named.
#[test]
fn disabled_with_limits() {
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20}, "devices": [{"allow": false}]}));
    let container = create(&bundle, &["--cgroup-manager", "disabled"]);
    let said = &container.creator().stderr;
    assert!(said.contains("linux.resources.memory is ignored"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for command in ["pause", "ps"] {
        container.command(&[command, &container.id]).failure(&["linux.cgroupsPath", command, "disabled"]);
    }
    // Not our own cgroup's processes: the container's first one is meant.
    container.command(&["kill", "--all", &container.id, "KILL"]).success();
    assert_eq!(container.wait(), 137);
}

/// A mount of type `cgroup` shows the cgroup that the container is in.
#[test]
fn disabled_with_a_cgroup_mount() {
    for own in [false, true] {
        let mut bundle = Bundle::with_script("ls /sys/fs/cgroup && echo listed");
        bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
        if own {
            bundle.namespace("cgroup");
        }
        let container = create(&bundle, &["--cgroup-manager=disabled"]);
        assert!(container.output().contains("listed"), "own namespace: {own}");
    }
}

/// What is chosen is recorded, and what contradicts itself is refused.
#[test]
fn spellings() {
    let bundle = Bundle::with_script("exec sleep 1000");
    for options in [&["--systemd-cgroup=false"][..], &["--cgroup-manager", "cgroupfs"], &[]] {
        let container = create(&bundle, options);
        assert_eq!(recorded_driver(&bundle), "cgroupfs");
        container.stop().try_delete(&[]).success();
    }
    for options in [&["--cgroup-manager=none"][..], &["--systemd-cgroup", "--cgroup-manager=cgroupfs"]] {
        bundle.command(&[options, &["list"]].concat()).failure(&["--cgroup-manager"]);
    }
    bundle.command(&["--systemd-cgroup=perhaps", "list"]).failure(&["perhaps"]);
}
