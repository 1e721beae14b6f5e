//! Security modules, seccomp, capabilities.
//!
//! Runs in: parent · lsm(7), seccomp(2), capabilities(7)

use std::path::Path;

use super::{Caller, List, number, value};
use crate::process::{apparmor, caps, selinux};

const ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";

/// What root cannot do without them; the rest is only for containers that are given it.
const NEEDED: [(&str, &str); 5] = [
    ("CAP_SYS_ADMIN", "mounts and namespaces"),
    ("CAP_SETUID", "process.user"),
    ("CAP_SETGID", "process.user"),
    ("CAP_SYS_CHROOT", "the root file system"),
    ("CAP_MKNOD", "linux.devices"),
];

pub(super) fn examine(list: &mut List<'_>, caller: Caller, _: &Path) {
    modules(list);
    seccomp(list);
    if caller.is_root {
        capabilities(list);
    }
}

fn modules(list: &mut List<'_>) {
    let named = value("/sys/kernel/security/lsm").unwrap_or_else(|| "unknown: securityfs is not mounted".to_owned());
    list.info("modules", named);
    match (apparmor::is_enabled(), selinux::is_enabled()) {
        (false, false) => list.info("labels", "neither AppArmor nor SELinux: their properties are passed over"),
        (true, _) => list.ok("labels", "AppArmor: process.apparmorProfile"),
        (false, true) => list.ok("labels", "SELinux: process.selinuxLabel, linux.mountLabel"),
    }
}

fn seccomp(list: &mut List<'_>) {
    match value(ACTIONS) {
        None => list.limited("seccomp", "not in this kernel", "linux.seccomp is refused (CONFIG_SECCOMP_FILTER)"),
        Some(actions) => {
            let needed = ["kill_process", "errno", "user_notif", "log"];
            match needed.iter().find(|needed| !actions.split(' ').any(|action| action == **needed)) {
                Some(missing) => list.limited("seccomp", actions, format!("profiles cannot use {missing}")),
                None => list.ok("seccomp", actions),
            }
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])) {
        let advice = "as in a container: it may answer ENOSYS or EPERM for calls that the kernel has";
        list.limited("own filter", "this process is under a seccomp filter", advice);
    }
}

fn capabilities(list: &mut List<'_>) {
    let Ok(held) = caps::held(false) else { return };
    let last = number("/proc/sys/kernel/cap_last_cap").unwrap_or(63);
    let known = caps::names().filter(|(_, capability)| u64::from(*capability) <= last);
    let missing: Vec<String> =
        known.filter(|(_, capability)| !held.contains(*capability)).map(|(name, _)| name).collect();
    if missing.is_empty() {
        return list.ok("capabilities", "all");
    }
    let without: Vec<_> = NEEDED.iter().filter(|(name, _)| missing.iter().any(|missing| missing == name)).collect();
    let found = format!("without {}", missing.join(" "));
    match without.is_empty() {
        true => {
            let advice = "containers cannot have them, nor what needs them; raised rlimits and a lowered oomScoreAdj need \
                          CAP_SYS_RESOURCE";
            list.limited("capabilities", found, advice);
        }
        false => {
            let each: Vec<_> = without.iter().map(|(name, what)| format!("{name}: {what}")).collect();
            list.missing("capabilities", found, each.join("; "));
        }
    }
}
