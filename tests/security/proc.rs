//! /proc and /sys: what is written to them, and what is hidden of them, is the kernel's own.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{Canary, Exchanger};
use crate::harness::runtime::is_orlop;
use crate::harness::{Bundle, Container, json};

/// Prints the kernel's version unless it is masked, wherever a procfs may have ended up.
const LOOK: &str =
    "for dir in /proc /other /volume/proc /volume/other; do head -n 1 $dir/version; done 2>/dev/null; exit 0";

fn masking(bundle: &mut Bundle) {
    bundle.script(LOOK).set("/linux/maskedPaths", json!(["/proc/version"]));
}

/// A volume over /proc does not take labels, kernel parameters or scores.
#[test]
fn cve_2019_16884() {
    let mut bundle = Bundle::with_script("exit 0");
    let volume = bundle.file("volume");
    let fakes = ["self/attr/exec", "self/attr/apparmor/exec", "thread-self/attr/exec", "sys/net/ipv4/ip_default_ttl"];
    for fake in fakes.iter().chain(&["self/oom_score_adj", "1/oom_score_adj"]) {
        fs::create_dir_all(volume.join(fake).parent().unwrap()).unwrap();
        fs::write(volume.join(fake), "canary").unwrap();
    }
    bundle.mount("/proc", "bind", volume.to_str().unwrap(), &["bind"]);
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "33"}));
    bundle.set("/process/oomScoreAdj", json!(500));
    if crate::labels::apparmor_is_enabled() {
        bundle.set("/process/apparmorProfile", json!("unconfined"));
    }
    bundle.write();
    let creation = bundle.spawn_create(&bundle.id, &[]);
    // runc refuses it.
    if is_orlop() {
        let container = Container::created(bundle.scratch(), &bundle.id, creation);
        assert_eq!(container.proc("oom_score_adj"), "500\n");
        assert_eq!(ttl_of(container.pid()), "33");
        container.start();
    } else {
        creation.finish();
        bundle.command(&["delete", "--force", &bundle.id]);
    }
    for fake in fakes {
        assert_eq!(fs::read_to_string(volume.join(fake)).unwrap(), "canary", "{fake}");
    }
}

/// A parameter of the network namespace that a process is in.
fn ttl_of(pid: i32) -> String {
    let path = "/proc/sys/net/ipv4/ip_default_ttl";
    let output = Command::new("nsenter").args(["-t", &pid.to_string(), "-n", "cat", path]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// CVE-2023-27561 is the same again, after a change: /proc of the image is a link into a volume, whose
/// other user makes it a directory and back.
#[test]
fn cve_2019_19921_and_2023_27561_race() {
    let mut bundle = Bundle::new();
    masking(&mut bundle);
    let volume = bundle.file("volume");
    fs::create_dir_all(volume.join("proc")).unwrap();
    fs::create_dir(volume.join("other")).unwrap();
    bundle.mount("/volume", "bind", volume.to_str().unwrap(), &["bind"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.rotate_right(1);
    fs::remove_dir(bundle.rootfs("proc")).unwrap();
    symlink("/volume/proc", bundle.rootfs("proc")).unwrap();
    fs::create_dir(bundle.rootfs("other")).unwrap();
    let volume = Exchanger::between(&volume.join("proc"), &volume.join("other"));
    let image = Exchanger::between(&bundle.rootfs("proc"), &bundle.rootfs("other"));
    for _ in 0..super::tries() {
        assert_eq!(bundle.run().stdout, "");
    }
    drop((volume, image));
    bundle.assert_clean();
}

/// The same by somebody who never misses the moment: between the mounts and the masks.
#[test]
fn cve_2019_19921_in_time() {
    let mut bundle = Bundle::new();
    masking(&mut bundle);
    let root = bundle.rootfs("");
    bundle.hook("createRuntime", &format!("cd {} && mv proc other && mkdir proc", root.display()));
    let output = bundle.run();
    assert!(!output.stdout.contains("Linux"), "{output:?}");
    bundle.assert_clean();
}

/// CVE-2025-54867 is the same in youki: /proc and /sys must be real directories.
#[test]
fn cve_2023_28642_and_2025_54867() {
    for (name, mount) in [("proc", 0), ("sys", 5)] {
        for target in ["/tmp", "../tmp", "tmp/..", "/proc/self/root/tmp"] {
            let bundle = Bundle::with_script("exit 0");
            fs::remove_dir(bundle.rootfs(name)).unwrap();
            symlink(target, bundle.rootfs(name)).unwrap();
            let property = format!("mounts[{mount}]");
            bundle.refused(&[if is_orlop() { &property } else { "" }, &format!("/{name}")]);
        }
    }
}

/// CVE-2025-62596 is the same in youki: /proc of the image does not receive what is meant for procfs.
#[test]
fn cve_2025_52881_and_2025_62596() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    bundle.config["mounts"].as_array_mut().unwrap().remove(0);
    fs::create_dir_all(bundle.rootfs("proc/sys/net/ipv4")).unwrap();
    fs::write(bundle.rootfs("proc/sys/net/ipv4/ip_forward"), "canary").unwrap();
    symlink(canary.dir.join("file"), bundle.rootfs("proc/sys/net/ipv4/ip_default_ttl")).unwrap();
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "net.ipv4.ip_default_ttl": "33"}));
    bundle.run();
    assert_eq!(fs::read_to_string(bundle.rootfs("proc/sys/net/ipv4/ip_forward")).unwrap(), "canary");
    canary.assert_unharmed("sysctl");
}

/// Nor does another file of procfs: one that a mount has put in the place of what is written to.
#[test]
fn cve_2025_52881_other_files_of_procfs() {
    let read = |path: &str| fs::read_to_string(path).unwrap();
    // A harmless one, which takes any number.
    let other = "/proc/sys/vm/stat_interval";
    let before = read(other);
    let mut bundle = Bundle::with_script("exit 0");
    bundle.mount("/proc/sys/net/ipv4/ip_default_ttl", "bind", other, &["bind"]);
    bundle.mount("/proc/sys/kernel", "tmpfs", "tmpfs", &[]);
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "33", "kernel.shmmni": "77"}));
    let container = bundle.create();
    assert_eq!(ttl_of(container.pid()), "33");
    assert_eq!(read(other), before);
}
