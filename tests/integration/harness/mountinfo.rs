//! The mounts that a container sees, as `/proc/self/mountinfo` lists them.

use nix::mount::MsFlags;

use super::Bundle;
use super::host::HostMount;

/// One line of mountinfo.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) point: String,
    pub(crate) flags: Vec<String>,
    pub(crate) propagation: String,
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) super_options: Vec<String>,
}

pub(crate) fn parse(table: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ").unwrap();
        let left: Vec<_> = left.split(' ').collect();
        let right: Vec<_> = right.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Mount {
            point: left[4].to_owned(),
            flags: list(left[5]),
            propagation: left[6..].join(" "),
            kind: right[0].to_owned(),
            source: right[1].to_owned(),
            super_options: list(right[2]),
        }
    };
    table.lines().map(line).collect()
}

/// The mounts that the container sees.
#[track_caller]
pub(crate) fn table(bundle: &mut Bundle) -> Vec<Mount> {
    parse(&bundle.args(&["/bin/cat", "/proc/self/mountinfo"]).output())
}

#[track_caller]
pub(crate) fn at<'a>(table: &'a [Mount], point: &str) -> &'a Mount {
    let found = table.iter().rev().find(|mount| mount.point == point);
    found.unwrap_or_else(|| panic!("no mount on {point} in {table:#?}"))
}

impl Mount {
    /// Whether a flag or option is set, of the mount or of its file system.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().chain(&self.super_options).any(|other| other == flag)
    }
}

/// A new directory of the host with two tmpfs mounts, one below the other.
pub(crate) fn host_tree(bundle: &Bundle, flags: MsFlags) -> (String, [HostMount; 2]) {
    let dir = bundle.file("tree");
    let top = HostMount::tmpfs(&dir, flags, MsFlags::MS_PRIVATE);
    if flags.contains(MsFlags::MS_RDONLY) {
        drop(top);
        let top = HostMount::tmpfs(&dir, flags - MsFlags::MS_RDONLY, MsFlags::MS_PRIVATE);
        let sub = HostMount::tmpfs(&dir.join("sub"), flags, MsFlags::MS_PRIVATE);
        let remount = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        nix::mount::mount(None::<&str>, &dir, None::<&str>, remount, None::<&str>).unwrap();
        return (dir.to_str().unwrap().to_owned(), [sub, top]);
    }
    let sub = HostMount::tmpfs(&dir.join("sub"), flags, MsFlags::MS_PRIVATE);
    (dir.to_str().unwrap().to_owned(), [sub, top])
}
