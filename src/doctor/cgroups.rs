//! Cgroups: which version, which controllers, whether the caller may make any, and systemd.
//!
//! Runs in: parent · kernel documentation cgroup-v2 "Delegation"

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::{Caller, List};
use crate::mountinfo;

const ROOT: &str = "/sys/fs/cgroup";

/// The controllers behind `linux.resources`, and the property of each.
const CONTROLLERS: [(&str, &str); 6] = [
    ("memory", "memory"),
    ("cpu", "cpu"),
    ("cpuset", "cpu.cpus and cpu.mems"),
    ("pids", "pids"),
    ("io", "blockIO"),
    ("hugetlb", "hugepageLimits"),
];

pub(super) fn examine(list: &mut List<'_>, caller: Caller, _: &Path) {
    let mounts = mountinfo::read().unwrap_or_default();
    let kinds =
        |kind: &str| mounts.iter().filter(|mount| mount.kind == kind).map(|mount| mount.point.clone()).collect();
    let (v1, v2): (Vec<PathBuf>, Vec<PathBuf>) = (kinds("cgroup"), kinds("cgroup2"));
    match (v1.is_empty(), v2.is_empty()) {
        (true, true) => {
            let advice = "limits and device rules cannot be; mount cgroup2 at /sys/fs/cgroup, or use --rootless true";
            list.limited("mode", "none mounted", advice);
        }
        (true, false) => unified(list, caller, &v2[0]),
        (false, v2_is_missing) => {
            let mode = if v2_is_missing { "v1" } else { "hybrid: v1 is used" };
            list.limited("mode", mode, "no delegation to plain users, no `unified`; boot with cgroup_no_v1=all for v2");
            legacy(list, caller, &v1);
        }
    }
    // sd_booted(3)
    match Path::new("/run/systemd/system").exists() {
        true => list.ok("systemd", "runs: --systemd-cgroup can be used"),
        false => list.info("systemd", "is not the init of this host: cgroups are made without it"),
    }
}

fn words(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Containers of root are made below the root, those of a plain user beside the cgroup that the user is in.
fn unified(list: &mut List<'_>, caller: Caller, mount_point: &Path) {
    list.ok("mode", "v2");
    let place = if caller.is_host_root { mount_point.to_owned() } else { beside(mount_point) };
    let file = if caller.is_host_root { "cgroup.controllers" } else { "cgroup.subtree_control" };
    let there = words(&place.join(file));
    let shown = format!("{} ({}/{file})", there.join(" "), place.display());
    let missing: Vec<_> = CONTROLLERS.iter().filter(|(name, _)| !there.iter().any(|word| word == name)).collect();
    match (missing.is_empty(), caller.is_host_root) {
        (true, _) => list.ok("controllers", shown),
        (false, true) => list.limited("controllers", shown, format!("not in this kernel: {}", properties(&missing))),
        (false, false) => list.limited(
            "controllers",
            shown,
            format!(
                "not delegated: {}; with systemd: `Delegate=yes` in a drop-in of user@.service, then log in anew",
                properties(&missing)
            ),
        ),
    }
    writable(list, caller, &place);
}

fn properties(missing: &[&(&str, &str)]) -> String {
    let each = missing.iter().map(|(name, property)| format!("{name} (linux.resources.{property})"));
    each.collect::<Vec<_>>().join(", ")
}

/// The parent of the caller's own cgroup.
fn beside(mount_point: &Path) -> PathBuf {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_owned();
    let own = mount_point.join(own);
    if own == mount_point { own } else { own.parent().unwrap_or(mount_point).to_owned() }
}

fn writable(list: &mut List<'_>, caller: Caller, place: &Path) {
    match (access(place, AccessFlags::W_OK), caller.is_host_root) {
        (Ok(()), _) => list.ok("delegation", format!("cgroups can be made in {}", place.display())),
        (Err(errno), true) => list.missing(
            "delegation",
            format!("{}: {errno:?}", place.display()),
            "cgroupfs is read-only here; mount it for writing",
        ),
        (Err(errno), false) => list.limited(
            "delegation",
            format!("{}: {errno:?}", place.display()),
            "containers without limits still run; for limits use --systemd-cgroup in a user session, or have the cgroup \
             given to you",
        ),
    }
}

fn legacy(list: &mut List<'_>, caller: Caller, mounts: &[PathBuf]) {
    let names: Vec<String> =
        mounts.iter().filter_map(|point| Some(point.file_name()?.to_string_lossy().into_owned())).collect();
    let has = |name: &str| {
        let name = if name == "io" { "blkio" } else { name };
        names.iter().any(|hierarchy| hierarchy.split(',').any(|controller| controller == name))
    };
    let missing: Vec<_> = CONTROLLERS.iter().filter(|(name, _)| !has(name)).collect();
    match missing.is_empty() {
        true => list.ok("controllers", names.join(" ")),
        false => list.limited("controllers", names.join(" "), format!("not mounted: {}", properties(&missing))),
    }
    if !has("freezer") {
        list.limited("freezer", "not mounted", "pause and resume cannot be; kill --all may have to try again");
    }
    if !has("devices") {
        list.limited("devices", "not mounted", "configurations with device rules are refused");
    }
    if let Some(point) = mounts.first() {
        writable(list, caller, point);
    }
    if !Path::new(ROOT).exists() {
        list.limited("place", "no /sys/fs/cgroup", "programs in containers look for their cgroups there");
    }
}
