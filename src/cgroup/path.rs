//! Where a container's cgroups are: the hierarchies this host mounts, and a path below each of them.
//!
//! Runs in: parent · config-linux.md#cgroups-path (LNX-49 to LNX-54)
//!
//! Pure v2 is told by one statfs. Only v1 and hybrid hosts, and relative paths, need the mount
//! table and `/proc/self/cgroup`.

use std::cell::OnceCell;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use serde::{Deserialize, Serialize};

use super::{Hierarchy, file};
use crate::error::{Error, On as _, Property, Result};
use crate::sys::Call as _;

pub(super) const PROPERTY: Property = Property::of("linux.cgroupsPath");

pub(super) const STANDARD: &str = "/sys/fs/cgroup";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    V1,
    V2,
}

/// A cgroup hierarchy that this host mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    pub(super) version: Version,
    /// v1: what it controls or how it is called, such as `cpu,cpuacct` or `name=systemd`.
    pub(super) controllers: String,
    pub(super) point: PathBuf,
    /// The cgroup seen at the mount point: not `/` in a container that shares its host's namespace.
    root: PathBuf,
}

/// The hierarchies in use: the one of v2, or all those of v1 (on a hybrid host, too).
#[derive(Debug)]
pub(crate) struct Layout {
    pub(super) mounts: Vec<Mounted>,
    /// `/proc/self/cgroup`
    own: OnceCell<String>,
}

impl Layout {
    pub(crate) fn probe() -> Result<Self> {
        match statfs(STANDARD) {
            Ok(found) if found.filesystem_type() == CGROUP2_SUPER_MAGIC => Ok(Self::unified()),
            Ok(_) | Err(Errno::ENOENT) => Ok(Self { mounts: parse_mounts(&mount_table()?), own: OnceCell::new() }),
            Err(errno) => Err(errno).call("statfs").on(STANDARD),
        }
    }

    fn unified() -> Self {
        let mounted = Mounted {
            version: Version::V2,
            controllers: String::new(),
            point: STANDARD.into(),
            // Looked up when a relative path asks for it: most containers have an absolute one.
            root: PathBuf::new(),
        };
        Self { mounts: vec![mounted], own: OnceCell::new() }
    }

    /// A made-up host: the texts of its `mountinfo` and `cgroup` files.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn fixture(mountinfo: &str, own: &str) -> Self {
        Self { mounts: parse_mounts(mountinfo), own: OnceCell::from(own.to_owned()) }
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.mounts.first().map(|mounted| mounted.version)
    }

    /// Whether there is a v1 hierarchy with this controller or name.
    pub(super) fn controls(&self, name: &str) -> bool {
        self.mounts.iter().any(|mounted| mounted.controls(name))
    }

    /// The container's directory in each hierarchy.
    pub(super) fn place_all(&self, path: &CgroupPath) -> Result<Vec<Hierarchy>> {
        self.mounts.iter().map(|mounted| Ok(mounted.hierarchy(self.place(mounted, path)?))).collect()
    }

    /// The container's directory in one hierarchy.
    fn place(&self, mounted: &Mounted, path: &CgroupPath) -> Result<PathBuf> {
        if path.absolute {
            return Ok(mounted.point.join(&path.inner));
        }
        let own = self.own(mounted)?;
        let base = match mounted.version {
            Version::V1 => own.as_path(),
            // Beside, not below: this process is in its own cgroup, and a cgroup of v2 that holds
            // processes cannot pass controllers on to children.
            Version::V2 => own.parent().unwrap_or(&own),
        };
        let base = base.strip_prefix("/").unwrap_or(base);
        Ok(mounted.point.join(base).join(&path.inner))
    }

    /// The directory that this process itself is in.
    pub(super) fn own_directory(&self, mounted: &Mounted) -> Result<PathBuf> {
        let own = self.own(mounted)?;
        Ok(mounted.point.join(own.strip_prefix("/").unwrap_or(&own)))
    }

    /// The cgroup of this process, as seen from the hierarchy's mount point.
    fn own(&self, mounted: &Mounted) -> Result<PathBuf> {
        let text = match self.own.get() {
            Some(text) => text,
            None => {
                let text = file::read_path(Path::new("/proc/self/cgroup"))?;
                self.own.get_or_init(|| text)
            }
        };
        let own = text.lines().find_map(|line| mounted.own_path(line)).unwrap_or("/");
        let root = if mounted.root.as_os_str().is_empty() { root_of(&mounted.point)? } else { mounted.root.clone() };
        let own = Path::new(own).strip_prefix(&root).unwrap_or(Path::new(own));
        // Outside of the cgroup namespace it is in: what the namespace calls its root is next.
        let is_outside = own.components().any(|component| component == Component::ParentDir);
        Ok(if is_outside { PathBuf::from("/") } else { Path::new("/").join(own) })
    }
}

