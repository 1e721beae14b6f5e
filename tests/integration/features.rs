//! `features`: the document is complete, and each thing that it names works or is at least understood.

use std::collections::BTreeSet;

use crate::harness::{Bundle, Value, json, runtime};

fn features() -> Value {
    let output = Bundle::new().command(&["features"]).success();
    serde_json::from_str(&output.stdout).unwrap()
}

fn list(features: &Value, pointer: &str) -> Vec<String> {
    let value = features.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {features}"));
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// FEAT-02, FEAT-03, FEAT-05, FEAT-07, FEAT-08: every property of features.md and features-linux.md is there,
/// of its type, none is null, and there is no other.
#[test]
fn structure() {
    fn types(value: &Value, path: &str, all: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Object(members) if !path.ends_with("/annotations") => {
                return members.iter().for_each(|(name, inner)| types(inner, &format!("{path}/{name}"), all));
            }
            Value::Object(_) => "map",
            Value::Array(list) if list.iter().all(Value::is_string) => "strings",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            _ => "anything else",
        };
        all.insert(format!("{path} {kind}"));
    }
    let mut found = BTreeSet::new();
    types(&features(), "", &mut found);
    let wanted = [
        "/ociVersionMin string",
        "/ociVersionMax string",
        "/hooks strings",
        "/mountOptions strings",
        "/annotations map",
        "/potentiallyUnsafeConfigAnnotations strings",
        "/linux/namespaces strings",
        "/linux/capabilities strings",
        "/linux/cgroup/v1 bool",
        "/linux/cgroup/v2 bool",
        "/linux/cgroup/systemd bool",
        "/linux/cgroup/systemdUser bool",
        "/linux/cgroup/rdma bool",
        "/linux/seccomp/enabled bool",
        "/linux/seccomp/actions strings",
        "/linux/seccomp/operators strings",
        "/linux/seccomp/archs strings",
        "/linux/seccomp/knownFlags strings",
        "/linux/seccomp/supportedFlags strings",
        "/linux/apparmor/enabled bool",
        "/linux/selinux/enabled bool",
        "/linux/memoryPolicy/modes strings",
        "/linux/memoryPolicy/flags strings",
        "/linux/intelRdt/enabled bool",
        "/linux/intelRdt/schemata bool",
        "/linux/intelRdt/monitoring bool",
        "/linux/mountExtensions/idmap/enabled bool",
        "/linux/netDevices/enabled bool",
    ];
    assert_eq!(found, wanted.map(str::to_owned).into());
}

/// FEAT-01: it is the same whatever the host has: without an environment, /sys and /run, as nobody.
#[test]
fn independent_of_the_host() {
    let bundle = Bundle::new();
    let here = bundle.command(&["features"]).success().stdout;
    let script = "mount -t tmpfs none /sys; mount -t tmpfs none /run; exec env -i \"$0\" features";
    let mut elsewhere = std::process::Command::new("unshare");
    elsewhere.args(["--mount", "--net", "--ipc", "sh", "-c", script]).arg(runtime::program());
    assert_eq!(bundle.finish(elsewhere).success().stdout, here);
}

/// FEAT-04, FEAT-06: both versions that the document names are accepted.
#[test]
fn versions() {
    let features = features();
    let mut bundle = Bundle::with_script("exit 0");
    for name in ["ociVersionMin", "ociVersionMax"] {
        bundle.set("/ociVersion", features[name].clone());
        bundle.run().success();
    }
}

/// FEAT-09: every hook that the document names runs.
#[test]
fn hooks() {
    let names = list(&features(), "/hooks");
    assert_eq!(names.len(), 6);
    let mut bundle = Bundle::with_script("exit 0");
    let log = bundle.file("hooks");
    for name in &names {
        if name == "startContainer" {
            bundle.mount("/hooks", "bind", log.parent().unwrap().to_str().unwrap(), &["bind"]);
            bundle.push(
                "/hooks/startContainer",
                json!({"path": "/bin/sh", "args": ["sh", "-c", "echo startContainer >>/hooks/hooks"]}),
            );
        } else {
            bundle.hook(name, &format!("echo {name} >>{}", log.display()));
        }
    }
    bundle.run().success();
    let ran: BTreeSet<String> = std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(ran, names.into_iter().collect());
}

