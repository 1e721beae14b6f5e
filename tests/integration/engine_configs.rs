//! Configurations as engines write them: however strict we are, these run.
//!
//! `tests/configs/` was made from what the engines hand to a runtime, or, for Docker and the CRI ones,
//! after what they are known to. Host paths, ids and long profiles are shortened.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Bundle, Value, json};

macro_rules! config {
    ($name:literal) => {
        include_str!(concat!("../configs/", $name, ".json"))
    };
}

/// Runs it; `CGROUP` stands for a cgroup of the test's, `file` and `shm` for the engine's files.
fn runs(name: &str, text: &str) {
    let mut bundle = Bundle::new();
    bundle.config = serde_json::from_str(&text.replace("CGROUP", bundle.tag())).unwrap();
    fs::write(bundle.dir.join("file"), "x\n").unwrap();
    fs::create_dir(bundle.dir.join("shm")).unwrap();
    let output = bundle.run();
    assert_eq!((output.code, &*output.stdout, &*output.stderr), (0, "fine\n", warnings(&output.stderr)), "{name}");
}

/// The one thing that may be said: libseccomp does not know every name.
fn warnings(stderr: &str) -> &str {
    if stderr.contains("name_of_a_newer_kernel") && stderr.lines().count() == 1 { stderr } else { "" }
}

/// VAL-03: podman 4, plain, and with --read-only, a pod's annotations and limits.
#[test]
fn podman() {
    runs("podman", config!("podman"));
    runs("podman-read-only", config!("podman-read-only"));
}

/// VAL-03: ctr of containerd 1.6, plain and with options, and the CRI plugin of 2.x.
#[test]
fn containerd() {
    runs("containerd", config!("containerd"));
    runs("containerd-options", config!("containerd-options"));
    runs("containerd-cri", config!("containerd-cri"));
}

/// VAL-03: Docker writes a weight and shares of 0, a console size of 0 x 0 without a terminal, and a
/// prestart hook.
#[test]
fn docker() {
    runs("docker", config!("docker"));
}

/// VAL-03: CRI-O writes `null`s, empty labels, a quota of 0, and `bind` beside `rbind`.
#[test]
fn crio() {
    runs("crio", config!("crio"));
}

/// VAL-03, FEAT-33: the templates of the runtimes' own `spec` commands, ours among them.
#[test]
fn templates() {
    let own = crate::harness::runtime::program();
    // crun's for plain users has no mappings: it adds those of /etc/subuid itself.
    for (runtime, flags) in [
        (own.as_path(), &["spec"][..]),
        (&own, &["spec", "--rootless"]),
        (Path::new("runc"), &["spec"]),
        (Path::new("runc"), &["spec", "--rootless"]),
        (Path::new("crun"), &["spec"]),
    ] {
        let mut bundle = Bundle::new();
        match Command::new(runtime).args(flags).current_dir(&bundle.dir).status() {
            Ok(status) => assert!(status.success()),
            Err(_) => skip!("{} is not installed", runtime.display()),
        }
        let text = fs::read(bundle.dir.join("config.json")).unwrap();
        bundle.config = serde_json::from_slice(&text).unwrap();
        bundle.args(&["/bin/echo", "fine"]).set("/process/terminal", Value::Bool(false));
        bundle.set("/linux/cgroupsPath", json!(format!("/{}", bundle.tag())));
        let output = bundle.run();
        assert_eq!((output.code, &*output.stdout), (0, "fine\n"), "{runtime:?} {flags:?}: {}", output.stderr);
    }
}
