//! Values that the specification does not allow: each is refused with the name of its property before
//! anything is made (VAL-03), and what is unknown is ignored (VAL-01, VAL-02).

use crate::harness::{Bundle, Value, json};

/// One bad value at a time: JSON pointer, value, and the words of the error.
fn cases() -> Vec<(&'static str, Value, &'static str)> {
    vec![
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
        ("/root/path", json!(""), "root.path"),
        ("/root/path", json!(7), "root.path"),
        ("/root/readonly", json!("yes"), "root.readonly"),
        ("/process/terminal", json!("no"), "process.terminal"),
        ("/process/cwd", json!(""), "process.cwd"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!([1]), "process.args"),
        ("/process/args", json!(["/bin/true", "nul\0byte"]), "process.args"),
        ("/process/env", json!(["A=nul\0byte"]), "process.env"),
        ("/process/cwd", json!("/nul\0byte"), "process.cwd"),
        ("/process/user/umask", json!(0o1777), "process.user.umask"),
        ("/process/user/additionalGids", json!([-1]), "process.user.additionalGids"),
        ("/process/noNewPrivileges", json!(1), "process.noNewPrivileges"),
        ("/process/oomScoreAdj", json!(-1001), "process.oomScoreAdj"),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 1}]), "process.rlimits[0]"),
        ("/process/scheduler", json!({"policy": "SCHED_NOSUCH"}), "process.scheduler"),
        ("/process/ioPriority", json!({"class": "IOPRIO_CLASS_NOSUCH", "priority": 1}), "process.ioPriority"),
        ("/hostname", json!("a\0b"), "hostname"),
        ("/hostname", json!(["list"]), "hostname"),
        ("/mounts", json!({}), "mounts"),
        ("/mounts", json!([{"destination": 7}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "tmpfs", "options": ["mode=700", 7]}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/nul\0byte", "type": "tmpfs"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x"}]), "mounts[0]"),
        ("/mounts", json!([{"destination": "/x", "type": "bind", "options": ["bind"]}]), "mounts[0]"),
        ("/annotations", json!({"": "empty key"}), "annotations"),
        ("/annotations", json!({"org.example.number": 7}), "annotations"),
        ("/annotations", json!(["list"]), "annotations"),
        ("/hooks", json!({"prestart": {}}), "hooks.prestart"),
        ("/hooks", json!({"poststop": [{"path": "relative"}]}), "hooks.poststop[0]"),
        ("/hooks", json!({"poststart": [{"path": "/bin/true", "timeout": 0}]}), "hooks.poststart[0]"),
        ("/linux/namespaces", json!([{"type": "pid"}, {"type": "mount"}, {"type": "pid"}]), "linux.namespaces[2]"),
        ("/linux/rootfsPropagation", json!("sharedd"), "linux.rootfsPropagation"),
        ("/linux/maskedPaths", json!(["relative"]), "linux.maskedPaths[0]"),
        ("/linux/readonlyPaths", json!(["relative"]), "linux.readonlyPaths[0]"),
        ("/linux/maskedPaths", json!("/proc"), "linux.maskedPaths"),
        ("/linux/sysctl", json!({"net.ipv4.ip_forward": 1}), "linux.sysctl"),
        ("/linux/cgroupsPath", json!("/nul\0byte"), "linux.cgroupsPath"),
        ("/linux/resources", json!({"memory": {"limit": "64M"}}), "linux.resources.memory"),
        ("/linux/resources", json!({"memory": {"limit": -2}}), "linux.resources.memory"),
        ("/linux/resources", json!({"memory": {"swappiness": 101}}), "linux.resources.memory"),
        ("/linux/resources", json!({"cpu": {"idle": 2}}), "linux.resources.cpu"),
        ("/linux/resources", json!({"pids": {"limit": -2}}), "linux.resources.pids"),
        ("/linux/resources", json!({"devices": [{"allow": true, "type": "q"}]}), "linux.resources.devices[0]"),
        ("/linux/personality", json!({"domain": "NOSUCH"}), "linux.personality"),
        ("/linux/seccomp", json!({"defaultAction": "ALLOW"}), "linux.seccomp"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": "1"}}), "linux.timeOffsets"),
        ("/linux/uidMappings", json!([{"containerID": -1, "hostID": 0, "size": 1}]), "linux.uidMappings"),
        ("/linux/intelRdt", json!({"closID": "a"}), "linux.intelRdt"),
        ("/linux/mountLabel", json!(7), "linux.mountLabel"),
    ]
}

