//! `hostname`, `domainname` and `linux.sysctl`: what belongs to the namespaces (config.md, config-linux.md).

use std::fs;

use crate::harness::{Bundle, json};

/// CFG-46, CFG-47: both names, set in the container and nowhere else.
#[test]
fn host_and_domain_name() {
    let names =
        || ["hostname", "domainname"].map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap());
    let before = names();
    let mut bundle = Bundle::with_script("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname");
    bundle.set("/hostname", json!("inner.example")).set("/domainname", json!("some.domain"));
    assert_eq!(bundle.output(), "inner.example\nsome.domain\n");
    assert_eq!(names(), before);
}

/// CFG-46, CFG-47: without a uts namespace of its own, the container must not rename the host.
#[test]
fn names_need_a_uts_namespace() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut bundle = Bundle::new();
    bundle.share("uts");
    bundle.refused(&["hostname"]);
    bundle.remove("/hostname").set("/domainname", json!("other"));
    bundle.refused(&["domainname"]);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), before);
}

/// LNX-125: sysctls of the network, ipc and uts namespaces, in either spelling.
#[test]
fn sysctl() {
    let mut bundle = Bundle::with_script(
        "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/conf/all/forwarding kernel/msgmax fs/mqueue/msg_max kernel/shm_rmid_forced",
    );
    let before = fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    bundle.set("/linux/sysctl", json!({}));
    for (key, value) in [
        ("net.ipv4.ip_forward", "1"),
        ("net/ipv4/conf/all/forwarding", "1"),
        ("kernel.msgmax", "4321"),
        ("fs.mqueue.msg_max", "77"),
        ("kernel.shm_rmid_forced", "1"),
    ] {
        bundle.config["linux"]["sysctl"][key] = json!(value);
    }
    // The mount of /sys is read-only; the one of /proc is not an obstacle even when it is.
    bundle.set("/linux/readonlyPaths", json!(["/proc/sys"]));
    assert_eq!(bundle.output(), "1\n1\n4321\n77\n1\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

/// LNX-125: a /proc of the configuration's that is read-only, or shows processes alone, is no hindrance.
#[test]
fn sysctl_with_a_limited_proc() {
    for option in ["ro", "subset=pid"] {
        let mut bundle = Bundle::with_script("hostname; mount -t proc proc /mnt; cat /mnt/sys/kernel/shmmni");
        bundle.set("/linux/sysctl", json!({"kernel.shmmni": "77"})).capabilities(&["CAP_SYS_ADMIN"]);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let proc = mounts.iter_mut().find(|mount| mount["type"] == "proc").unwrap();
        proc["options"] = json!([option]);
        for list in ["maskedPaths", "readonlyPaths"] {
            bundle.set(&format!("/linux/{list}"), json!([]));
        }
        fs::create_dir_all(bundle.rootfs("mnt")).unwrap();
        assert_eq!(bundle.output().lines().last(), Some("77"), "{option}");
    }
}

/// LNX-125: sysctls without a /proc mount in the container.
#[test]
fn sysctl_without_proc() {
    let mut bundle = Bundle::with_script("mount -t proc proc /proc; cat /proc/sys/net/ipv4/ip_forward");
    bundle.config["mounts"].as_array_mut().unwrap().remove(0);
    bundle.capabilities(&["CAP_SYS_ADMIN"]).set("/process/noNewPrivileges", json!(false));
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    assert_eq!(bundle.output(), "1\n");
}

/// LNX-125: what would change the host is refused, and so is what does not exist.
#[test]
fn bad_sysctls() {
    let swappiness = fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    let mut bundle = Bundle::new();
    for key in [
        "vm.swappiness",
        "kernel.core_pattern",
        "fs.file-max",
        "net.ipv4.no_such",
        "net/../vm/swappiness",
        "net.ipv4.../../vm/swappiness",
        "/proc/sys/vm/swappiness",
        "",
    ] {
        bundle.set("/linux/sysctl", json!({key: "1"}));
        bundle.refused(&["linux.sysctl", key]);
    }
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "not a number"}));
    bundle.refused(&["linux.sysctl", "net.ipv4.ip_forward", "invalid argument"]);
    assert_eq!(fs::read_to_string("/proc/sys/vm/swappiness").unwrap(), swappiness);
}

/// LNX-125: a namespaced sysctl, while the namespace is the host's.
#[test]
fn sysctl_of_a_shared_namespace() {
    for (kind, key) in [
        ("network", "net.ipv4.ip_forward"),
        ("ipc", "kernel.msgmax"),
        ("ipc", "fs.mqueue.msg_max"),
        ("uts", "kernel.domainname"),
    ] {
        let mut bundle = Bundle::new();
        bundle.share(kind);
        if kind == "uts" {
            bundle.remove("/hostname");
        }
        bundle.set("/linux/sysctl", json!({key: "1"}));
        bundle.refused(&["linux.sysctl", key]);
    }
}
