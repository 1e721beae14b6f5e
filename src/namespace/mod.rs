//! linux.namespaces: which are inherited, made, or joined, and by whom in which order.
//!
//! Runs in: both · config-linux.md#namespaces, LNX-02…LNX-16
//!
//! Pid and time namespaces only take in children, so the parent enters them before the clone. The
//! user namespace comes with the clone (or is joined first thing after it), because everything
//! made afterwards belongs to it. The rest is for init: one `unshare` for all new ones.

pub(crate) mod enter;
pub(crate) mod idmap;
pub(crate) mod running;
pub(crate) mod subid;
pub(crate) mod time;

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use oci_spec::runtime::LinuxNamespaceType;

use crate::error::{For as _, On as _, Property, Result};
use crate::spec::config::{Linux, Namespace};
use crate::sys;

/// libc's `CLONE_NEWTIME`, which nix does not name.
pub(crate) const NEWTIME: CloneFlags = CloneFlags::from_bits_retain(libc::CLONE_NEWTIME);

/// Every type that there is.
pub(crate) const ALL: [CloneFlags; 8] = [
    CloneFlags::CLONE_NEWUSER,
    CloneFlags::CLONE_NEWPID,
    CloneFlags::CLONE_NEWNS,
    CloneFlags::CLONE_NEWUTS,
    CloneFlags::CLONE_NEWIPC,
    CloneFlags::CLONE_NEWNET,
    CloneFlags::CLONE_NEWCGROUP,
    NEWTIME,
];

/// What is done about each type; one listed in neither place is inherited.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Made for the container.
    pub(crate) new: CloneFlags,
    /// Entered by path.
    pub(crate) joins: Vec<Join>,
    pub(crate) ids: idmap::Plan,
    pub(crate) offsets: Option<time::Offsets>,
}

#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) kind: CloneFlags,
    pub(crate) path: CString,
    pub(crate) property: Property,
}

/// A namespace that was opened and is of the right type.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) kind: CloneFlags,
    pub(crate) fd: OwnedFd,
    pub(crate) path: CString,
    pub(crate) property: Property,
}

impl Namespaces {
    pub(crate) fn compile(linux: &Linux) -> Result<Self> {
        let mut new = CloneFlags::empty();
        let mut joins: Vec<Join> = Vec::new();
        for (index, namespace) in linux.namespaces.iter().enumerate() {
            let property = Property::at("linux.namespaces", index);
            let kind = flag(namespace.kind);
            if new.contains(kind) || joins.iter().any(|join| join.kind == kind) {
                return Err(property.invalid(format!("type {:?} is listed twice", name(kind))));
            }
            match path(namespace, property)? {
                Some(path) => joins.push(Join { kind, path, property }),
                None => new |= kind,
            }
        }
        let listed = joins.iter().fold(new, |all, join| all | join.kind);
        let ids = idmap::Plan::compile(linux, new, listed)?;
        let offsets = time::Offsets::compile(&linux.time_offsets, new)?;
        Ok(Self { new, joins, ids, offsets })
    }

    /// All inherited.
    pub(crate) fn none() -> Self {
        Self { new: CloneFlags::empty(), joins: Vec::new(), ids: idmap::Plan::default(), offsets: None }
    }

    /// Whether the container has a namespace of this type that is not simply the caller's.
    pub(crate) fn has(&self, kind: CloneFlags) -> bool {
        self.new.contains(kind) || self.joins.iter().any(|join| join.kind == kind)
    }

    /// Whether changes inside stay away from the caller: a path may lead to the caller's own one.
    pub(crate) fn isolates(&self, kind: CloneFlags) -> bool {
        self.makes(kind) || self.joins.iter().any(|join| join.kind == kind && !join.is_the_callers())
    }

    pub(crate) fn makes(&self, kind: CloneFlags) -> bool {
        self.new.contains(kind)
    }

    pub(crate) fn joins(&self, kind: CloneFlags) -> bool {
        self.joins.iter().any(|join| join.kind == kind)
    }

    /// Opens every namespace to join and checks its type (LNX-13).
    pub(crate) fn open(&self) -> Result<Vec<Joined>> {
        self.joins.iter().map(Join::open).collect()
    }
}

impl Join {
    /// What cannot be looked at is refused when it is opened.
    fn is_the_callers(&self) -> bool {
        let own = format!("/proc/self/ns/{}", file_name(self.kind));
        let identity = |stat: nix::sys::stat::FileStat| (stat.st_dev, stat.st_ino);
        match (nix::sys::stat::stat(self.path.as_c_str()), nix::sys::stat::stat(own.as_str())) {
            (Ok(joined), Ok(own)) => identity(joined) == identity(own),
            _ => false,
        }
    }

