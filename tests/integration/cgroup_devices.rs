//! `linux.resources.devices`: which devices a container may use (config-linux.md).

use std::fs;

use crate::cgroups::{read, sleeping};
use crate::harness::{Bundle, cgroup, json};

/// Opens a device in the container: whether the cgroup lets it through.
fn device_script() -> &'static str {
    "try() { head -c 1 /dev/$1 > /dev/null 2>&1 && echo $1 || echo no $1; }; try zero; try full; try urandom; try null"
}

/// LNX-66…LNX-68: without rules of its own a container may use the default devices and no other.
#[test]
fn devices_by_default() {
    let mut bundle = Bundle::with_script(
        "head -c 1 /dev/zero > /dev/null && echo zero; mknod /dev/mem c 1 1 && head -c 1 /dev/mem > /dev/null; mknod /dev/kmsg c 1 11 && head -c 1 /dev/kmsg > /dev/null; echo end",
    );
    bundle.capabilities(&["CAP_MKNOD", "CAP_SYS_RAWIO", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"]);
    bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}]}));
    let output = bundle.run().success();
    assert_eq!(output.stdout, "zero\nend\n");
    assert_eq!(output.stderr.matches("Operation not permitted").count(), 2, "{}", output.stderr);
}

/// LNX-22, LNX-66: a device that is listed in `linux.devices` may be used in spite of a rule that denies all.
#[test]
fn devices_listed_are_usable() {
    let mut bundle = Bundle::with_script("echo x > /dev/other && echo fine");
    bundle
        .set("/linux/devices", json!([{"path": "/dev/other", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]));
    bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}]}));
    assert_eq!(bundle.output(), "fine\n");
}

/// LNX-66: rules apply in their order: the last one that matches decides.
#[test]
fn devices_in_order() {
    let mut bundle = Bundle::with_script("mknod /dev/kmsg c 1 11 && head -c 0 < /dev/kmsg && echo readable");
    bundle.capabilities(&["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"]);
    let deny = json!({"allow": false, "access": "rwm"});
    let kmsg = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm"});
    bundle.set("/linux/resources", json!({"devices": [deny, kmsg]}));
    assert_eq!(bundle.output(), "readable\n");
    bundle.set("/linux/resources", json!({"devices": [kmsg, deny]}));
    let output = bundle.run();
    assert!(output.stderr.contains("Operation not permitted"), "{output:?}");
    assert_eq!(output.stdout, "");
}

/// LNX-68: access is taken apart: read without write.
#[test]
fn device_access() {
    let mut bundle = Bundle::with_script(
        "mknod /dev/kmsg c 1 11 || exit 1; head -c 0 < /dev/kmsg && echo readable; (echo x > /dev/kmsg) 2>/dev/null || echo not writable",
    );
    bundle.capabilities(&["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"]);
    let rules = json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rm"}]);
    bundle.set("/linux/resources", json!({"devices": rules}));
    assert_eq!(bundle.output(), "readable\nnot writable\n");
}

/// LNX-68: everything allowed; wildcards.
#[test]
fn devices_allowed() {
    let mut bundle = Bundle::with_script("mknod /dev/kmsg c 1 11 && head -c 0 < /dev/kmsg && echo readable");
    bundle.capabilities(&["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"]);
    for rule in [
        json!({"allow": true}),
        json!({"allow": true, "type": "a", "access": "rwm"}),
        json!({"allow": true, "type": "c", "major": 1, "access": "rwm"}),
    ] {
        bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}, rule]}));
        assert_eq!(bundle.output(), "readable\n");
    }
}

/// On version 1, devices.list begins with the configured rules in their order.
#[test]
fn devices_list_of_version_1() {
    if cgroup::is_v2() {
        skip!("pure cgroup v2 here");
    }
    let rules = json!([
        {"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        {"allow": true, "type": "b", "major": 8, "minor": 20, "access": "rwm"}, {"allow": true, "type": "b", "major": 10, "minor": 200, "access": "r"},
    ]);
    let (bundle, _container) = sleeping(json!({"devices": rules}));
    let list = read(&bundle.cgroup("devices"), "devices.list");
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines[..3], ["c 10:229 rwm", "b 8:20 rwm", "b 10:200 r"]);
    assert!(lines.contains(&"c 1:3 rwm"), "{list}");
}

/// The default devices remain usable whatever the rules deny first.
#[test]
fn devices_default_after_deny_all() {
    let mut bundle = Bundle::with_script(device_script());
    bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}]}));
    assert_eq!(bundle.output(), "zero\nfull\nurandom\nnull\n");
}

/// LNX-67, LNX-68: what a rule must not be.
#[test]
fn bad_device_rules() {
    let mut bundle = Bundle::new();
    for bad in [json!({"access": "rwm"}), json!({"allow": true, "type": "x"}), json!({"allow": true, "access": "rwx"})]
    {
        bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}, bad]}));
        bundle.refused(&["linux.resources.devices[1]"]);
    }
}

/// LNX-66: in a cgroup that was there before, the rules take the place of those of the container before.
#[test]
fn devices_of_a_cgroup_that_stays() {
    let mut bundle =
        Bundle::with_script("mknod /dev/kmsg c 1 11; head -c 0 < /dev/kmsg && echo readable; rm /dev/kmsg");
    bundle.capabilities(&["CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_SYSLOG"]);
    let path = format!("/{}-stays", bundle.tag());
    let dirs: Vec<_> = cgroup::in_use().map(|controller| cgroup::dir(controller, &path)).collect();
    dirs.iter().for_each(|dir| fs::create_dir(dir).unwrap());
    bundle.set("/linux/cgroupsPath", json!(path));
    for allow in [true, false, true] {
        let rule = json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rwm"});
        bundle.set("/linux/resources", json!({"devices": [{"allow": false, "access": "rwm"}, rule]}));
        let output = bundle.run();
        assert_eq!(output.stdout, if allow { "readable\n" } else { "" }, "{output:?}");
        assert_eq!(output.stderr.contains("Operation not permitted"), !allow, "{output:?}");
    }
    dirs.iter().for_each(|dir| fs::remove_dir(dir).unwrap());
}
