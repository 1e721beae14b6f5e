//! File systems, the place for state, foreign binaries.
//!
//! Runs in: parent · filesystems(5), binfmt_misc

use std::path::Path;

use nix::sched::CloneFlags;
use nix::unistd::{AccessFlags, access};

use super::{Caller, List};
use crate::sys::{mount, probe};

/// What configurations mount, and what it is for.
const FILE_SYSTEMS: [(&str, &str); 6] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/dev, /run, masks"),
    ("devpts", "terminals"),
    ("mqueue", "/dev/mqueue"),
    ("hugetlbfs", "huge pages"),
];

const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

pub(super) fn examine(list: &mut List<'_>, caller: Caller, root: &Path) {
    let table = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = |name: &str| table.lines().any(|line| line.split_whitespace().next_back() == Some(name));
    let missing: Vec<_> = FILE_SYSTEMS.iter().filter(|(name, _)| !known(name)).collect();
    match missing.as_slice() {
        [] => list.ok("file systems", FILE_SYSTEMS.map(|(name, _)| name).join(" ")),
        missing => {
            let names: Vec<_> = missing.iter().map(|(name, what)| format!("{name} ({what})")).collect();
            list.limited("file systems", format!("not there: {}", names.join(", ")), "load the modules, or do without");
        }
    }
    overlay(list, caller);
    state(list, root);
    foreign(list);
}

/// As it would be mounted: by root, or in a user namespace.
fn overlay(list: &mut List<'_>, caller: Caller) {
    let namespaces = if caller.is_root { CloneFlags::empty() } else { CloneFlags::CLONE_NEWUSER };
    let opened = probe::in_child(namespaces | CloneFlags::CLONE_NEWNS, || mount::fsopen(c"overlay").is_ok());
    match (opened, caller.is_root) {
        (Ok(true), true) => list.ok("overlay", "can be mounted: layers, images"),
        (Ok(true), false) => list.ok("overlay", "can be mounted in a user namespace (with userxattr)"),
        _ => list.limited(
            "overlay",
            "cannot be mounted",
            "no layers and no images: load the module overlay (Linux 5.11)",
        ),
    }
}

/// The state of containers is made below the nearest directory that exists.
fn state(list: &mut List<'_>, root: &Path) {
    let existing = root.ancestors().find(|path| path.exists()).unwrap_or(root);
    match access(existing, AccessFlags::W_OK) {
        Ok(()) => list.ok("state", root.display().to_string()),
        Err(errno) => list.missing(
            "state",
            format!("{}: {errno:?}", existing.display()),
            "set XDG_RUNTIME_DIR to a directory of yours, or use --root",
        ),
    }
}

/// Which other machines' programs the kernel has an interpreter for.
fn foreign(list: &mut List<'_>) {
    let entries = std::fs::read_dir(BINFMT).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| !["register", "status"].iter().any(|name| entry.file_name() == *name))
        .filter_map(|entry| {
            let text = std::fs::read_to_string(entry.path()).ok().filter(|text| text.starts_with("enabled"))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Without F the interpreter is looked for in the container.
            let is_fixed =
                text.lines().any(|line| line.strip_prefix("flags:").is_some_and(|flags| flags.contains('F')));
            Some(if is_fixed { name } else { format!("{name} (not for containers: no F flag)") })
        })
        .collect();
    names.sort();
    match names.is_empty() {
        true => list.info("foreign programs", "none: images must be for this machine (binfmt_misc has no entries)"),
        false => list.info("foreign programs", names.join(", ")),
    }
}
