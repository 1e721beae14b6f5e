//! /dev, as an image or a volume has prepared it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{Canary, Exchanger, create_and_delete, uncover_dev};
use crate::harness::tty::ConsoleSocket;
use crate::harness::{Bundle, json};

/// /dev of the container is a directory of the host that somebody else can change.
fn shared_dev(bundle: &mut Bundle) -> PathBuf {
    let dir = bundle.file("dev");
    fs::create_dir(&dir).unwrap();
    uncover_dev(bundle);
    bundle.mount("/dev", "bind", dir.to_str().unwrap(), &["bind"]);
    dir
}

fn device(path: &Path, major: u64, minor: u64) {
    mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor)).unwrap();
}

/// CVE-2025-62161 is the same in youki: the source of a mask is not what the container has in place of
/// /dev/null.
#[test]
fn cve_2025_31133_and_2025_62161() {
    for kind in ["link", "file", "device", "missing"] {
        let mut bundle = Bundle::with_script("cat /etc/secret; head -c 1 /proc/version; exit 0");
        let null = shared_dev(&mut bundle).join("null");
        fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
        fs::write(bundle.rootfs("etc/other"), "other\n").unwrap();
        match kind {
            "link" => symlink("/etc/other", &null).unwrap(),
            "file" => fs::write(&null, "replaced\n").unwrap(),
            "device" => device(&null, 1, 5),
            _ => {}
        }
        bundle.set("/linux/maskedPaths", json!(["/etc/secret", "/proc/version"]));
        let output = bundle.run();
        assert_eq!(output.stdout, "", "{kind}");
        bundle.assert_clean();
    }
}

/// The same while it is exchanged: with a file of the image, and with one that leads to a kernel parameter.
#[test]
fn cve_2025_31133_race() {
    for target in ["/etc/other", "/proc/sys/kernel/core_pattern"] {
        let mut bundle = Bundle::with_script("cat /etc/secret; head -c 1 /proc/version; exit 0");
        let dir = shared_dev(&mut bundle);
        fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
        fs::write(bundle.rootfs("etc/other"), "other\n").unwrap();
        device(&dir.join("null"), 1, 3);
        symlink(target, dir.join("link")).unwrap();
        bundle.set("/linux/maskedPaths", json!(["/etc/secret", "/proc/version"]));
        let _attacker = Exchanger::between(&dir.join("null"), &dir.join("link"));
        for _ in 0..super::tries() / 2 {
            assert_eq!(bundle.run().stdout, "");
        }
    }
}

/// crun#2253: what is laid over a masked file is the null device of the host, also where the image has
/// another device under that name.
#[test]
fn crun_2253() {
    let mut bundle = Bundle::with_script("head -c 3 /etc/secret | wc -c");
    uncover_dev(&mut bundle);
    fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
    device(&bundle.rootfs("dev/null"), 1, 5);
    bundle.set("/linux/maskedPaths", json!(["/etc/secret"]));
    let output = bundle.run();
    assert!(output.code != 0 || output.stdout == "0\n", "{output:?}");
}

/// CVE-2026-47766 is the same in crun: /dev is a link in the image, and no mount covers it.
#[test]
fn cve_2026_41579_and_2026_47766() {
    for terminal in [false, true] {
        for index in 0..3 {
            let mut bundle = Bundle::with_script("exit 0");
            let canary = Canary::new(&bundle);
            let link = &canary.links()[index];
            uncover_dev(&mut bundle);
            fs::remove_dir(bundle.rootfs("dev")).unwrap();
            symlink(link, bundle.rootfs("dev")).unwrap();
            try_with_terminal(&mut bundle, terminal);
            canary.assert_unharmed(link);
            bundle.assert_clean();
        }
    }
}

fn try_with_terminal(bundle: &mut Bundle, terminal: bool) {
    bundle.set("/process/terminal", json!(terminal));
    let path = bundle.file("socket");
    let _ = fs::remove_file(&path);
    let socket = ConsoleSocket::new(path);
    let flags = ["--console-socket", socket.path.to_str().unwrap()];
    create_and_delete(bundle, if terminal { &flags } else { &[] });
}

