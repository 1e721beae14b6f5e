//! `process.apparmorProfile`, `process.selinuxLabel` (config.md) and `linux.mountLabel` (config-linux.md).

use std::fs;

use crate::harness::{Bundle, Container, json};

pub(crate) fn apparmor_is_enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

fn selinux_is_enabled() -> bool {
    fs::exists("/sys/fs/selinux/enforce").unwrap()
}

/// The profile of the container's process, as the host sees it.
fn confinement(container: &Container) -> String {
    container.proc("attr/apparmor/current").trim().to_owned()
}

/// CFG-24: a host without AppArmor has one profile, and that is none.
#[test]
fn without_apparmor() {
    if apparmor_is_enabled() {
        skip!("AppArmor is enabled here");
    }
    let mut bundle = Bundle::with_script("echo ran");
    bundle.set("/process/apparmorProfile", json!("container-default"));
    bundle.refused(&["process.apparmorProfile: not supported: \"container-default\": AppArmor is not enabled"]);
    for none in ["", "unconfined"] {
        bundle.set("/process/apparmorProfile", json!(none));
        assert_eq!(bundle.output(), "ran\n");
    }
}

/// CFG-24, VAL-02: what is not loaded is an error of `create`; `unconfined` always is. With files in the
/// image that look like what is written to, which stay as they are (CVE-2019-16884, CVE-2023-28642).
#[test]
fn apparmor() {
    if !apparmor_is_enabled() {
        skip!("AppArmor is not enabled here");
    }
    for no_new_privileges in [true, false] {
        let mut bundle = Bundle::with_script("sleep 100");
        bundle.set("/process/noNewPrivileges", json!(no_new_privileges));
        for fake in ["proc/self/attr/apparmor", "proc/thread-self/attr/apparmor"] {
            fs::create_dir_all(bundle.rootfs(fake)).unwrap();
            fs::write(bundle.rootfs(fake).join("exec"), "").unwrap();
        }
        bundle.set("/process/apparmorProfile", json!("no-such-profile"));
        bundle.refused(&["process.apparmorProfile: no-such-profile: write: ENOENT"]);
        assert_eq!(fs::read_to_string(bundle.rootfs("proc/thread-self/attr/apparmor/exec")).unwrap(), "");
        bundle.set("/process/apparmorProfile", json!("unconfined"));
        let container = bundle.create();
        container.start();
        assert_eq!(confinement(&container), "unconfined");
        let output = container.command(&["exec", "--apparmor", "no-such-profile", &container.id, "/bin/true"]);
        output.failure(&["process.apparmorProfile: no-such-profile: write: ENOENT"]);
        container.stop();
    }
}

/// CFG-24: the program and what `exec` adds run under a loaded profile, and not the runtime's own hooks.
#[test]
fn a_loaded_profile() {
    if !apparmor_is_enabled() {
        skip!("AppArmor is not enabled here");
    }
    let name = "orlop-test-profile";
    let text = format!("profile {name} flags=(attach_disconnected) {{ file, signal, capability, deny /secret r, }}\n");
    let mut bundle = Bundle::with_script("cat /proc/self/attr/apparmor/current; cat /secret || echo denied; sleep 100");
    fs::write(bundle.rootfs("secret"), "secret\n").unwrap();
    fs::write(bundle.file("profile"), text).unwrap();
    let profile = bundle.file("profile");
    let parser = |flag: &str| std::process::Command::new("apparmor_parser").arg(flag).arg("-K").arg(&profile).status();
    match parser("-r") {
        Ok(status) if status.success() => {}
        result => skip!("no profile could be loaded: apparmor_parser: {result:?}"),
    }
    let seen = bundle.file("hook");
    bundle.hook("createContainer", &format!("cat /proc/self/attr/apparmor/current > {}", seen.display()));
    bundle.set("/process/apparmorProfile", json!(name));
    let container = bundle.create();
    container.start();
    let confined = format!("{name} (enforce)");
    assert!(container.wait_output("denied").contains(&confined));
    assert_eq!(confinement(&container), confined);
    let output = container.command(&["exec", &container.id, "cat", "/proc/self/attr/apparmor/current"]).success();
    assert_eq!(output.stdout.trim(), confined);
    assert!(!fs::read_to_string(seen).unwrap().contains(name));
    container.stop();
    drop(container);
    assert!(parser("-R").unwrap().success());
}

/// CFG-36: without SELinux a label for the process cannot be had. LNX-147: one for mounts, which
/// engines write everywhere, is passed over.
#[test]
fn without_selinux() {
    if selinux_is_enabled() {
        skip!("SELinux is enabled here");
    }
    let mut bundle = Bundle::with_script("echo ran");
    bundle.set("/process/selinuxLabel", json!("system_u:system_r:container_t:s0"));
    bundle.refused(&["process.selinuxLabel: not supported: \"system_u:system_r:container_t:s0\": SELinux is not"]);
    bundle.set("/process/selinuxLabel", json!(""));
    bundle.set("/linux/mountLabel", json!("system_u:object_r:container_file_t:s0:c1,c2"));
    assert_eq!(bundle.output(), "ran\n");
}

/// CFG-36, LNX-147
#[test]
fn selinux() {
    if !selinux_is_enabled() {
        skip!("SELinux is not enabled here");
    }
    let mut bundle = Bundle::with_script("cat /proc/self/attr/current; ls -Zd /dev");
    bundle.set("/process/selinuxLabel", json!("system_u:system_r:container_t:s0:c1,c2"));
    bundle.set("/linux/mountLabel", json!("system_u:object_r:container_file_t:s0:c1,c2"));
    let text = bundle.output();
    assert!(text.contains("container_t:s0:c1,c2") && text.contains("container_file_t:s0:c1,c2"), "{text}");
}
