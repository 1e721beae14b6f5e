//! Configurations with mistakes, given to the real binary: an error or a container, and nothing left.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Stdio;

use crate::harness::mutate::mutated;
use crate::harness::{Bundle, Value};

const CONFIGS: [&str; 3] = [
    include_str!("../configs/containerd-cri.json"),
    include_str!("../configs/podman-read-only.json"),
    include_str!("../configs/crio.json"),
];

/// A mistake may leave a configuration that works, and lets the container at the host: without one of its
/// namespaces, with another root or cgroup, or with a directory of the host mounted.
fn reaches_the_host(text: &[u8]) -> bool {
    let Ok(config) = serde_json::from_slice::<Value>(text) else { return false };
    let is_new = |kind: &str| {
        let list = config["linux"]["namespaces"].as_array();
        list.is_some_and(|list| list.iter().any(|entry| entry["type"] == kind && entry["path"].is_null()))
    };
    let leads_out = |mount: &Value| mount["source"].as_str().is_some_and(|path| path.contains(['/', '.']));
    !["mount", "pid", "network", "ipc", "uts"].into_iter().all(is_new)
        || config["root"]["path"] != "rootfs"
        || !config["linux"]["cgroupsPath"].as_str().is_some_and(|path| path.contains("orlop-test"))
        || config["mounts"].as_array().is_some_and(|mounts| mounts.iter().any(leads_out))
}

/// RT-34, VAL-03: no panic and no signal; no state, mount, cgroup or process stays.
#[test]
fn mutated_configurations() {
    let mut bundle = Bundle::new();
    std::fs::write(bundle.dir.join("file"), "x\n").unwrap();
    std::fs::create_dir(bundle.dir.join("shm")).unwrap();
    let (mut ran, mut failed, before) = (0, 0, top_level());
    for (index, text) in CONFIGS.iter().enumerate() {
        bundle.config = serde_json::from_str(&text.replace("CGROUP", bundle.tag())).unwrap();
        for seed in 0..110 {
            let text = mutated(&bundle.config, 1_000_000 + seed * CONFIGS.len() as u64 + index as u64);
            if reaches_the_host(&text) {
                continue;
            }
            bundle.write_raw(&text);
            let mut command = bundle.prepare(&["run", "--bundle"]);
            command.arg(&bundle.dir).arg(&bundle.id).stdin(Stdio::null());
            let output = bundle.finish(command);
            let shown = String::from_utf8_lossy(&text);
            assert!(!output.stderr.contains("panicked"), "{}: {shown}", output.stderr);
            match output.code {
                0 => ran += 1,
                // A filter may keep echo from doing what it does, and then it says so itself.
                1..128 => failed += 1,
                code => panic!("status {code}: {}: {shown}", output.stderr),
            }
            if !bundle.scratch().leftovers().is_empty() {
                eprintln!("{shown}");
                bundle.assert_clean();
            }
        }
    }
    assert!(ran > 50 && failed > 50, "{ran} ran, {failed} failed");
    assert_eq!(top_level(), before);
}

/// What is in the host's root directory.
fn top_level() -> BTreeSet<OsString> {
    std::fs::read_dir("/").unwrap().map(|entry| entry.unwrap().file_name()).collect()
}
