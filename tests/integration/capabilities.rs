//! `process.capabilities` and `process.noNewPrivileges` (config.md).

use std::fs;

use crate::harness::{Bundle, field, json};

const SETS: [(&str, &str); 5] = [
    ("inheritable", "CapInh"),
    ("permitted", "CapPrm"),
    ("effective", "CapEff"),
    ("bounding", "CapBnd"),
    ("ambient", "CapAmb"),
];

#[track_caller]
fn assert_sets(bundle: &mut Bundle, expected: [u64; 5]) {
    let text = bundle.process_status();
    for ((name, line), bits) in SETS.iter().zip(expected) {
        assert_eq!(u64::from_str_radix(field(&text, line), 16).unwrap(), bits, "{name}");
    }
}

const CHOWN: u64 = 1;

const KILL: u64 = 1 << 5;

const SETPCAP: u64 = 1 << 8;

const NET_RAW: u64 = 1 << 13;

const SYS_CHROOT: u64 = 1 << 18;

/// CFG-27: the five sets are exactly what was listed, for a root and for another user.
#[test]
fn capability_sets() {
    let mut bundle = Bundle::new();
    let capabilities = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_SETPCAP"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
        "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"],
        "ambient": ["CAP_NET_RAW"]
    });
    bundle.set("/process/capabilities", capabilities).set("/process/noNewPrivileges", json!(false));
    // Executing as root gives permitted = effective = inheritable | bounding (capabilities(7)).
    let bounding = CHOWN | KILL | NET_RAW | SYS_CHROOT | SETPCAP;
    assert_sets(&mut bundle, [KILL | NET_RAW, bounding, bounding, bounding, NET_RAW]);
    // Executing as another user leaves what is ambient.
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_sets(&mut bundle, [KILL | NET_RAW, NET_RAW, NET_RAW, bounding, NET_RAW]);
}

/// CFG-27: the same beside a filter, for which init has to keep CAP_SYS_ADMIN a while longer.
#[test]
fn capability_sets_beside_a_filter() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    bundle.set("/process/noNewPrivileges", json!(false));
    for (inheritable, ambient) in [(&[][..], &[][..]), (&["CAP_KILL", "CAP_NET_RAW"], &["CAP_NET_RAW"])] {
        let capabilities = json!({
            "bounding": ["CAP_KILL", "CAP_NET_RAW"],
            "permitted": ["CAP_KILL", "CAP_NET_RAW"],
            "inheritable": inheritable,
            "ambient": ambient,
        });
        let (inheritable, ambient) = if ambient.is_empty() { (0, 0) } else { (KILL | NET_RAW, NET_RAW) };
        bundle.set("/process/capabilities", capabilities).set("/process/user", json!({"uid": 0, "gid": 0}));
        assert_sets(&mut bundle, [inheritable, KILL | NET_RAW, KILL | NET_RAW, KILL | NET_RAW, ambient]);
        bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
        assert_sets(&mut bundle, [inheritable, ambient, ambient, KILL | NET_RAW, ambient]);
    }
}

/// What the program's children find out about it, who have the same capabilities, and no others.
#[test]
fn program_beside_a_filter_is_dumpable() {
    let mut bundle = Bundle::with_script("readlink /proc/1/ns/mnt | grep -c mnt");
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    bundle.set("/process/noNewPrivileges", json!(false)).capabilities(&["CAP_KILL"]);
    for uid in [0, 1000] {
        bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
        assert_eq!(bundle.run().stdout, "1\n", "{uid}");
    }
}

/// CFG-27: nothing listed is nothing; the inheritable set is empty unless listed (CVE-2022-29162).
#[test]
fn no_capabilities() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_KILL"]);
    assert_sets(&mut bundle, [0, KILL, KILL, KILL, 0]);
    bundle.set("/process/capabilities", json!({}));
    assert_sets(&mut bundle, [0, 0, 0, 0, 0]);
    bundle.remove("/process/capabilities");
    assert_sets(&mut bundle, [0, 0, 0, 0, 0]);
    bundle.capabilities(&["CAP_KILL"]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    assert_sets(&mut bundle, [0, 0, 0, KILL, 0]);
}

/// CFG-27: every capability that the kernel has and the runtime holds, in every set.
#[test]
fn all_capabilities() {
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let held = u64::from_str_radix(field(&own, "CapBnd"), 16).unwrap();
    let names: Vec<_> =
        caps::all().into_iter().filter(|cap| held & cap.bitmask() != 0).map(|cap| cap.to_string()).collect();
    let mut bundle = Bundle::new();
    let set = json!(names);
    bundle.set(
        "/process/capabilities",
        json!({"bounding": set, "permitted": set, "effective": set, "inheritable": set, "ambient": set}),
    );
    let mask = caps::all().into_iter().map(|cap| cap.bitmask()).fold(0, |all, bit| all | bit) & held;
    assert_sets(&mut bundle, [mask; 5]);
}

/// CFG-25, CFG-26, RT-35: an unknown capability is a warning that names it, no failure.
#[test]
fn unknown_capability() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_KILL", "CAP_NO_SUCH"]).args(&["/bin/cat", "/proc/self/status"]);
    let output = bundle.run().success();
    assert_eq!(field(&output.stdout, "CapEff"), "0000000000000020");
    assert!(output.stderr.contains("CAP_NO_SUCH"), "no warning: {:?}", output.stderr);
}

/// CFG-25, CFG-26: neither is one that the runtime does not hold, or one that cannot be ambient.
#[test]
fn capability_that_cannot_be_granted() {
    let mut bundle = Bundle::new();
    bundle.capabilities(&["CAP_KILL"]).set("/process/capabilities/ambient", json!(["CAP_KILL"]));
    bundle.args(&["/bin/cat", "/proc/self/status"]);
    let output = bundle.run().success();
    assert_eq!(field(&output.stdout, "CapAmb"), "0000000000000000");
    assert!(output.stderr.contains("CAP_KILL"), "no warning: {:?}", output.stderr);
}

/// CFG-28: noNewPrivileges, or not.
#[test]
fn no_new_privileges() {
    let mut bundle = Bundle::new();
    bundle.set("/process/noNewPrivileges", json!(true));
    assert_eq!(field(&bundle.process_status(), "NoNewPrivs"), "1");
    bundle.set("/process/noNewPrivileges", json!(false));
    assert_eq!(field(&bundle.process_status(), "NoNewPrivs"), "0");
    bundle.remove("/process/noNewPrivileges");
    assert_eq!(field(&bundle.process_status(), "NoNewPrivs"), "0");
}
