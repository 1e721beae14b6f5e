//! `process.cwd` and `process.args` as ways out of the container.

use std::fs;
use std::os::unix::fs::symlink;

use super::Canary;
use crate::exec::{idle, start};
use crate::harness::{Bundle, json};

/// No working directory, and no program, through a descriptor of the runtime.
#[test]
fn cve_2024_21626_create() {
    for number in 3..14 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/1/fd/{number}")] {
            let mut bundle = Bundle::with_script("pwd; ls ../../../../.. 2>/dev/null");
            bundle.set("/process/cwd", json!(path));
            let output = bundle.run();
            if output.code == 0 {
                let inside = fs::read_dir(bundle.rootfs("")).unwrap().count();
                assert_eq!(output.stdout.lines().count(), inside + 1, "{path}: {}", output.stdout);
            }
            bundle.set("/process/cwd", json!("/")).args(&[&format!("{path}/bin/busybox"), "true"]);
            let output = bundle.run();
            assert_ne!(output.code, 0, "{path}");
        }
    }
}

/// A link to such a path does not help either.
#[test]
fn cve_2024_21626_through_a_link() {
    for number in 3..14 {
        let mut bundle = Bundle::with_script("pwd");
        symlink(format!("/proc/self/fd/{number}"), bundle.rootfs("cwd")).unwrap();
        bundle.set("/process/cwd", json!("/cwd"));
        let output = bundle.run();
        assert!(output.code != 0 || output.stdout.starts_with('/'), "{number}: {}", output.stdout);
        assert!(!output.stdout.contains("unreachable"), "{number}: {}", output.stdout);
    }
}

/// By `exec`, where the container prepares the links itself.
#[test]
fn cve_2024_21626_exec() {
    let bundle = idle();
    for (name, target) in [("self", "/proc/self/fd"), ("init", "/proc/1/fd")] {
        symlink(target, bundle.rootfs(name)).unwrap();
    }
    let container = start(&bundle);
    for descriptor in 3..16 {
        for base in ["/proc/self/fd", "/proc/1/fd", "/self", "/init"] {
            let path = format!("{base}/{descriptor}");
            container.exec(&["--cwd", &path], &["pwd"]).failure(&["cwd"]);
            container.exec(&[], &[&format!("{path}/../../../bin/ls")]).failure(&["exec"]);
        }
    }
}

/// A missing working directory is not made through a link to the host.
#[test]
fn cve_2026_55686() {
    for readonly in [false, true] {
        let mut bundle = Bundle::with_script("exit 0");
        let canary = Canary::new(&bundle);
        for (index, link) in canary.links().iter().enumerate() {
            symlink(link, bundle.rootfs(&format!("evil{index}"))).unwrap();
            bundle.set("/process/cwd", json!(format!("/evil{index}/made")));
            bundle.set("/root/readonly", json!(readonly));
            bundle.run();
            canary.assert_unharmed(link);
        }
        bundle.assert_clean();
    }
}
