//! `linux.namespaces`, mappings and time offsets (config-linux.md).

use std::fs;
use std::path::PathBuf;

use crate::harness::{Bundle, Container, json};

/// Names of the types in the configuration and below `/proc/<pid>/ns`.
const TYPES: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn host(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned()
}

/// A container with a namespace of every type of its own.
fn with_all(bundle: &mut Bundle) -> Container {
    bundle.namespace("cgroup").namespace("time").user_namespace(100_000, 65536);
    bundle.script("exec sleep 1000");
    let container = bundle.create();
    container.start();
    container
}

/// LNX-03…LNX-10, LNX-14: each listed type is a new namespace.
#[test]
fn new_ones() {
    let mut bundle = Bundle::new();
    let container = with_all(&mut bundle);
    for (_, name) in TYPES {
        assert_ne!(container.link(&format!("ns/{name}")), host(name), "{name}");
    }
}

/// LNX-15: a type that is not listed is the runtime's.
#[test]
fn inherited_ones() {
    for (kind, name) in TYPES {
        let mut bundle = Bundle::with_script("exec sleep 1000");
        bundle.share(kind);
        match kind {
            "uts" => bundle.remove("/hostname"),
            // A sysfs of a shared network namespace is allowed to its owner only; root here.
            "mount" => bundle.set("/mounts", json!([])),
            _ => &mut bundle,
        };
        let container = bundle.create();
        assert_eq!(container.link(&format!("ns/{name}")), host(name), "{kind}");
    }
}

/// LNX-11, LNX-12: each type can be joined by path; delete leaves it alone (RT-57).
#[test]
fn joined_by_path() {
    let mut owner = Bundle::with_script("exec sleep 1000");
    owner.namespace("cgroup").namespace("time");
    let other = owner.create();
    other.start();
    for (kind, name) in TYPES.iter().filter(|(kind, _)| *kind != "user") {
        let mut bundle = Bundle::with_script("exec sleep 1000");
        bundle.join(kind, &format!("/proc/{}/ns/{name}", other.pid()));
        match *kind {
            "mount" => bundle.set("/mounts", json!([])).set("/root/path", json!("/")),
            "uts" => bundle.remove("/hostname"),
            _ => &mut bundle,
        };
        let container = bundle.create();
        assert_eq!(container.link(&format!("ns/{name}")), other.link(&format!("ns/{name}")), "{kind}");
        container.stop();
        container.delete();
    }
    assert_eq!(other.status(), "running");
}

/// LNX-12: a user namespace is joined, alone or with the namespaces that it owns.
#[test]
fn joined_user_namespace() {
    let mut owner = Bundle::new();
    let other = with_all(&mut owner);
    for with_others in [false, true] {
        let mut bundle = Bundle::with_script("id -u; cat /proc/self/uid_map; exec sleep 1000");
        // Gives the root file system to the mapped root; the namespace itself is joined.
        bundle.user_namespace(100_000, 65536).remove("/linux/uidMappings").remove("/linux/gidMappings");
        for (kind, name) in TYPES.iter().filter(|(kind, _)| *kind == "user" || (with_others && *kind != "mount")) {
            bundle.join(kind, &format!("/proc/{}/ns/{name}", other.pid()));
        }
        if with_others {
            bundle.remove("/hostname");
        }
        let container = bundle.create();
        container.start();
        let text = container.wait_output("65536");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["0", "0", "100000", "65536"]);
        assert_eq!(container.link("ns/user"), other.link("ns/user"));
        container.stop();
        container.delete();
    }
    assert_eq!(other.status(), "running");
}

/// A pod: three namespaces of another container, everything else its own.
#[test]
fn shared_pair() {
    let first = Bundle::with_script("hostname; exec sleep 1000");
    let sandbox = first.create();
    sandbox.start().wait_output("orlop");
    let mut second = Bundle::with_script("hostname; readlink /proc/self/ns/net");
    for (kind, name) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        second.join(kind, &format!("/proc/{}/ns/{name}", sandbox.pid()));
    }
    second.remove("/hostname");
    assert_eq!(second.output(), format!("orlop\n{}\n", sandbox.link("ns/net")));
}

/// LNX-12: a pid namespace joined by path: the program is not its first process.
#[test]
fn joined_pid_namespace() {
    let owner = Bundle::with_script("exec sleep 1000");
    let other = owner.create();
    other.start();
    let mut bundle = Bundle::with_script("echo $$; readlink /proc/self");
    bundle.join("pid", &format!("/proc/{}/ns/pid", other.pid()));
    let text = bundle.output();
    let lines: Vec<_> = text.lines().collect();
    assert_ne!(lines[0], "1");
    // The proc mount belongs to the joined namespace, where our pid is small.
    assert!(lines[1].parse::<u32>().unwrap() < 100, "{text}");
}

