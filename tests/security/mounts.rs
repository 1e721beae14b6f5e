//! Mount points that lead elsewhere, or do so a moment later.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{Canary, Exchanger};
use crate::harness::{Bundle, json};

/// A volume at /vol in which `point/below` is exchanged for a link to the canary.
fn volume(bundle: &mut Bundle, canary: &Canary) -> (PathBuf, Exchanger) {
    let volume = bundle.file("volume");
    fs::create_dir_all(volume.join("point/below")).unwrap();
    symlink(&canary.dir, volume.join("link")).unwrap();
    bundle.mount("/vol", "bind", volume.to_str().unwrap(), &["bind"]);
    let attacker = Exchanger::between(&volume.join("point"), &volume.join("link"));
    (volume, attacker)
}

/// While the mount point of a second volume is exchanged for a link to the host and back, no mount ever
/// lands there.
#[test]
fn cve_2021_30465_race() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    let _attacker = volume(&mut bundle, &canary);
    bundle.mount("/vol/point", "tmpfs", bundle.tag().to_owned().as_str(), &[]);
    bundle.mount("/vol/point/directory", "bind", canary.dir.join("directory").to_str().unwrap(), &["bind"]);
    for _ in 0..super::tries() {
        // Whether it succeeds depends on the moment; where it lands must not.
        bundle.run();
        canary.assert_unharmed("exchange");
    }
    bundle.assert_clean();
}

/// Mount points that are missing are made, and never on the host.
#[test]
fn cve_2024_45310_race() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    let _attacker = volume(&mut bundle, &canary);
    bundle.mount("/vol/point/made/deep", "tmpfs", bundle.tag().to_owned().as_str(), &[]);
    bundle.mount("/vol/point/made-file", "bind", "/etc/passwd", &["bind"]);
    for _ in 0..super::tries() {
        bundle.run();
        canary.assert_unharmed("exchange");
    }
    bundle.assert_clean();
}

/// crun's: mount points of each type that the image made links.
#[test]
fn cve_2019_18837() {
    for kind in ["bind", "tmpfs", "mqueue", "proc", "sysfs", "devpts", "cgroup"] {
        for index in 0..3 {
            let mut bundle = Bundle::with_script("exit 0");
            let canary = Canary::new(&bundle);
            let link = &canary.links()[index];
            symlink(link, bundle.rootfs("link")).unwrap();
            let (source, options) = if kind == "bind" { ("/etc", &["rbind"][..]) } else { (kind, &[][..]) };
            bundle.mount("/link/below", kind, source, options);
            bundle.mount("/link/directory", kind, source, options);
            bundle.run();
            canary.assert_unharmed(&format!("{kind} at {link}"));
            bundle.assert_clean();
        }
    }
}

/// A volume that the image lays over /proc, /sys or the root by a link neither uncovers what is masked nor
/// takes what is meant for the kernel.
#[test]
fn cve_2019_16884_through_a_link() {
    for point in ["proc", "sys", ""] {
        let mut bundle = Bundle::with_script("for dir in / /.. /proc/1/root; do cat $dir/proc/version; done; exit 0");
        let volume = bundle.file("volume");
        fs::create_dir_all(volume.join("sys/net/ipv4")).unwrap();
        fs::write(volume.join("sys/net/ipv4/ip_default_ttl"), "canary").unwrap();
        symlink(format!("/{point}"), bundle.rootfs("link")).unwrap();
        bundle.mount("/link", "bind", volume.to_str().unwrap(), &["bind"]);
        bundle.set("/linux/maskedPaths", json!(["/proc/version"]));
        bundle.set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "33"}));
        let output = bundle.run();
        assert!(!output.stdout.contains("Linux"), "/{point}: {}", output.stdout);
        assert_eq!(fs::read_to_string(volume.join("sys/net/ipv4/ip_default_ttl")).unwrap(), "canary");
        bundle.assert_clean();
    }
}

/// Long values survive the way to init whole, or are refused.
#[test]
fn cve_2021_43784() {
    let mut bundle = Bundle::with_script("echo ${#LONG}");
    bundle.set("/process/env", json!(["PATH=/bin", format!("LONG={}", "x".repeat(100_000))]));
    assert_eq!(bundle.output(), "100000\n");
    let mut bundle = Bundle::with_script("exit 0");
    bundle.mount("/mnt", "tmpfs", &"s".repeat(70_000), &[]);
    bundle.refused(&["mounts[6]"]);
    let mut bundle = Bundle::with_script("echo fine");
    let paths: Vec<_> = (0..5000).map(|number| format!("/proc/no-such-file-{number}")).collect();
    bundle.set("/linux/maskedPaths", json!(paths));
    assert_eq!(bundle.output(), "fine\n");
    // The kernel takes 340 lines, and less than a page.
    for lines in [200, 341, 5000] {
        let map: Vec<_> = (0..lines).map(|id| json!({"containerID": id, "hostID": 100_000 + id, "size": 1})).collect();
        let mut bundle = Bundle::with_script("wc -l < /proc/self/uid_map; id -u");
        bundle.user_namespace(100_000, 1);
        bundle.set("/linux/uidMappings", json!(map)).set("/linux/gidMappings", json!(map));
        let output = bundle.run();
        let fits = lines == 200;
        assert_eq!((output.code == 0, output.stdout == format!("{lines}\n0\n")), (fits, fits), "{lines}: {output:?}");
        bundle.assert_clean();
    }
}
