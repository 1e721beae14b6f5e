//! Values that the specification does not allow: each is refused with the name of its property before
//! anything is made. What a topic's own file tests is not repeated here.

use crate::harness::{Bundle, Value, json};

/// One bad value at a time: JSON pointer, value, and a word of the error. Nothing is left behind.
#[track_caller]
fn refused(cases: Vec<(&str, Value, &str)>) {
    let mut wrong = Vec::new();
    for (pointer, value, word) in cases {
        let mut bundle = Bundle::new();
        bundle.set(pointer, value.clone()).write();
        let output = bundle.spawn_create(&bundle.id, &[]).finish();
        if output.code == 0 {
            bundle.command(&["delete", "--force", &bundle.id]);
            wrong.push(format!("{pointer} = {value}: accepted"));
        } else if output.code >= 128 || !output.stderr.contains(word) || output.stderr.lines().count() != 1 {
            wrong.push(format!("{pointer} = {value}: no {word} in {}", output.stderr.trim()));
        }
        bundle.assert_clean();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// VAL-03, CFG-01…CFG-05, CFG-46, CFG-47, CFG-50, CFG-52, CFG-53, CFG-67
#[test]
fn top_level() {
    refused(vec![
        ("/ociVersion", json!(""), "ociVersion"),
        ("/ociVersion", json!("1"), "ociVersion"),
        ("/ociVersion", json!("1.0"), "ociVersion"),
        ("/ociVersion", json!("v1.0.0"), "ociVersion"),
        ("/ociVersion", json!("invalid"), "ociVersion"),
        ("/ociVersion", json!("01.0.0"), "ociVersion"),
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/ociVersion", json!("0.9.0"), "ociVersion"),
        ("/ociVersion", json!(1.0), "ociVersion"),
        ("/ociVersion", Value::Null, "ociVersion"),
        ("/root", Value::Null, "root"),
        ("/root", json!({}), "root"),
        ("/root/path", Value::Null, "root.path"),
        ("/root/path", json!(""), "root.path"),
        ("/root/path", json!(7), "root.path"),
        ("/root/path", json!("root\0fs"), "root.path"),
        ("/root/path", json!("config.json"), "root.path"),
        ("/root/readonly", json!("yes"), "root.readonly"),
        ("/hostname", json!("a\0b"), "hostname"),
        ("/hostname", json!(["list"]), "hostname"),
        ("/hostname", json!("h".repeat(65)), "hostname"),
        ("/domainname", json!("a\0b"), "domainname"),
        ("/domainname", json!("d".repeat(65)), "domainname"),
        ("/annotations", json!({"": "empty key"}), "annotations"),
        ("/annotations", json!({"org.example.number": 7}), "annotations"),
        ("/annotations", json!({"org.example.null": null}), "annotations"),
        ("/annotations", json!(["list"]), "annotations"),
        ("/linux", json!([]), "linux"),
        ("/hooks", json!([]), "hooks"),
    ]);
}

/// VAL-03, CFG-12…CFG-14, CFG-16, CFG-29, CFG-31, CFG-37, CFG-42…CFG-45
#[test]
fn process() {
    refused(vec![
        ("/process", json!([]), "process"),
        ("/process", json!({}), "process"),
        ("/process/terminal", json!("no"), "process.terminal"),
        ("/process/consoleSize", json!({"height": 1}), "process.consoleSize"),
        ("/process/consoleSize", json!({"width": 1}), "process.consoleSize"),
        ("/process/consoleSize", json!({"height": -1, "width": 1}), "process.consoleSize"),
        ("/process/cwd", Value::Null, "process.cwd"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/cwd", json!("./"), "process.cwd"),
        ("/process/cwd", json!("/nul\0byte"), "process.cwd"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", Value::Null, "process.args"),
        ("/process/args", json!("/bin/true"), "process.args"),
        ("/process/args", json!([1]), "process.args"),
        ("/process/args", json!([""]), "process.args"),
        ("/process/args", json!(["/bin/true", "nul\0byte"]), "process.args"),
        ("/process/env", json!(["A=nul\0byte"]), "process.env"),
        ("/process/env", json!({"A": "b"}), "process.env"),
        ("/process/user", Value::Null, "process.user"),
        ("/process/user", json!({"gid": 0}), "process.user"),
        ("/process/user", json!({"uid": 0}), "process.user"),
        ("/process/user/uid", json!(-1), "process.user.uid"),
        ("/process/user/uid", json!(u32::MAX), "process.user.uid"),
        ("/process/user/gid", json!(1_u64 << 32), "process.user.gid"),
        ("/process/user/umask", json!(0o1777), "process.user.umask"),
        ("/process/user/additionalGids", json!([-1]), "process.user.additionalGids"),
        ("/process/capabilities", json!(["CAP_KILL"]), "process.capabilities"),
        ("/process/capabilities", json!({"bounding": "CAP_KILL"}), "process.capabilities.bounding"),
        ("/process/noNewPrivileges", json!(1), "process.noNewPrivileges"),
        ("/process/oomScoreAdj", json!(-1001), "process.oomScoreAdj"),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        ("/process/oomScoreAdj", json!(1.5), "process.oomScoreAdj"),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 1}]), "process.rlimits[0]"),
        ("/process/scheduler", json!({"policy": "SCHED_NOSUCH"}), "process.scheduler"),
        ("/process/scheduler", json!({"policy": "SCHED_ISO"}), "process.scheduler"),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_NOSUCH", "priority": 1}), "process.ioPriority"),
    ]);
}