/// LNX-13: a namespace of another type, or a file that is none, is refused.
#[test]
fn wrong_types() {
    for (kind, name) in TYPES {
        let (_, other) = TYPES.iter().find(|(_, other)| *other != name).unwrap();
        let mut bundle = Bundle::new();
        bundle.join(kind, &format!("/proc/self/ns/{other}"));
        bundle.refused(&["linux.namespaces", kind]);
    }
    let mut bundle = Bundle::new();
    bundle.join("network", "/proc/self/status");
    bundle.refused(&["linux.namespaces"]);
    bundle.join("network", "/no/such/namespace");
    bundle.refused(&["linux.namespaces", "/no/such/namespace", "no such file or directory"]);
}

/// LNX-11: a relative path is refused.
#[test]
fn relative_path() {
    let mut bundle = Bundle::new();
    bundle.join("network", "proc/self/ns/net");
    bundle.refused(&["linux.namespaces", "absolute"]);
}

/// LNX-16: a type listed twice is refused.
#[test]
fn listed_twice() {
    let mut bundle = Bundle::new();
    bundle.namespace("ipc");
    bundle.refused(&["linux.namespaces[5]", "ipc"]);
}

/// LNX-02: the type is needed, and a known one.
#[test]
fn unknown_type() {
    let mut bundle = Bundle::new();
    bundle.namespace("nosuch");
    bundle.refused(&["linux.namespaces[5]", "nosuch"]);
    let mut bundle = Bundle::new();
    bundle.push("/linux/namespaces", json!({}));
    bundle.refused(&["linux.namespaces[5]", "type"]);
}

/// LNX-04: a new network namespace has its loopback device up, with its address.
#[test]
fn loopback() {
    let text = Bundle::with_script("cat /sys/class/net/lo/flags; ip addr show lo").output();
    let flags = u32::from_str_radix(text.lines().next().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(flags & 1, 1, "not up: {text}");
    assert!(text.contains("127.0.0.1/8"), "{text}");
}

/// No namespaces at all are legal: the program runs among the host's, in its root.
#[test]
fn none_but_mount() {
    let mut bundle = Bundle::with_script("echo $$; exec cat /proc/self/status");
    for kind in ["pid", "network", "ipc", "uts"] {
        bundle.share(kind);
    }
    bundle.remove("/hostname");
    let text = bundle.output();
    let pid: i32 = text.lines().next().unwrap().parse().unwrap();
    assert!(pid > 1, "{text}");
    assert!(text.contains(&format!("Pid:\t{pid}\n")), "{text}");
}

/// LNX-08, LNX-17: ids inside are mapped to the ids outside, and ownership on disk is not touched
/// (LNX-18).
#[test]
fn user_mappings() {
    let mut bundle = Bundle::with_script(
        "id -u; id -g; cat /proc/self/uid_map; touch /tmp/made; stat -c %u:%g /bin /tmp/made; exec sleep 1000",
    );
    bundle.user_namespace(100_000, 65536);
    std::os::unix::fs::chown(bundle.rootfs("tmp"), Some(100_000), Some(100_000)).unwrap();
    let container = bundle.create();
    container.start();
    let text = container.wait_output("0:0");
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", "100000", "65536", "65534:65534", "0:0"]);
    assert_eq!(container.proc_status("Uid"), "100000\t100000\t100000\t100000");
    assert_eq!(container.proc_status("Gid"), "100000\t100000\t100000\t100000");
    use std::os::unix::fs::MetadataExt;
    let made = fs::metadata(bundle.rootfs("tmp/made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (100_000, 100_000));
    assert_eq!(fs::metadata(bundle.rootfs("bin")).unwrap().uid(), 0);
}

/// Several mapping entries, for uids and gids each their own, and a user other than root.
#[test]
fn several_mappings() {
    let mut bundle = Bundle::with_script("cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g");
    bundle.user_namespace(100_000, 10);
    bundle.push("/linux/uidMappings", json!({"containerID": 1000, "hostID": 200_000, "size": 5}));
    bundle.push("/linux/gidMappings", json!({"containerID": 2000, "hostID": 300_000, "size": 7}));
    bundle.set("/process/user", json!({"uid": 1004, "gid": 2006}));
    let text = bundle.output();
    let words: Vec<_> = text.split_whitespace().collect();
    let uids = ["0", "100000", "10", "1000", "200000", "5"];
    let gids = ["0", "100000", "10", "2000", "300000", "7"];
    assert_eq!(words, [&uids[..], &gids, &["1004", "2006"]].concat());
}

/// The default devices and mounts work in a user namespace too, and belong to its root.
#[test]
fn user_namespace_with_everything() {
    let mut bundle = Bundle::with_script(
        "echo x > /dev/null; head -c 1 /dev/zero | wc -c; stat -c %u:%g /proc/self/ /sys /dev/shm /dev/mqueue /dev/pts; \
         : > /dev/shm/file; hostname; cat /proc/self/setgroups",
    );
    bundle.user_namespace(100_000, 65536).namespace("cgroup");
    bundle.set("/process/user/additionalGids", json!([5, 10]));
    let text = bundle.output();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words[..4], ["1", "0:0", "65534:65534", "0:0"], "{text}");
    assert_eq!(words[4..], ["0:0", "0:0", "orlop", "allow"], "{text}");
}

/// LNX-20: mappings without a user namespace, and a user namespace without mappings, are refused.
#[test]
fn mappings_and_namespace_belong_together() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 1, "size": 1}]));
    bundle.refused(&["linux.uidMappings"]);
    let mut bundle = Bundle::new();
    bundle.namespace("user");
    bundle.refused(&["linux.", "appings"]);
    let mut bundle = Bundle::new();
    bundle.user_namespace(100_000, 65536).remove("/linux/gidMappings");
    bundle.refused(&["linux.gidMappings"]);
}