/// FEAT-14, LNX-03…LNX-10: a new namespace of every type that the document names.
#[test]
fn namespaces() {
    let names = list(&features(), "/linux/namespaces");
    assert_eq!(names.len(), 8);
    let mut bundle = Bundle::with_script("ls -l /proc/self/ns | wc -l");
    bundle.user_namespace(100_000, 65_536);
    for name in names.iter().filter(|name| *name != "user") {
        bundle.share(name).namespace(name);
    }
    bundle.run().success();
}

/// FEAT-15: no capability that the document names is called unknown, and every one of the kernel's is named.
#[test]
fn capabilities() {
    let names = list(&features(), "/linux/capabilities");
    let last: usize = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap().trim().parse().unwrap();
    assert!(names.len() > last);
    let mut bundle = Bundle::with_script("exit 0");
    bundle.capabilities(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let output = bundle.run().success();
    assert!(!output.stderr.contains("unknown"), "{}", output.stderr);
    bundle.push("/process/capabilities/bounding", json!("CAP_NOSUCH"));
    assert!(bundle.run().success().stderr.contains("CAP_NOSUCH"));
}

/// FEAT-10, MNT-10…MNT-66, MNT-69…MNT-71: every mount option that the document names is known: none of them reaches the file system
/// as data, which tmpfs would refuse.
#[test]
fn mount_options() {
    let mut bundle = Bundle::with_script("exit 0");
    for option in list(&features(), "/mountOptions") {
        // These act on something that is there already, or need mappings.
        if ["bind", "rbind", "remount", "idmap", "ridmap"].contains(&&*option) {
            continue;
        }
        bundle.mount(&format!("/mnt/{option}"), "tmpfs", "tmpfs", &[&option]);
    }
    bundle.run().success();
}

/// FEAT-17…FEAT-22: every action, operator, architecture and flag that the document names can be used.
#[test]
fn seccomp() {
    let features = features();
    assert_eq!(features["linux"]["seccomp"]["enabled"], true);
    let rule = |action: &str, op: &str| json!({"names": ["lseek"], "action": action, "args": [{"index": 0, "value": 7777, "valueTwo": 7777, "op": op}]});
    let mut bundle = Bundle::with_script("exit 0");
    let mut run = |what: &str, seccomp: Value| {
        bundle.set("/linux/seccomp", seccomp);
        let output = bundle.run();
        assert_eq!(output.code, 0, "{what}: {}", output.stderr);
    };
    for op in list(&features, "/linux/seccomp/operators") {
        run(&op, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("SCMP_ACT_ERRNO", &op)]}));
    }
    for action in list(&features, "/linux/seccomp/actions") {
        // Somebody has to listen for these: tests of notifications show that.
        if action != "SCMP_ACT_NOTIFY" {
            run(&action, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(&action, "SCMP_CMP_EQ")]}));
        }
    }
    for architecture in list(&features, "/linux/seccomp/archs") {
        run(&architecture, json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [architecture]}));
    }
    let supported = list(&features, "/linux/seccomp/supportedFlags");
    for flag in list(&features, "/linux/seccomp/knownFlags") {
        if supported.contains(&flag) && !flag.ends_with("WAIT_KILLABLE_RECV") {
            run(&flag, json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag]}));
        }
    }
    assert!(supported.iter().all(|flag| list(&features, "/linux/seccomp/knownFlags").contains(flag)));
}