/// VAL-03, MNT-02, HK-01, HK-06, HK-07, HK-10
#[test]
fn mounts_and_hooks() {
    refused(vec![
        ("/mounts", json!({}), "mounts"),
        ("/mounts", json!([{"destination": 7}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "tmpfs", "options": ["mode=700", 7]}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "tmpfs", "options": "ro"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/nul\0byte", "type": "tmpfs"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "nul\0byte"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "tmpfs", "source": "nul\0byte"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "tmpfs", "options": ["nul\0=byte"]}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "bind", "options": ["bind"]}]), "mounts[0]"),
        ("/hooks", json!({"prestart": {}}), "hooks.prestart"),
        ("/hooks", json!({"prestart": [{}]}), "hooks.prestart[0]"),
        ("/hooks", json!({"createRuntime": [{"path": "/bin/true", "args": "x"}]}), "hooks.createRuntime[0]"),
        ("/hooks", json!({"createContainer": [{"path": "/nul\0byte"}]}), "hooks.createContainer[0]"),
        ("/hooks", json!({"poststop": [{"path": "relative"}]}), "hooks.poststop[0]"),
        ("/hooks", json!({"poststart": [{"path": "/bin/true", "timeout": 0}]}), "hooks.poststart[0]"),
        ("/hooks", json!({"poststart": [{"path": "/bin/true", "timeout": "1"}]}), "hooks.poststart[0]"),
    ]);
}

/// VAL-03, LNX-11, LNX-16, LNX-17, LNX-21, LNX-23, LNX-27, LNX-54, LNX-125, LNX-126, LNX-144…LNX-146, LNX-148, LNX-150
#[test]
fn linux() {
    let device = |field: &str, value: Value| {
        let mut device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3});
        device[field] = value;
        json!([device])
    };
    refused(vec![
        ("/linux/namespaces", json!([{"type": "pid"}, {"type": "mount"}, {"type": "pid"}]), "linux.namespaces[2]"),
        ("/linux/namespaces", json!([{"type": "mnt"}]), "linux.namespaces[0]"),
        ("/linux/namespaces", json!([{"type": "pid", "path": "proc/1/ns/pid"}]), "linux.namespaces[0]"),
        ("/linux/namespaces", json!([{"type": "pid", "path": "/nul\0byte"}]), "linux.namespaces[0]"),
        ("/linux/uidMappings", json!([{"containerID": -1, "hostID": 0, "size": 1}]), "linux.uidMappings"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": "1"}}), "linux.timeOffsets"),
        ("/linux/devices", device("type", json!("a")), "linux.devices[0]"),
        ("/linux/devices", device("path", json!("/nul\0byte")), "linux.devices[0]"),
        ("/linux/devices", device("path", json!("/")), "linux.devices[0]"),
        ("/linux/devices", device("major", json!(4096)), "linux.devices[0].major"),
        ("/linux/devices", device("minor", json!(1 << 20)), "linux.devices[0].minor"),
        ("/linux/devices", device("uid", json!(u32::MAX)), "linux.devices[0].uid"),
        ("/linux/devices", device("gid", json!(u32::MAX)), "linux.devices[0].gid"),
        ("/linux/cgroupsPath", json!("/nul\0byte"), "linux.cgroupsPath"),
        ("/linux/cgroupsPath", json!("/a/../../b"), "linux.cgroupsPath"),
        ("/linux/cgroupsPath", json!(["/a"]), "linux.cgroupsPath"),
        ("/linux/sysctl", json!({"net.ipv4.ip_forward": 1}), "linux.sysctl"),
        ("/linux/sysctl", json!({"": "1"}), "linux.sysctl"),
        ("/linux/sysctl", json!({"net/../kernel/core_pattern": "x"}), "linux.sysctl"),
        ("/linux/seccomp", json!({"defaultAction": "ALLOW"}), "linux.seccomp"),
        ("/linux/seccomp", json!([]), "linux.seccomp"),
        ("/linux/rootfsPropagation", json!("sharedd"), "linux.rootfsPropagation"),
        ("/linux/maskedPaths", json!(["relative"]), "linux.maskedPaths[0]"),
        ("/linux/readonlyPaths", json!(["relative"]), "linux.readonlyPaths[0]"),
        ("/linux/maskedPaths", json!(["/ok", ""]), "linux.maskedPaths[1]"),
        ("/linux/readonlyPaths", json!(["/nul\0byte"]), "linux.readonlyPaths[0]"),
        ("/linux/maskedPaths", json!("/proc"), "linux.maskedPaths"),
        ("/linux/mountLabel", json!(7), "linux.mountLabel"),
        ("/linux/personality", json!({"domain": "NOSUCH"}), "linux.personality"),
        ("/linux/personality", json!({"flags": []}), "linux.personality"),
        ("/linux/personality", json!({"domain": "LINUX", "flags": ["x"]}), "linux.personality.flags"),
        ("/linux/intelRdt", json!({"closID": 7}), "linux.intelRdt"),
        ("/linux/netDevices", json!({"no-such-device": {}}), "linux.netDevices"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_NOSUCH"}), "linux.memoryPolicy"),
        ("/linux/memoryPolicy", json!({"nodes": "0"}), "linux.memoryPolicy"),
    ]);
}

/// VAL-03, LNX-67…LNX-69, LNX-73, LNX-83, LNX-89, LNX-93, LNX-96
#[test]
fn resources() {
    let property = "/linux/resources";
    refused(vec![
        (property, json!([]), "linux.resources"),
        (property, json!({"memory": {"limit": "64M"}}), "linux.resources.memory"),
        (property, json!({"memory": {"limit": -2}}), "linux.resources.memory"),
        (property, json!({"memory": {"swappiness": 101}}), "linux.resources.memory"),
        (property, json!({"cpu": {"idle": 2}}), "linux.resources.cpu"),
        (property, json!({"cpu": {"cpus": 0}}), "linux.resources.cpu"),
        (property, json!({"pids": {"limit": -2}}), "linux.resources.pids"),
        (property, json!({"devices": [{"allow": true, "type": "q"}]}), "linux.resources.devices[0]"),
        (property, json!({"devices": [{"type": "c"}]}), "linux.resources.devices[0]"),
        (property, json!({"devices": [{"allow": true, "access": "rwx"}]}), "linux.resources.devices[0]"),
        (property, json!({"devices": [{"allow": true, "type": "c", "major": -2}]}), "linux.resources.devices[0]"),
        (property, json!({"hugepageLimits": [{"pageSize": "7MB", "limit": 1}]}), "linux.resources.hugepageLimits"),
        (property, json!({"rdma": {"no-such-device": {"hcaHandles": 3}}}), "linux.resources.rdma"),
        (property, json!({"unified": {"memory.max": 7}}), "linux.resources.unified"),
        (property, json!({"unified": {"../x": "7"}}), "linux.resources.unified"),
    ]);
}
