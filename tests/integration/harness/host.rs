//! What the host shows: mounts, cgroups and processes whose name carries a test's tag.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::cgroup;

/// Lines of our own mountinfo that hold `tag`.
pub(crate) fn mounts(tag: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.contains(tag)).map(str::to_owned).collect()
}

/// Takes every mount with `tag` in its mount point away, the latest first.
pub(crate) fn unmount(tag: &str) {
    for line in mounts(tag).iter().rev() {
        if let Some(point) = line.split(' ').nth(4).filter(|point| point.contains(tag)) {
            let _ = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

/// Directories of any cgroup hierarchy named with `tag`, parents before children.
pub(crate) fn cgroups(tag: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in cgroup::search_roots() {
        walk(&root, tag, 3, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn walk(dir: &Path, tag: &str, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let path = entry.path();
        if path.to_string_lossy().contains(tag) {
            found.push(path.clone());
        }
        if depth > 0 {
            walk(&path, tag, depth - 1, found);
        }
    }
}

/// Living processes with `tag` in their command line, cgroup or mount namespace.
pub(crate) fn processes(tag: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own && belongs(*pid, tag)).collect()
}

fn belongs(pid: i32, tag: &str) -> bool {
    let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let holds = |bytes: Vec<u8>| bytes.windows(tag.len()).any(|part| part == tag.as_bytes());
    let tagged = holds(file("cmdline")) || holds(file("cgroup")) || is_inside(pid, tag);
    tagged && !is_zombie(pid)
}

/// A process whose root is a directory of the test. The other mounts of its namespace say nothing: a
/// test may mount on the host, and every namespace made meanwhile inherits that.
fn is_inside(pid: i32, tag: &str) -> bool {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split(' ').skip(3);
        fields.next().is_some_and(|root| root.contains(tag)) && fields.next() == Some("/")
    })
}

pub(crate) fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// One line on a process, for messages.
pub(crate) fn describe(pid: i32) -> String {
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    format!("process {pid} {:?} in {:?}", file("cmdline").replace('\0', " "), file("cgroup").trim())
}

/// A tmpfs mounted on the host for a test; gone with the test.
#[derive(Debug)]
pub(crate) struct HostMount(PathBuf);

impl HostMount {
    /// Makes the directory and mounts a tmpfs there, with the given flags and propagation.
    pub(crate) fn tmpfs(dir: &Path, flags: MsFlags, propagation: MsFlags) -> Self {
        Self::sized_tmpfs(dir, "50%", flags, propagation)
    }

    /// The same, with no more in it than that.
    pub(crate) fn sized_tmpfs(dir: &Path, size: &str, flags: MsFlags, propagation: MsFlags) -> Self {
        fs::create_dir_all(dir).unwrap();
        let options = format!("mode=755,size={size}");
        mount(Some("host"), dir, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
        let guard = Self(dir.to_owned());
        guard.propagate(propagation);
        guard
    }

    /// Makes the directory and mounts a file system there that needs no device.
    pub(crate) fn of(kind: &str, dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        mount(Some("host"), dir, Some(kind), MsFlags::empty(), None::<&str>).unwrap();
        Self(dir.to_owned())
    }

    /// Binds a directory onto itself, to give it a propagation of its own.
    pub(crate) fn on_itself(dir: &Path, propagation: MsFlags) -> Self {
        mount(Some(dir), dir, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let guard = Self(dir.to_owned());
        guard.propagate(propagation);
        guard
    }

    fn propagate(&self, propagation: MsFlags) {
        mount(None::<&str>, &self.0, None::<&str>, propagation, None::<&str>).unwrap();
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}