/// FEAT-25, FEAT-26: every mode and flag of a memory policy that the document names is understood.
#[test]
fn memory_policies() {
    let features = features();
    let mut bundle = Bundle::new();
    for mode in list(&features, "/linux/memoryPolicy/modes") {
        let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&&*mode) { "" } else { "0" };
        bundle.set("/linux/memoryPolicy", json!({"mode": mode, "nodes": nodes}));
        let output = bundle.run();
        assert!(!output.stderr.contains("not a mode"), "{}", output.stderr);
    }
    for flag in list(&features, "/linux/memoryPolicy/flags") {
        bundle.set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}));
        let output = bundle.run();
        assert!(!output.stderr.contains("not a flag"), "{}", output.stderr);
    }
}

/// FEAT-16, FEAT-23, FEAT-24, FEAT-27…FEAT-31: what the document says is enabled is not refused as missing,
/// and what is not enabled is.
#[test]
fn enabled() {
    let features = features();
    for (feature, pointer, value) in [
        ("/linux/cgroup/rdma", "/linux/resources/rdma", json!({"no-such": {"hcaHandles": 1}})),
        ("/linux/apparmor/enabled", "/process/apparmorProfile", json!("no-such-profile")),
        ("/linux/selinux/enabled", "/process/selinuxLabel", json!("a:b:c:s0")),
        ("/linux/intelRdt/enabled", "/linux/intelRdt", json!({"closID": "no-such"})),
        ("/linux/intelRdt/schemata", "/linux/intelRdt", json!({"schemata": ["L3:0=1"]})),
        ("/linux/intelRdt/monitoring", "/linux/intelRdt", json!({"enableMonitoring": true})),
        ("/linux/mountExtensions/idmap/enabled", "/mounts/0/options", json!(["idmap"])),
        ("/linux/netDevices/enabled", "/linux/netDevices", json!({"no-such-device": {}})),
    ] {
        let mut bundle = Bundle::new();
        let output = bundle.set(pointer, value).refused(&[]);
        let missing = output.stderr.contains(" yet");
        assert_eq!(features.pointer(feature).unwrap(), &json!(!missing), "{feature}: {}", output.stderr);
    }
    let mut bundle = Bundle::new();
    bundle.set("/linux/cgroupsPath", json!(format!("system.slice:orlop:{}", bundle.tag()))).write();
    let create = ["--systemd-cgroup", "create", "--bundle", bundle.dir.to_str().unwrap(), &bundle.id];
    let output = bundle.command(&create);
    bundle.command(&["delete", "--force", &bundle.id]);
    let missing = output.stderr.contains(" yet");
    assert_eq!(features["linux"]["cgroup"]["systemd"], json!(!missing), "{}", output.stderr);
}

/// FEAT-33, CFG-06, LNX-01: what the template of `spec` uses, the document names; its root is `rootfs`, and
/// it mounts the default file systems.
#[test]
fn template() {
    let features = features();
    let bundle = Bundle::new();
    bundle.command(&["spec", "--bundle", bundle.dir.to_str().unwrap()]).success();
    let template: Value = serde_json::from_slice(&std::fs::read(bundle.dir.join("config.json")).unwrap()).unwrap();
    assert_eq!(template["ociVersion"], features["ociVersionMax"]);
    assert_eq!(template["root"]["path"], "rootfs");
    for namespace in template["linux"]["namespaces"].as_array().unwrap() {
        let kind = namespace["type"].as_str().unwrap().to_owned();
        assert!(list(&features, "/linux/namespaces").contains(&kind), "{kind}");
    }
    for capability in list(&template, "/process/capabilities/bounding") {
        assert!(list(&features, "/linux/capabilities").contains(&capability), "{capability}");
    }
    let mounts = template["mounts"].as_array().unwrap();
    let options = list(&features, "/mountOptions");
    for mount in mounts {
        let own = ["mode", "size", "gid", "ptmxmode", "newinstance"];
        for option in mount["options"].as_array().into_iter().flatten().map(|option| option.as_str().unwrap()) {
            let name = option.split('=').next().unwrap();
            assert!(own.contains(&name) || options.contains(&option.to_owned()), "{option}");
        }
    }
    for (destination, kind) in [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")] {
        assert!(mounts.iter().any(|mount| mount["destination"] == destination && mount["type"] == kind));
    }
}
