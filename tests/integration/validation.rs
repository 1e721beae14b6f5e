//! The configuration as JSON: versions, names that are unknown, there twice or `null`, and broken text.

use crate::harness::scratch::path;
use crate::harness::{Bundle, Value, json};

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

/// VAL-01: at level info a property that nobody knows is named with its path and, if it is like another
/// one, a suggestion; at the usual level nothing is said.
#[test]
fn misspelt_properties() {
    let mut bundle = Bundle::with_script("echo fine");
    bundle.set("/hostName", json!("x")).set("/linux/maskedPath", json!([])).set("/mounts/0/optoins", json!([]));
    bundle.set("/orgExampleUnknown", json!({"deep": 1}));
    assert_eq!(bundle.output(), "fine\n");
    let output = bundle.spawn(&["--log-level", "info", "run", "--bundle", path(&bundle.dir), &bundle.id]).finish();
    assert_eq!((output.code, &*output.stdout), (0, "fine\n"), "{}", output.stderr);
    for message in [
        "hostName: unknown property, ignored; did you mean hostname?",
        "linux.maskedPath: unknown property, ignored; did you mean maskedPaths?",
        "mounts[0].optoins: unknown property, ignored; did you mean options?",
        "orgExampleUnknown: unknown property, ignored",
    ] {
        assert!(output.stderr.contains(message), "{message}: {}", output.stderr);
    }
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
        ("{", "{\"orgExample\":1,\"orgExample\":1,"),
        ("{", "{\"orgExample\":[{\"a\":{\"b\":1,\"\\u0062\":2}}],"),
        ("\"linux\":{", "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"x\":1,\"x\":2},"),
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
