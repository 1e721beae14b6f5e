//! Mounts of type `cgroup`: the hierarchies as the container may see them.

use crate::harness::{Bundle, cgroup, json};

fn with_mount(bundle: &mut Bundle, own_namespace: bool, options: &[&str]) {
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", options);
    if own_namespace {
        bundle.namespace("cgroup");
    }
}

const OPTIONS: &[&str] = &["nosuid", "noexec", "nodev", "relatime"];

/// MNT-91, version 1: every hierarchy of the host, each showing the container's own cgroup, with and
/// without a cgroup namespace.
#[test]
fn version_1() {
    if cgroup::is_v2() {
        skip!("pure cgroup v2 here");
    }
    for own_namespace in [true, false] {
        let mut bundle = Bundle::with_script(
            "cd /sys/fs/cgroup; ls; cat pids/cgroup.procs; cat memory/memory.limit_in_bytes; cat pids/pids.max",
        );
        with_mount(&mut bundle, own_namespace, OPTIONS);
        bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 77}}));
        let text = bundle.output();
        for controller in cgroup::hierarchies().keys().filter(|name| !name.is_empty()) {
            let name = controller.trim_start_matches("name=");
            assert!(text.lines().any(|line| line == name), "no {name}: {text}");
        }
        let tail: Vec<_> = text.lines().skip_while(|line| line.parse::<u32>().is_err()).collect();
        assert_eq!(tail.first(), Some(&"1"), "{text}");
        assert_eq!(tail[tail.len() - 2..], [(64 << 20).to_string(), "77".to_owned()], "{text}");
    }
}

/// MNT-91, version 2: the unified hierarchy; with a cgroup namespace, its root is the container's cgroup.
#[test]
fn version_2() {
    if !cgroup::is_v2() {
        skip!("no pure cgroup v2 here");
    }
    let mut bundle =
        Bundle::with_script("cd /sys/fs/cgroup; cat cgroup.procs pids.max memory.max; grep -c 'cgroup2' /proc/mounts");
    with_mount(&mut bundle, true, OPTIONS);
    bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 77}}));
    let text = bundle.output();
    assert!(text.starts_with("1\n"), "{text}");
    assert!(text.ends_with(&format!("77\n{}\n1\n", 64 << 20)), "{text}");

    let mut bundle = Bundle::with_script("cat /sys/fs/cgroup/cgroup.controllers; grep -c cgroup2 /proc/mounts");
    with_mount(&mut bundle, false, &["ro"]);
    assert!(bundle.output().ends_with("\n1\n"));
}

/// CVE-2023-25809: read-only means every hierarchy; writable with a cgroup namespace when asked for.
#[test]
fn read_only() {
    let script = "for f in $(ls -d /sys/fs/cgroup/* /sys/fs/cgroup); do [ -f $f/cgroup.procs ] && mkdir $f/made 2>/dev/null && echo writable; done; mkdir /sys/fs/cgroup/made 2>/dev/null && echo writable; echo end";
    for own_namespace in [true, false] {
        let mut bundle = Bundle::with_script(script);
        with_mount(&mut bundle, own_namespace, &["nosuid", "noexec", "nodev", "ro"]);
        assert_eq!(bundle.output(), "end\n");
    }
    let mut bundle = Bundle::with_script(script);
    with_mount(&mut bundle, true, OPTIONS);
    assert!(bundle.output().starts_with("writable\n"));
    bundle.assert_clean();
}

/// The flags of the mount are those configured.
#[test]
fn flags() {
    let mut bundle = Bundle::with_script("grep ' /sys/fs/cgroup' /proc/self/mountinfo");
    with_mount(&mut bundle, true, &["nosuid", "noexec", "nodev", "ro"]);
    let text = bundle.output();
    // Of several mounts on one point, the last is the one that counts.
    let mounts: std::collections::BTreeMap<_, _> = text.lines().map(|line| (line.split(' ').nth(4), line)).collect();
    assert!(!mounts.is_empty());
    for line in mounts.values() {
        for flag in ["ro", "nosuid", "nodev", "noexec"] {
            assert!(line.split(' ').nth(5).unwrap().split(',').any(|other| other == flag), "{flag}: {line}");
        }
    }
}

/// In a user namespace too.
#[test]
fn user_namespace() {
    let mut bundle =
        Bundle::with_script("cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids/cgroup.procs 2>/dev/null | head -n 1");
    with_mount(&mut bundle, true, OPTIONS);
    bundle.user_namespace(100_000, 65536);
    assert_eq!(bundle.output(), "1\n");
}
