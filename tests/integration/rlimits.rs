//! `process.rlimits` (config.md).

use std::fs;

use crate::harness::{Bundle, field, json};

/// CFG-18…CFG-22: every resource, soft and hard exactly.
#[test]
fn rlimits() {
    let mut bundle = Bundle::new();
    let limits = [
        ("AS", "Max address space", 1_u64 << 30, 1_u64 << 31),
        ("CORE", "Max core file size", 0, 0),
        ("CPU", "Max cpu time", 1000, 2000),
        ("DATA", "Max data size", 1 << 28, 1 << 29),
        ("FSIZE", "Max file size", 1_000_000, 2_000_000),
        ("LOCKS", "Max file locks", 10, 20),
        ("MEMLOCK", "Max locked memory", 8192, 65536),
        ("MSGQUEUE", "Max msgqueue size", 1000, 2000),
        ("NICE", "Max nice priority", 0, 0),
        ("NOFILE", "Max open files", 40, 50),
        ("NPROC", "Max processes", 500, 600),
        ("RSS", "Max resident set", 1 << 28, 1 << 29),
        ("RTPRIO", "Max realtime priority", 0, 0),
        ("RTTIME", "Max realtime timeout", 1000, 2000),
        ("SIGPENDING", "Max pending signals", 300, 400),
        ("STACK", "Max stack size", 1 << 20, 1 << 21),
    ];
    let list: Vec<_> = limits
        .iter()
        .map(|(name, _, soft, hard)| json!({"type": format!("RLIMIT_{name}"), "soft": soft, "hard": hard}))
        .collect();
    bundle.args(&["/bin/cat", "/proc/self/limits"]).set("/process/rlimits", json!(list));
    let text = bundle.output();
    for (name, line, soft, hard) in limits {
        let found = text.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        let words: Vec<_> = found.split_whitespace().take(2).collect();
        assert_eq!(words, [soft.to_string(), hard.to_string()], "{name}");
    }
}

/// CFG-21, CFG-22: the largest value means no limit.
#[test]
fn unlimited() {
    let mut bundle = Bundle::new();
    let limit = json!({"type": "RLIMIT_FSIZE", "soft": u64::MAX, "hard": u64::MAX});
    bundle.args(&["/bin/cat", "/proc/self/limits"]).set("/process/rlimits", json!([limit]));
    let text = bundle.output();
    let line = text.lines().find(|line| line.starts_with("Max file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("unlimited"), "{text}");
}

/// Limits are the program's: they do not break what the runtime still has to do.
#[test]
fn small_rlimits() {
    let mut bundle = Bundle::with_script("echo ran");
    bundle.namespace("cgroup").mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    for (name, value) in [
        ("AS", 1 << 30),
        ("NOFILE", 4),
        ("STACK", 1 << 17),
        ("DATA", 1 << 20),
        ("NPROC", 1),
        ("CORE", 0),
        ("MEMLOCK", 0),
        ("FSIZE", 4096),
    ] {
        bundle.set("/process/rlimits", json!([{"type": format!("RLIMIT_{name}"), "soft": value, "hard": value}]));
        let output = bundle.run();
        assert_eq!((output.code, &*output.stdout), (0, "ran\n"), "{name}: {}", output.stderr);
    }
}

/// CFG-18, CFG-19, CFG-21…CFG-23: unknown, doubled, incomplete and inverted limits are refused.
#[test]
fn bad_rlimits() {
    let mut bundle = Bundle::new();
    let good = json!({"type": "RLIMIT_CORE", "soft": 0, "hard": 0});
    for bad in [
        json!({"type": "RLIMIT_TEST", "soft": 0, "hard": 0}),
        json!({"type": "CORE", "soft": 0, "hard": 0}),
        json!({"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}),
        json!({"type": "RLIMIT_NOFILE", "soft": 2}),
        json!({"type": "RLIMIT_NOFILE", "hard": 2}),
        json!({"soft": 1, "hard": 2}),
        good.clone(),
    ] {
        bundle.set("/process/rlimits", json!([good, bad]));
        bundle.refused(&["process.rlimits[1]"]);
    }
}

/// A limit above the hard one of a runtime without CAP_SYS_RESOURCE fails, naming the property.
#[test]
fn rlimit_without_permission() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = u64::from_str_radix(field(&status, "CapEff"), 16).unwrap();
    if effective & (1 << 24) != 0 {
        skip!("the runtime has CAP_SYS_RESOURCE here");
    }
    let mut bundle = Bundle::new();
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 1_000_000, "hard": 1_000_000}]));
    bundle.refused(&["process.rlimits[0]", "operation not permitted"]);
}