/// VAL-03 and the ids of each property: one bad value, one error that names it, nothing made.
#[test]
fn bad_values() {
    let mut wrong = Vec::new();
    for (pointer, value, word) in cases() {
        let mut bundle = Bundle::new();
        bundle.set(pointer, value.clone()).write();
        let output = bundle.spawn_create(&bundle.id, &[]).finish();
        if output.code == 0 {
            bundle.command(&["delete", "--force", &bundle.id]);
            wrong.push(format!("{pointer} = {value}: accepted"));
        } else if !output.stderr.contains(word) {
            wrong.push(format!("{pointer} = {value}: no {word} in {}", output.stderr.trim()));
        }
        bundle.assert_clean();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// CFG-01…CFG-03: every version 1.x, with what SemVer allows behind it.
#[test]
fn versions() {
    let mut bundle = Bundle::with_script("exit 0");
    for version in ["1.0.0", "1.0.2-dev", "1.3.0", "1.2.0+build.5", "1.0.0-rc5", "1.99.7-alpha.1+x"] {
        bundle.set("/ociVersion", json!(version));
        let output = bundle.run();
        assert_eq!(output.code, 0, "{version}: {}", output.stderr);
    }
    bundle.remove("/ociVersion");
    bundle.refused(&["ociVersion"]);
}

/// Adds a property that nobody knows to every object of a value, except to those that are maps.
fn litter(value: &mut Value, path: &str) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                litter(inner, &format!("{path}/{key}"));
            }
            if !["/annotations", "/linux/sysctl", "/linux/timeOffsets"].contains(&path) {
                map.insert("orgExampleUnknown".to_owned(), json!({"deep": [1, {"x": null}]}));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| litter(inner, path)),
        _ => {}
    }
}

/// VAL-01, VAL-02, CFG-48, CFG-66: unknown properties everywhere, and other platforms' sections.
#[test]
fn unknown_properties() {
    let mut bundle = Bundle::with_script("echo fine");
    bundle.namespace("time").set("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
    bundle.set("/linux/resources", json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}, "cpu": {"shares": 100}, "devices": [{"allow": true}]}));
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}));
    bundle.set("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]));
    bundle.set("/annotations", json!({"org.example.unknown": "x"})).hook("poststop", "exit 0");
    bundle.set("/process/consoleSize", json!({"height": 1, "width": 1}));
    litter(&mut bundle.config, "");
    bundle.set("/windows", json!({"layerFolders": []})).set("/solaris", json!({"milestone": 7})).set("/zos", json!({}));
    assert_eq!(bundle.output(), "fine\n");
}

/// `null` for anything optional is the same as its absence: Go programs write it so.
#[test]
fn nulls() {
    let mut bundle = Bundle::with_script("echo fine");
    for pointer in [
        "/hooks",
        "/annotations",
        "/domainname",
        "/process/rlimits",
        "/process/capabilities",
        "/process/oomScoreAdj",
        "/process/user/additionalGids",
        "/process/user/umask",
        "/process/consoleSize",
        "/process/apparmorProfile",
        "/process/selinuxLabel",
        "/linux/resources",
        "/linux/devices",
        "/linux/maskedPaths",
        "/linux/readonlyPaths",
        "/linux/sysctl",
        "/linux/seccomp",
        "/linux/uidMappings",
        "/linux/gidMappings",
        "/linux/timeOffsets",
        "/linux/personality",
        "/linux/rootfsPropagation",
        "/linux/mountLabel",
        "/linux/intelRdt",
        "/root/readonly",
        "/process/terminal",
        "/process/noNewPrivileges",
    ] {
        bundle.set(pointer, Value::Null);
    }
    assert_eq!(bundle.output(), "fine\n");
}