impl Mounted {
    /// The hierarchy, with a directory in it.
    pub(super) fn hierarchy(&self, dir: PathBuf) -> Hierarchy {
        let (controllers, mountpoint) = (self.controllers.clone(), self.point.clone());
        Hierarchy { version: self.version, controllers, mountpoint, dir }
    }

    /// The path in a line of `/proc/self/cgroup` (`4:memory:/a/b`) if it is about this hierarchy.
    fn own_path<'a>(&self, line: &'a str) -> Option<&'a str> {
        let mut fields = line.splitn(3, ':');
        let (_, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let first = self.controllers.split(',').next().unwrap_or_default();
        names.split(',').any(|name| name == first).then_some(path)
    }

    fn controls(&self, name: &str) -> bool {
        self.controllers.split(',').any(|controller| controller == name)
    }
}

fn mount_table() -> Result<String> {
    file::read_path(Path::new("/proc/self/mountinfo"))
}

fn root_of(point: &Path) -> Result<PathBuf> {
    let table = mount_table()?;
    let found = parse_mounts(&table).into_iter().find(|mounted| mounted.point == point);
    Ok(found.map_or_else(|| PathBuf::from("/"), |mounted| mounted.root))
}

/// All v1 hierarchies; the v2 one only where there is no other.
fn parse_mounts(mountinfo: &str) -> Vec<Mounted> {
    let mut v1: Vec<Mounted> = Vec::new();
    let mut v2 = None;
    for mounted in mountinfo.lines().filter_map(parse_mount) {
        if mounted.version == Version::V2 {
            v2.get_or_insert(mounted);
        } else if let Some(known) = v1.iter_mut().find(|known| known.controllers == mounted.controllers) {
            // Mounted twice, for example into the root file system of another container.
            if !known.point.starts_with(STANDARD) && mounted.point.starts_with(STANDARD) {
                *known = mounted;
            }
        } else {
            v1.push(mounted);
        }
    }
    if v1.is_empty() { v2.into_iter().collect() } else { v1 }
}

/// `35 31 0:31 /root /point rw,relatime shared:1 - cgroup source rw,memory` (proc_pid_mountinfo(5))
fn parse_mount(line: &str) -> Option<Mounted> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut filesystem = filesystem.split(' ');
    let version = match filesystem.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let controllers: Vec<&str> = match version {
        Version::V1 => filesystem.nth(1)?.split(',').filter(|option| is_controller(option)).collect(),
        Version::V2 => Vec::new(),
    };
    Some(Mounted { version, controllers: controllers.join(","), point: point.into(), root: root.into() })
}

/// What a v1 superblock's options name besides controllers and `name=`.
fn is_controller(option: &str) -> bool {
    const OTHERS: [&str; 8] =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "seclabel"];
    !OTHERS.contains(&option) && !option.starts_with("release_agent=")
}

/// `linux.cgroupsPath`, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CgroupPath {
    absolute: bool,
    /// Below the mount point or the base: never empty, no `.` and `..`.
    inner: PathBuf,
}

impl CgroupPath {
    /// Unset is the container's id as a relative path, as in runc: the container stays within the
    /// limits of whoever started it, and rootless callers own that place if they own any.
    pub(super) fn compile(value: Option<&str>, id: &str) -> Result<Self> {
        let value = value.filter(|value| !value.is_empty()).unwrap_or(id);
        if value.contains(['\0', '\n']) {
            return Err(invalid(value, "holds a NUL or a line feed"));
        }
        let mut inner = PathBuf::new();
        for component in Path::new(value).components() {
            match component {
                Component::Normal(name) => inner.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(invalid(value, "holds \"..\"")),
            }
        }
        if inner.as_os_str().is_empty() {
            return Err(invalid(value, "names no cgroup of the container's own"));
        }
        Ok(Self { absolute: value.starts_with('/'), inner })
    }
}

fn invalid(value: &str, reason: &str) -> Error {
    PROPERTY.invalid(format!("{value:?} {reason}"))
}
