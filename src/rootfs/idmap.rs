//! Idmapped mounts: options idmap and ridmap, mounts[].uidMappings and gidMappings.
//!
//! Runs in: parent · config.md#linux-mount-options, MNT-67, MNT-75…MNT-86, mount_setattr(2)
//!
//! The kernel takes a mapping in the form of a user namespace. The tree is mapped before it is
//! attached anywhere, by the parent: only who is privileged over the file system may do it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::namespace::{Joined, Namespaces, idmap};
use crate::spec::config::Mount;
use crate::sys;
use crate::sys::mount as api;

use super::options::Options;

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

    /// Maps a tree that is attached nowhere yet; if that cannot be done there is no mount (MNT-75).
    pub(crate) fn apply(&self, tree: BorrowedFd<'_>, namespaces: &Namespaces, joined: &[Joined]) -> Result<()> {
        let made: OwnedFd;
        let user_namespace = match &self.ids {
            Ids::Own(ids) => {
                made = ids.user_namespace().property(self.property)?;
                made.as_fd()
            }
            Ids::Container => match joined.iter().find(|join| join.kind == CloneFlags::CLONE_NEWUSER) {
                Some(join) => join.fd.as_fd(),
                None => {
                    made = namespaces.ids.user_namespace().property(self.property)?;
                    made.as_fd()
                }
            },
        };
        match api::mount_idmap(tree, user_namespace, self.recursive) {
            Err(sys::Error { errno: Errno::EINVAL, .. }) => Err(self.not_supported(tree)),
            result => result.on("idmap").property(self.property),
        }
    }

    fn not_supported(&self, tree: BorrowedFd<'_>) -> Error {
        let filesystem = sys::fd::filesystem(tree).map_or("its file system", name);
        self.property.unsupported(format!("{filesystem} cannot map the ids of a mount on this kernel"))
    }
}

/// File systems by the magic number of statfs(2); with those that have never had idmapped mounts,
/// and those that got them late (overlay 5.19, tmpfs 6.3, fuse 6.12).
fn name(magic: i64) -> &'static str {
    match magic {
        0x0102_1997 => "9p",
        0x0102_1994 => "tmpfs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x794c_7630 => "overlay",
        0x9123_683e => "btrfs",
        0x9fa0 => "proc",
        0x6265_6572 => "sysfs",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x00c3_6400 => "ceph",
        0x7371_7368 => "squashfs",
        0x2fc1_2fc1 => "zfs",
        _ => "its file system",
    }
}