/// The same without a link at /dev: another one lays a directory of the host, which the configuration wants
/// elsewhere, over the container's /dev. What is in it stays, /dev/ptmx too.
#[test]
fn cve_2026_41579_through_a_volume() {
    for covered in [true, false] {
        let mut bundle = Bundle::with_script("exit 0");
        if !covered {
            uncover_dev(&mut bundle);
        }
        // As a host has them, so that nothing is amiss.
        let volume = bundle.file("volume");
        fs::create_dir(&volume).unwrap();
        for (name, major, minor) in
            [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
        {
            device(&volume.join(name), major, minor);
        }
        device(&volume.join("ptmx"), 5, 2);
        let names = || fs::read_dir(&volume).unwrap().count();
        symlink("/", bundle.rootfs("host")).unwrap();
        bundle.mount("/host/dev", "bind", volume.to_str().unwrap(), &["rbind"]);
        bundle.push("/linux/devices", json!({"type": "p", "path": "/dev/made", "uid": 7, "gid": 7}));
        for terminal in [false, true] {
            try_with_terminal(&mut bundle, terminal);
            assert!(!fs::symlink_metadata(volume.join("ptmx")).unwrap().is_symlink());
            assert_eq!(names(), 7, "{covered} {terminal}");
        }
        bundle.assert_clean();
    }
}

/// Single names below /dev are links, files or other devices: they are not what is made the container's
/// console, or given to its user.
#[test]
fn cve_2026_88264_and_2026_88265() {
    for name in ["null", "console", "ptmx", "pts", "fd", "shm"] {
        for index in 0..3 {
            let mut bundle = Bundle::with_script("exit 0");
            let canary = Canary::new(&bundle);
            let link = format!("{}/file", canary.links()[index]);
            uncover_dev(&mut bundle);
            symlink(&link, bundle.rootfs("dev").join(name)).unwrap();
            bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
            try_with_terminal(&mut bundle, true);
            canary.assert_unharmed(&format!("/dev/{name} -> {link}"));
            bundle.assert_clean();
        }
    }
}

/// The terminal's end is found by no name, and bound to nothing that a link points to.
#[test]
fn cve_2025_52565_race() {
    for name in ["console", "pts"] {
        let mut bundle = Bundle::with_script("exit 0");
        let canary = Canary::new(&bundle);
        let dir = shared_dev(&mut bundle);
        fs::create_dir(dir.join("pts")).unwrap();
        fs::write(dir.join("console"), "").unwrap();
        symlink(canary.dir.join("file"), dir.join("link")).unwrap();
        bundle.mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666"]);
        let _attacker = Exchanger::between(&dir.join(name), &dir.join("link"));
        for _ in 0..super::tries() / 2 {
            try_with_terminal(&mut bundle, true);
            canary.assert_unharmed(name);
        }
        bundle.assert_clean();
    }
}

/// A node that was made is not what is given away if somebody has exchanged it meanwhile.
#[test]
fn cve_2025_52565_owner_race() {
    let mut bundle = Bundle::with_script("exit 0");
    let dir = shared_dev(&mut bundle);
    bundle.push("/linux/devices", json!({"type": "p", "path": "/dev/made", "uid": 7, "gid": 7}));
    let (made, other) = (dir.join("made"), dir.join("other"));
    for _ in 0..super::tries() {
        fs::write(&other, "").unwrap();
        let attacker = Exchanger::between(&made, &other);
        bundle.run();
        drop(attacker);
        // Wherever the file is now.
        for path in [&made, &other] {
            if let Ok(found) = fs::symlink_metadata(path) {
                assert!(!found.is_file() || found.uid() == 0, "{}", path.display());
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// bubblewrap's: a parent of what is made is a link, to the old root or a magic one of procfs.
#[test]
fn cve_2026_87766() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    let path = canary.dir.to_str().unwrap();
    let links = ["/proc/self/root", "/proc/1/root", "/proc/thread-self/root", "/proc/self/cwd", "/oldroot", "/.."];
    for (index, link) in links.iter().enumerate() {
        symlink(format!("{link}{path}"), bundle.rootfs(&format!("parent{index}"))).unwrap();
        bundle.set("/linux/devices", json!([{"type": "p", "path": format!("/parent{index}/below/made")}]));
        create_and_delete(&bundle, &[]);
        canary.assert_unharmed(link);
        bundle.set("/linux/devices", json!([]));
        bundle.mount(&format!("/parent{index}/below/made"), "tmpfs", "tmpfs", &[]);
        create_and_delete(&bundle, &[]);
        canary.assert_unharmed(link);
        bundle.config["mounts"].as_array_mut().unwrap().pop();
    }
    bundle.assert_clean();
}
