//! Idmapped mounts: options idmap and ridmap, mounts[].uidMappings and gidMappings.
//!
//! Runs in: parent · config.md#linux-mount-options, MNT-67, MNT-75…MNT-86, mount_setattr(2)
//!
//! The kernel takes a mapping in the form of a user namespace. The tree is mapped before it is
//! attached anywhere, by the parent: only who is privileged over the file system may do it. So a new
//! file system (a tmpfs) with mapped ids is made by the parent, too.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;

use crate::error::code::Code;
use crate::error::{Error, For as _, On as _, Property, Result};
use crate::host::is_host_root;
use crate::mountinfo;
use crate::namespace::{Joined, Namespaces, idmap};
use crate::spec::config::Mount;
use crate::sys::mount as api;
use crate::sys::{self, Call as _};

use super::mount::What;
use super::options::Options;

/// What the changelogs of Linux say of those that people use.
const SUPPORT: &str = "ext4 and xfs take part since Linux 5.12, btrfs 5.15, erofs 5.19, squashfs 6.2, tmpfs 6.3, \
                       overlayfs 5.19 (in its layers only), fuse 6.12; nfs does not";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Idmap {
    property: Property,
    ids: Ids,
    recursive: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Ids {
    /// The entry's own mappings (MNT-78).
    Own(idmap::Plan),
    /// Those of the container's user namespace (MNT-79).
    Container,
}

impl Idmap {
    /// Mappings without an option are meant to be used too, as with runc (MNT-82).
    pub(crate) fn compile(
        mount: &Mount,
        options: &Options,
        property: Property,
        namespaces: &Namespaces,
    ) -> Result<Option<Self>> {
        let given = (!mount.uid_mappings.is_empty(), !mount.gid_mappings.is_empty());
        let ids = match given {
            (false, false) if options.idmap.is_none() => return Ok(None),
            (false, false) if !namespaces.has(CloneFlags::CLONE_NEWUSER) => {
                let reason = "idmap needs uidMappings and gidMappings, or a user namespace to take them from";
                return Err(property.field("options").invalid(reason));
            }
            (false, false) => Ids::Container,
            (true, true) => Ids::Own(idmap::Plan::of_mount(mount, property)?),
            (true, false) => return Err(property.field("uidMappings").invalid("needs gidMappings too")),
            (false, true) => return Err(property.field("gidMappings").invalid("needs uidMappings too")),
        };
        Ok(Some(Self { property, ids, recursive: options.idmap.is_some_and(|recursive| recursive) }))
    }

    /// Of one directory, with the mappings of the container.
    pub(crate) fn of_container(property: Property) -> Self {
        Self { property, ids: Ids::Container, recursive: false }
    }

    /// Maps a tree that is attached nowhere yet; if that cannot be done there is no mount (MNT-75).
    pub(crate) fn apply(
        &self,
        tree: BorrowedFd<'_>,
        what: &What,
        namespaces: &Namespaces,
        joined: &[Joined],
    ) -> Result<()> {
        self.map(tree, what, self.user_namespace(namespaces, joined)?.as_fd())
    }

    /// One with the ids wanted: the container's if it exists already, or made for this.
    pub(crate) fn user_namespace(&self, namespaces: &Namespaces, joined: &[Joined]) -> Result<OwnedFd> {
        let joined = joined.iter().find(|join| join.kind == CloneFlags::CLONE_NEWUSER);
        match (&self.ids, joined) {
            (Ids::Container, Some(join)) => join.fd.try_clone().call("fcntl").property(self.property),
            (Ids::Container, None) => namespaces.ids.user_namespace().property(self.property),
            (Ids::Own(ids), _) => ids.user_namespace().property(self.property),
        }
    }

    /// The same for several trees, with a user namespace that `user_namespace` gave.
    pub(crate) fn map(&self, tree: BorrowedFd<'_>, what: &What, user_namespace: BorrowedFd<'_>) -> Result<()> {
        match api::mount_idmap(tree, user_namespace, self.recursive) {
            Err(sys::Error { errno: Errno::EINVAL, .. }) => Err(self.not_supported(what, user_namespace)),
            result => result.on("idmap").property(self.property),
        }
    }

    /// A plain user is privileged over no file system of the host's.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error.errno() {
            Some(Errno::EPERM) if !is_host_root() => {
                self.property.unsupported("idmap, of a user who is not root on the host")
            }
            _ => error,
        }
    }

    fn not_supported(&self, what: &What, user_namespace: BorrowedFd<'_>) -> Error {
        let culprit = match what {
            What::Fs { kind, .. } => Some(kind.to_string_lossy().into_owned()),
            What::Bind { source, .. } => self.culprit(Path::new(OsStr::from_bytes(source.to_bytes())), user_namespace),
            What::Cgroup | What::Remount { .. } => None,
        };
        let culprit = culprit.unwrap_or_else(|| "its file system".to_owned());
        let error = self.property.unsupported(format!("{culprit} cannot map the ids of a mount on this kernel"));
        error.code_is(Code::IdmappedMount).hint(SUPPORT)
    }

    /// The file system that does not take part: of the source or, with ridmap, of a mount below it.
    fn culprit(&self, source: &Path, user_namespace: BorrowedFd<'_>) -> Option<String> {
        let source = source.canonicalize().ok()?;
        let table = mountinfo::read().ok()?;
        let covering = table.iter().filter(|mount| source.starts_with(&mount.point));
        let covering = covering.max_by_key(|mount| mount.point.components().count())?;
        let below = table.iter().filter(|mount| self.recursive && mount.point.starts_with(&source));
        let mut all = std::iter::once((covering, &source)).chain(below.map(|mount| (mount, &mount.point)));
        let (mount, _) = all.find(|(_, path)| !takes_ids(path, user_namespace))?;
        Some(format!("{} ({})", mount.kind, mount.point.display()))
    }
}

fn takes_ids(path: &Path, user_namespace: BorrowedFd<'_>) -> bool {
    let mapped = sys::c_path(path)
        .and_then(|path| sys::path::open(&path, OFlag::O_PATH))
        .and_then(|place| api::open_tree(place.as_fd(), sys::EMPTY, false))
        .and_then(|tree| api::mount_idmap(tree.as_fd(), user_namespace, false));
    !matches!(mapped, Err(sys::Error { errno: Errno::EINVAL, .. }))
}