/// LNX-17, LNX-19: incomplete, empty, overlapping and too many entries are refused.
#[test]
fn bad_mappings() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(100_000, 10);
    for bad in [
        json!([{"containerID": 0, "hostID": 1}]),
        json!([{"containerID": 0, "hostID": 1, "size": 0}]),
        json!([{"containerID": 0, "hostID": 1, "size": 2}, {"containerID": 1, "hostID": 5, "size": 2}]),
        json!([{"containerID": 0, "hostID": 4_294_967_290_u32, "size": 100}]),
        (0..341).map(|n| json!({"containerID": n, "hostID": 1000 + n, "size": 1})).collect(),
    ] {
        bundle.set("/linux/uidMappings", bad);
        bundle.refused(&["linux.uidMappings"]);
    }
}

/// A process id that is not mapped is refused.
#[test]
fn unmapped_user() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(100_000, 10).set("/process/user/uid", json!(10));
    bundle.refused(&["process.user"]);
}

/// LNX-21: both clocks of a time namespace are shifted before the program starts.
#[test]
fn time_offsets() {
    let mut bundle = Bundle::with_script("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets");
    bundle.namespace("time");
    let offsets = json!({"monotonic": {"secs": 86400, "nanosecs": 5}, "boottime": {"secs": 1_000_000}});
    bundle.set("/linux/timeOffsets", offsets);
    let uptime = || -> u64 { fs::read_to_string("/proc/uptime").unwrap().split('.').next().unwrap().parse().unwrap() };
    let before = uptime();
    let text = bundle.output();
    let words: Vec<_> = text.split_whitespace().collect();
    let inside: u64 = words[0].parse().unwrap();
    assert!((before + 1_000_000..=uptime() + 1_000_000).contains(&inside), "{inside}");
    assert_eq!(words[1..], ["monotonic", "86400", "5", "boottime", "1000000", "0"]);
}

/// LNX-21: the same inside a user namespace.
#[test]
fn time_offsets_in_a_user_namespace() {
    let mut bundle = Bundle::with_script("cat /proc/self/timens_offsets");
    bundle.namespace("time").user_namespace(100_000, 65536);
    bundle.set("/linux/timeOffsets", json!({"monotonic": {"secs": -1}, "boottime": {"secs": 7}}));
    let text = bundle.output();
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["monotonic", "-1", "0", "boottime", "7", "0"]);
}

/// LNX-21: unknown clocks, too many nanoseconds, and offsets without a new time namespace are refused.
#[test]
fn bad_time_offsets() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}));
    bundle.refused(&["linux.timeOffsets"]);
    bundle.namespace("time");
    for bad in [json!({"realtime": {"secs": 1}}), json!({"monotonic": {"secs": 1, "nanosecs": 1_000_000_000}})] {
        bundle.set("/linux/timeOffsets", bad);
        bundle.refused(&["linux.timeOffsets"]);
    }
}

/// LNX-09: in a cgroup namespace, the container's cgroup is the root.
#[test]
fn cgroup_namespace() {
    let mut bundle = Bundle::with_script("cat /proc/self/cgroup");
    assert!(bundle.output().contains(&format!(":/{}", bundle.tag())));
    bundle.namespace("cgroup");
    let text = bundle.output();
    assert!(!text.contains(bundle.tag()), "{text}");
    let pids = text.lines().find(|line| line.contains("pids") || line.starts_with("0::")).unwrap();
    assert!(pids.ends_with(":/"), "{text}");
}

/// A namespace that a bind mount keeps alive can be joined, and stays when the container goes.
#[test]
fn bound_network_namespace() {
    let first = Bundle::with_script("exec sleep 1000");
    let holder = first.create();
    let bound: PathBuf = first.file("netns");
    fs::write(&bound, "").unwrap();
    let source = format!("/proc/{}/ns/net", holder.pid());
    let none: Option<&str> = None;
    nix::mount::mount(Some(&*source), &bound, none, nix::mount::MsFlags::MS_BIND, none).unwrap();
    let expected = holder.link("ns/net");
    drop(holder);

    let mut second = Bundle::with_script("readlink /proc/self/ns/net");
    second.join("network", bound.to_str().unwrap());
    let inside = second.output();
    nix::mount::umount(&bound).unwrap();
    assert_eq!(inside.trim(), expected);
}
