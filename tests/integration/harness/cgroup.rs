//! The host's cgroup layout: version 1 (with or without an empty version 2 hierarchy beside it) or
//! pure version 2.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where each hierarchy is mounted, keyed by controller (`memory`, `name=systemd`, or `` for version 2).
pub(crate) fn hierarchies() -> &'static BTreeMap<String, PathBuf> {
    static TABLE: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = BTreeMap::new();
        for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
            let (left, right) = line.split_once(" - ").unwrap();
            let point = PathBuf::from(left.split(' ').nth(4).unwrap());
            let mut right = right.split(' ');
            match right.next() {
                Some("cgroup2") => drop(table.insert(String::new(), point)),
                Some("cgroup") => {
                    let options = right.nth(1).unwrap_or_default();
                    for controller in options.split(',').filter(|option| *option != "rw") {
                        table.insert(controller.to_owned(), point.clone());
                    }
                }
                _ => {}
            }
        }
        table
    })
}

/// The hierarchies that containers use: version 1's, or version 2's alone. (An empty version 2 hierarchy
/// beside version 1 controls nothing; a runtime may leave it out.)
pub(crate) fn in_use() -> impl Iterator<Item = &'static str> {
    hierarchies().keys().map(String::as_str).filter(|name| is_v2() == name.is_empty())
}

/// Pure version 2: the unified hierarchy is mounted at `/sys/fs/cgroup` itself.
pub(crate) fn is_v2() -> bool {
    hierarchies().get("").is_some_and(|point| point == Path::new("/sys/fs/cgroup"))
}

/// Our own cgroup in the hierarchy of `controller`.
pub(crate) fn own(controller: &str) -> String {
    of(std::process::id() as i32, controller)
}

/// The cgroup of a process in the hierarchy of `controller`, as `/proc` shows it.
pub(crate) fn of(pid: i32, controller: &str) -> String {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let controller = if is_v2() { "" } else { controller };
    let line = table.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let names = fields.next()?;
        names.split(',').any(|name| name == controller).then(|| fields.next())?
    });
    line.unwrap_or_else(|| panic!("no controller {controller:?} in {table}")).to_owned()
}

/// The directory of the cgroup `path` in the hierarchy of `controller`.
pub(crate) fn dir(controller: &str, path: &str) -> PathBuf {
    let controller = if is_v2() { "" } else { controller };
    hierarchies()[controller].join(path.trim_start_matches('/'))
}

/// Whether `controller` can be used here, on either version.
pub(crate) fn has(controller: &str) -> bool {
    if !is_v2() {
        return hierarchies().contains_key(controller);
    }
    let available = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    controller == "devices" || available.split_whitespace().any(|name| name == controller)
}

/// Where cgroups of tests can be: in the root of each hierarchy, and below our own cgroup.
pub(crate) fn search_roots() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for (controller, point) in hierarchies() {
        roots.push(point.clone());
        roots.push(dir(controller, &own(controller)));
    }
    roots
}
