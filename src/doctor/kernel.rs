//! The kernel: its version, system calls, namespaces and limits.
//!
//! Runs in: parent · `docs/building.md`, namespaces(7)

use std::path::Path;

use nix::sched::CloneFlags;

use super::{Caller, List, number, value};
use crate::namespace::enter;
use crate::sys::probe::{self, Syscall};

/// The oldest Linux with everything that the one code path needs.
const OLDEST: (u32, u32) = (5, 14);

/// What later kernels add, where it shows.
const LATER: &[((u32, u32), &str)] = &[
    ((5, 19), "memory.reclaim: lowering a memory limit without a kill; SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
    ((6, 3), "idmapped mounts of tmpfs"),
    ((6, 15), "the exit status of a container's process for those who are not its parent (`events`)"),
];

pub(super) fn examine(list: &mut List<'_>, caller: Caller, _: &Path) {
    let release = value("/proc/sys/kernel/osrelease").unwrap_or_default();
    match version(&release) {
        Some(version) if version < OLDEST => list.missing("Linux", release, "orlop needs 5.14 or newer"),
        Some(version) => {
            list.ok("Linux", release);
            for (since, what) in LATER.iter().filter(|(since, _)| version < *since) {
                list.limited(&format!("Linux {}.{}", since.0, since.1), "older", format!("not there: {what}"));
            }
        }
        None => list.info("Linux", release),
    }
    system_calls(list);
    namespaces(list);
    user_namespace(list, caller);
    limits(list);
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn system_calls(list: &mut List<'_>) {
    let missing: Vec<&Syscall> = probe::NEEDED.iter().filter(|call| !call.exists()).collect();
    match missing.is_empty() {
        true => list.ok("system calls", "mount API, openat2, clone3, pidfd, close_range"),
        false => {
            let names: Vec<_> = missing.iter().map(|call| format!("{} (Linux {})", call.name, call.since)).collect();
            let advice = "a newer kernel; or, inside of a container, a seccomp profile that allows them";
            list.missing("system calls", format!("no {}", names.join(", ")), advice);
        }
    }
    for (call, what) in probe::USEFUL.iter().zip(["linux.seccomp", "seccomp listeners", "Landlock"]) {
        if !call.exists() {
            list.limited(call.name, "not there", format!("{what} needs it (Linux {})", call.since));
        }
    }
}

fn namespaces(list: &mut List<'_>) {
    const ALL: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let has = |name: &&&str| Path::new("/proc/self/ns").join(name).exists();
    let (there, missing): (Vec<_>, Vec<_>) = ALL.iter().partition(|name| has(name));
    let (there, missing) = (join(&there), join(&missing));
    match missing.as_str() {
        "" => list.ok("namespaces", there),
        "time" | "user" | "cgroup" | "time user" => {
            list.limited("namespaces", there, format!("this kernel was built without: {missing}"));
        }
        _ => list.missing("namespaces", there, format!("this kernel was built without: {missing}")),
    }
}

fn join(names: &[&&str]) -> String {
    names.iter().map(|name| **name).collect::<Vec<_>>().join(" ")
}

/// Makes one, with another namespace that takes rights in it: what Ubuntu's AppArmor refuses.
fn user_namespace(list: &mut List<'_>, caller: Caller) {
    let made = probe::in_child(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWUTS, || true);
    let sysctl = |name: &str| value(format!("/proc/sys/{name}"));
    match made {
        Ok(true) => list.ok("user namespaces", "can be made"),
        _ => {
            let why = enter::restriction(sysctl).unwrap_or("a limit, a seccomp filter or a security module refuses");
            match caller.is_root {
                true => list.limited("user namespaces", "refused", format!("containers without one still run; {why}")),
                false => list.missing("user namespaces", "refused", why),
            }
        }
    }
}

fn limits(list: &mut List<'_>) {
    for kind in ["user", "mnt", "pid", "net", "uts", "ipc", "cgroup", "time"] {
        let sysctl = format!("user.max_{kind}_namespaces");
        if number(&format!("/proc/sys/user/max_{kind}_namespaces")) == Some(0) {
            list.limited(&sysctl, "0", format!("no {kind} namespace can be made; raise the sysctl"));
        }
    }
    for (sysctl, least, what) in [
        ("kernel/pid_max", 32_768, "processes of all containers together"),
        ("kernel/keys/maxkeys", 200, "session keyrings, one per container, of a user; or use --no-new-keyring"),
        ("fs/inotify/max_user_instances", 128, "inotify instances of all containers of a user"),
    ] {
        let Some(limit) = number(&format!("/proc/sys/{sysctl}")) else { continue };
        let name = sysctl.replace('/', ".");
        match limit < least {
            true => list.limited(&name, limit.to_string(), format!("few {what}")),
            false => list.ok(&name, limit.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.18.5-1-amd64"), Some((6, 18)));
        assert_eq!(version("5.14.0"), Some((5, 14)));
        assert_eq!(version("6.1-rc3"), Some((6, 1)));
        assert_eq!(version("linux"), None);
    }
}
