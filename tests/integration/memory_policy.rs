//! `linux.memoryPolicy` (config-linux.md).

use std::path::Path;

use crate::harness::{Bundle, Value, json};

fn has_numa() -> bool {
    Path::new("/proc/self/numa_maps").exists()
}

/// LNX-122, LNX-123, LNX-124: each mode, and each flag where it can be; every machine has node 0.
#[test]
fn modes_and_flags() {
    if !has_numa() {
        skip!("this kernel knows no NUMA");
    }
    for (mode, nodes, flags, shown) in [
        ("MPOL_DEFAULT", "", &[][..], " default "),
        ("MPOL_PREFERRED", "0", &[], " prefer:0 "),
        ("MPOL_PREFERRED", "", &[], " local "),
        ("MPOL_BIND", "0", &[], " bind:0 "),
        ("MPOL_INTERLEAVE", "0-0", &[], " interleave:0 "),
        ("MPOL_LOCAL", "", &[], " local "),
        ("MPOL_PREFERRED_MANY", "0", &[], " prefer (many):0 "),
        ("MPOL_WEIGHTED_INTERLEAVE", "0", &[], " weighted interleave:0 "),
        ("MPOL_BIND", "0", &["MPOL_F_STATIC_NODES"], " bind=static:0 "),
        ("MPOL_INTERLEAVE", "0", &["MPOL_F_RELATIVE_NODES"], " interleave=relative:0 "),
        ("MPOL_BIND", "0", &["MPOL_F_NUMA_BALANCING"], " bind=balancing:0 "),
    ] {
        let mut bundle = Bundle::with_script("cat /proc/self/numa_maps");
        bundle.set("/linux/memoryPolicy", json!({"mode": mode, "nodes": nodes, "flags": flags}));
        let output = bundle.run();
        // Weighted interleaving is new in Linux 6.9.
        if mode == "MPOL_WEIGHTED_INTERLEAVE" && output.code != 0 {
            output.failure(&["linux.memoryPolicy: MPOL_WEIGHTED_INTERLEAVE: set_mempolicy: EINVAL"]);
            continue;
        }
        let text = output.success().stdout;
        // Older kernels have no name for the flag.
        let without_flag = shown.replace("=balancing", "=");
        assert!(text.contains(shown) || text.contains(&without_flag), "{mode} {flags:?}: {text}");
    }
}

/// The policy is the container's, seen from the host, and not the runtime's.
#[test]
fn seen_from_the_host() {
    if !has_numa() {
        skip!("this kernel knows no NUMA");
    }
    let mut bundle = Bundle::with_script("exec sleep 1000");
    bundle.set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}));
    let container = bundle.create();
    container.start();
    crate::harness::eventually("no policy", || container.proc("numa_maps").contains(" bind:0 ").then_some(()));
    assert!(!std::fs::read_to_string("/proc/self/numa_maps").unwrap().contains(" bind:0 "));
}

/// LNX-122, LNX-123, LNX-124: what no kernel takes is refused before anything is made.
#[test]
fn refusals() {
    let mut bundle = Bundle::new();
    for (policy, word) in [
        (json!({"nodes": "0"}), "mode"),
        (json!({"mode": "MPOL_NOSUCH"}), "linux.memoryPolicy.mode"),
        (json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_BIND", "nodes": "0-"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NOSUCH"]}), "linux.memoryPolicy.flags"),
        (
            json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}),
            "linux.memoryPolicy.flags",
        ),
    ] {
        bundle.set("/linux/memoryPolicy", policy);
        bundle.refused(&["linux.memoryPolicy", word]);
    }
}

/// LNX-123: a node that the machine does not have is the kernel's to refuse, by name.
#[test]
fn missing_node() {
    if !has_numa() || Path::new("/sys/devices/system/node/node1023").exists() {
        skip!("this kernel knows no NUMA, or has all nodes");
    }
    let mut bundle = Bundle::new();
    bundle.set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "1023"}));
    bundle.refused(&["linux.memoryPolicy: MPOL_BIND: set_mempolicy: EINVAL: invalid argument"]);
}

/// FEAT-25, FEAT-26
#[test]
fn features() {
    let features: Value = serde_json::from_str(&Bundle::new().command(&["features"]).success().stdout).unwrap();
    let count = |key: &str| features["linux"]["memoryPolicy"][key].as_array().unwrap().len();
    assert_eq!((count("modes"), count("flags")), (7, 3));
}