    pub(crate) fn open(&self) -> Result<Joined> {
        let path = self.path.to_string_lossy();
        let fd = sys::path::open(&self.path, OFlag::O_RDONLY).on(&path).property(self.property.field("path"))?;
        match sys::ns::namespace_type(fd.as_fd()) {
            Ok(kind) if kind == self.kind => {}
            Ok(kind) => {
                let reason = format!("{path} is a {} namespace, not a {} one", name(kind), name(self.kind));
                return Err(self.property.field("path").invalid(reason));
            }
            Err(_) => return Err(self.property.field("path").invalid(format!("{path} is not a namespace"))),
        }
        Ok(Joined { kind: self.kind, fd, path: self.path.clone(), property: self.property })
    }
}

/// An empty path means the same as none: Go programs write it.
fn path(namespace: &Namespace, property: Property) -> Result<Option<CString>> {
    let Some(path) = namespace.path.as_ref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    if !path.starts_with('/') {
        return Err(property.field("path").invalid(format!("{path} is not absolute")));
    }
    sys::c_string(path).property(property.field("path")).map(Some)
}

fn flag(kind: LinuxNamespaceType) -> CloneFlags {
    match kind {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        LinuxNamespaceType::Time => NEWTIME,
    }
}

/// The spec's name of a namespace type.
pub(crate) fn name(kind: CloneFlags) -> &'static str {
    match kind {
        CloneFlags::CLONE_NEWNS => "mount",
        CloneFlags::CLONE_NEWCGROUP => "cgroup",
        CloneFlags::CLONE_NEWUTS => "uts",
        CloneFlags::CLONE_NEWIPC => "ipc",
        CloneFlags::CLONE_NEWUSER => "user",
        CloneFlags::CLONE_NEWPID => "pid",
        CloneFlags::CLONE_NEWNET => "network",
        NEWTIME => "time",
        _ => "unknown",
    }
}

/// Its name in /proc/PID/ns.
fn file_name(kind: CloneFlags) -> &'static str {
    match kind {
        CloneFlags::CLONE_NEWNS => "mnt",
        CloneFlags::CLONE_NEWNET => "net",
        _ => name(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Namespaces> {
        Namespaces::compile(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn new_joined_and_inherited() {
        let set = compile(
            r#"{"namespaces": [{"type": "pid"}, {"type": "network", "path": "/x"}, {"type": "ipc", "path": ""}]}"#,
        )
        .unwrap();
        assert_eq!(set.new, CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC);
        assert!(set.joins(CloneFlags::CLONE_NEWNET) && set.has(CloneFlags::CLONE_NEWNET));
        assert!(!set.has(CloneFlags::CLONE_NEWUTS));
    }

    #[test]
    fn the_callers_own_isolates_nothing() {
        for (kind, file) in [("mount", "mnt"), ("network", "net"), ("uts", "uts"), ("ipc", "ipc")] {
            let joined = |path: &str| {
                let set = compile(&format!(r#"{{"namespaces": [{{"type": "{kind}", "path": "{path}"}}]}}"#)).unwrap();
                (set.joins[0].kind, set)
            };
            let (flag, own) = joined(&format!("/proc/self/ns/{file}"));
            assert!(own.has(flag) && !own.isolates(flag), "{kind}");
            let (flag, another) = joined("/proc/self/ns/pid");
            assert!(another.isolates(flag), "{kind}");
        }
    }

    /// LNX-11, LNX-16
    #[test]
    fn refusals_name_the_entry() {
        let error = |json| compile(json).unwrap_err().to_string();
        assert_eq!(
            error(r#"{"namespaces": [{"type": "pid"}, {"type": "pid", "path": "/x"}]}"#),
            r#"linux.namespaces[1]: type "pid" is listed twice"#
        );
        assert_eq!(
            error(r#"{"namespaces": [{"type": "pid", "path": "proc/1/ns/pid"}]}"#),
            "linux.namespaces[0].path: proc/1/ns/pid is not absolute"
        );
    }

    /// LNX-13
    #[test]
    fn a_path_of_another_type_is_refused() {
        let open = |json| compile(json).unwrap().open();
        assert!(open(r#"{"namespaces": [{"type": "uts", "path": "/proc/self/ns/uts"}]}"#).is_ok());
        let error = open(r#"{"namespaces": [{"type": "uts", "path": "/proc/self/ns/ipc"}]}"#).unwrap_err();
        assert_eq!(error.to_string(), "linux.namespaces[0].path: /proc/self/ns/ipc is a ipc namespace, not a uts one");
        let error = open(r#"{"namespaces": [{"type": "uts", "path": "/dev/null"}]}"#).unwrap_err();
        assert!(error.to_string().contains("/dev/null is not a namespace"), "{error}");
    }
}
