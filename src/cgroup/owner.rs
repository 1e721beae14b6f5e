//! v2: whose the container's cgroup is. One that may manage its own cgroup gets it.
//!
//! Runs in: parent · config-linux.md#cgroup-ownership (LNX-56 to LNX-65)

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{Uid, fchown, fchownat};
use oci_spec::runtime::LinuxNamespaceType;

use super::file;
use super::path::PROPERTY;
use crate::error::{For as _, On as _, Result};
use crate::host::is_host_root;
use crate::spec::Config;
use crate::spec::config::Mount;
use crate::sys::Call as _;

/// The kernel's list of files that a delegate needs.
const LIST: &str = "/sys/kernel/cgroup/delegate";
/// Where it has none (LNX-64).
const DEFAULT_LIST: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

/// The owner: the process's user as the host counts, if the container has a cgroup namespace of its
/// own, and mounts the hierarchy for writing.
pub(super) fn compile(config: &Config) -> Option<u32> {
    let linux = &config.linux;
    let find = |kind| linux.namespaces.iter().find(|namespace| namespace.kind == kind);
    let is_own = find(LinuxNamespaceType::Cgroup)
        .is_some_and(|namespace| namespace.path.as_deref().unwrap_or_default().is_empty());
    if !is_own || !config.mounts.iter().any(is_writable_cgroup) {
        return None;
    }
    let inside = config.process.as_ref()?.user.uid;
    let outside = match find(LinuxNamespaceType::User) {
        None => inside,
        // One that is joined without a word about its maps keeps its secret.
        Some(_) => linux.uid_mappings.iter().find_map(|map| {
            let offset = inside.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
            map.host_id.checked_add(offset)
        })?,
    };
    // Root's it is anyway.
    (outside != 0).then_some(outside)
}

/// LNX-59
fn is_writable_cgroup(mount: &Mount) -> bool {
    let writable = mount.options.iter().rfind(|option| ["ro", "rw"].contains(&option.as_str()));
    mount.source.as_deref() == Some("cgroup")
        && Path::new(&mount.destination) == Path::new("/sys/fs/cgroup")
        && writable.is_none_or(|option| option == "rw")
}

/// Gives away the directory, and of its files only those the kernel names (LNX-61 to LNX-65).
pub(super) fn give(dir: &Path, directory: impl AsFd, owner: u32) -> Result<()> {
    let (directory, owner) = (directory.as_fd(), Some(Uid::from_raw(owner)));
    match fchown(directory, owner, None) {
        // A user can give nothing to the subordinate ids.
        Err(Errno::EPERM) if !is_host_root() => return Ok(()),
        result => result.call("fchown").on(dir.display()).property(PROPERTY)?,
    }
    give_files(dir, directory, &list(Path::new(LIST)), owner)
}

fn list(path: &Path) -> String {
    file::read_value(path).unwrap_or_else(|_| DEFAULT_LIST.to_owned())
}

fn give_files(dir: &Path, directory: BorrowedFd<'_>, list: &str, owner: Option<Uid>) -> Result<()> {
    for name in list.lines() {
        match fchownat(directory, name, owner, None, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // Of a controller that the cgroup does not have.
            Ok(()) | Err(Errno::ENOENT) => {}
            result => result.call("fchownat").on(dir.join(name).display()).property(PROPERTY)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(user: u32, mount_options: &str, linux: &str) -> Option<u32> {
        let json = format!(
            r#"{{"ociVersion": "1.3.0", "process": {{"user": {{"uid": {user}, "gid": 0}}, "cwd": "/"}},
                "mounts": [{{"destination": "/sys/fs/cgroup/", "source": "cgroup", "type": "cgroup",
                             "options": {mount_options}}}],
                "linux": {linux}}}"#
        );
        compile(&serde_json::from_str(&json).unwrap())
    }

    const OWN: &str = r#"{"namespaces": [{"type": "cgroup"}]}"#;
    const MAPPED: &str = r#"{"namespaces": [{"type": "cgroup"}, {"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 50, "hostID": 7, "size": 1}]}"#;

    /// LNX-56, LNX-59
    #[test]
    fn the_user_as_the_host_counts() {
        assert_eq!(owner(12, "[]", OWN), Some(12));
        assert_eq!(owner(0, r#"["ro", "rw"]"#, MAPPED), Some(100_000));
        assert_eq!(owner(9, "null", MAPPED), Some(100_009));
        assert_eq!(owner(50, "[]", MAPPED), Some(7));
        assert_eq!(owner(10, "[]", MAPPED), None);
        assert_eq!(owner(0, "[]", OWN), None);
    }

    /// LNX-61…LNX-63, LNX-65: a file that is listed and missing is none; one that is not listed stays. (Only
    /// root can give files away; for anybody else nothing changes.)
    #[test]
    fn the_files_that_are_listed_and_no_others() {
        use std::os::unix::fs::MetadataExt as _;

        let dir = std::env::temp_dir().join(format!("orlop-owner-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        for name in ["cgroup.procs", "cgroup.threads", "memory.max"] {
            std::fs::write(dir.join(name), "").unwrap();
        }
        let own = nix::unistd::geteuid();
        let other = if own.is_root() { Uid::from_raw(12_345) } else { own };
        let directory = std::fs::File::open(&dir).unwrap();
        give_files(&dir, directory.as_fd(), "cgroup.procs\nmemory.reclaim\ncgroup.threads\n", Some(other)).unwrap();
        let owner = |name: &str| std::fs::metadata(dir.join(name)).unwrap().uid();
        let found = ["cgroup.procs", "cgroup.threads", "memory.max"].map(owner);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, [other.as_raw(), other.as_raw(), own.as_raw()]);
    }

    /// LNX-64
    #[test]
    fn without_a_list_of_the_kernel() {
        let list = list(Path::new("/no/such/list"));
        assert_eq!(list.lines().collect::<Vec<_>>(), ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]);
    }

    /// LNX-58, LNX-60
    #[test]
    fn nobody_who_could_not_use_it() {
        assert_eq!(owner(12, r#"["nosuid", "ro"]"#, OWN), None);
        assert_eq!(owner(12, "[]", "{}"), None);
        assert_eq!(owner(12, "[]", r#"{"namespaces": [{"type": "cgroup", "path": "/proc/1/ns/cgroup"}]}"#), None);
    }
}