/// BND-04: the configuration is UTF-8.
#[test]
fn invalid_utf8() {
    let bundle = Bundle::new();
    let text = serde_json::to_string(&bundle.config).unwrap();
    let mut bytes = text.into_bytes();
    let place = bytes.windows(5).position(|part| part == b"xterm").unwrap();
    bytes[place] = 0xff;
    bundle.write_raw(&bytes);
    bundle.refused_as_written(&["config.json"]);
}

/// BND-05: a name given twice in one object is refused, at every level, known or not.
#[test]
fn duplicate_names() {
    let bundle = Bundle::new();
    let text = serde_json::to_string(&bundle.config).unwrap();
    for (place, double) in [
        ("{", "{\"hostname\":\"a\",\"hostname\":\"b\","),
        ("\"root\":{", "\"root\":{\"path\":\"a\","),
        ("\"linux\":{", "\"linux\":{\"cgroupsPath\":\"/elsewhere\","),
        ("\"user\":{", "\"user\":{\"uid\":7,"),
        ("{", "{\"annotations\":{\"a\":\"1\",\"a\":\"2\"},"),
        ("\"linux\":{", "\"linux\":{\"sysctl\":{\"net.ipv4.ip_forward\":\"0\",\"net.ipv4.ip_forward\":\"1\"},"),
    ] {
        assert!(text.contains(place));
        bundle.write_raw(text.replacen(place, double, 1).as_bytes());
        bundle.refused_as_written(&["duplicate"]);
    }
}

/// Broken JSON is refused with the place of the mistake.
#[test]
fn broken_json() {
    let bundle = Bundle::new();
    for text in ["", "{", "[]", "null", "\"text\"", "{\"ociVersion\": \"1.0.2\",}", "{} {}"] {
        bundle.write_raw(text.as_bytes());
        bundle.refused_as_written(&["config.json"]);
    }
    let deep = "[".repeat(100_000);
    bundle.write_raw(format!("{{\"x\": {deep}").as_bytes());
    bundle.refused_as_written(&["config.json"]);
}

/// BND-06: the order of members means nothing.
#[test]
fn order_of_members() {
    let bundle = Bundle::with_script("echo fine");
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(map) => {
                let members: Vec<_> =
                    map.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), reversed(value))).collect();
                format!("{{{}}}", members.join(","))
            }
            Value::Array(list) => format!("[{}]", list.iter().map(reversed).collect::<Vec<_>>().join(",")),
            other => other.to_string(),
        }
    }
    bundle.write_raw(reversed(&bundle.config).as_bytes());
    assert_eq!(bundle.create_as(&bundle.id, &[]).output(), "fine\n");
}

/// VAL-04: what is valid and not implemented is refused by its name; it is never passed over in silence.
#[test]
fn unsupported_properties() {
    for (pointer, value, word) in [
        ("/linux/netDevices", json!({"no-such-device": {}}), "linux.netDevices"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_NOSUCH"}), "linux.memoryPolicy"),
        ("/linux/intelRdt", json!({"closID": "orlop-test", "l3CacheSchema": "L3:0=1"}), "linux.intelRdt"),
        ("/linux/resources", json!({"rdma": {"no-such-device": {"hcaHandles": 3}}}), "linux.resources.rdma"),
        (
            "/linux/resources",
            json!({"hugepageLimits": [{"pageSize": "7MB", "limit": 1}]}),
            "linux.resources.hugepageLimits",
        ),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["lseek"], "action": "SCMP_ACT_NOTIFY"}]}),
            "linux.seccomp",
        ),
        ("/process/scheduler", json!({"policy": "SCHED_ISO"}), "process.scheduler"),
    ] {
        let mut bundle = Bundle::new();
        bundle.set(pointer, value);
        bundle.refused(&[word]);
    }
}
