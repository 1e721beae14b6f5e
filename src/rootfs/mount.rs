//! mounts[]: one step per entry, from the options as written to a mount in its place.
//!
//! Runs in: parent (compile, open), init (apply) · config.md#mounts, MNT-01…MNT-92
//!
//! A mount is made detached, gets its attributes, and is then attached to a mount point that was
//! looked up below the container's root: descriptor to descriptor, no path in between.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::host::is_host_root;
use crate::namespace::{Joined, Namespaces};
use crate::spec::config::Mount;
use crate::sys;
use crate::sys::mount::{self as api, Attr, Propagation};

use super::cgroupfs;
use super::copyup;
use super::idmap::Idmap;
use super::options::{Bind, Change, Data, Options};
use super::resolve::{InRoot, Kind};
use super::root::Builder;

/// One entry of mounts[], with nothing left to interpret.
#[derive(Debug)]
pub(crate) struct MountStep {
    pub(crate) property: Property,
    pub(crate) dest: InRoot,
    pub(crate) what: What,
    pub(crate) options: Options,
    pub(crate) idmap: Option<Idmap>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    Bind {
        source: CString,
        recursive: bool,
    },
    Fs {
        kind: CString,
        source: Option<CString>,
    },
    /// The container's view of its cgroups, whatever the host's layout.
    Cgroup,
    /// New attributes for what an earlier entry has mounted.
    Remount {
        bind: bool,
    },
}

impl MountStep {
    pub(crate) fn compile(index: usize, mount: &Mount, bundle: &Path, namespaces: &Namespaces) -> Result<Self> {
        let property = Property::at("mounts", index);
        if mount.destination.is_empty() {
            return Err(property.field("destination").invalid("is empty"));
        }
        let dest = InRoot::new(&mount.destination, property.field("destination"))?;
        let options = Options::compile(&mount.options, property.field("options"))?;
        let what = what(mount, &options, property, bundle)?;
        if options.copy_up && !matches!(&what, What::Fs { kind, .. } if kind.as_c_str() == c"tmpfs") {
            return Err(property.field("options").invalid("tmpcopyup needs type tmpfs"));
        }
        let idmap = Idmap::compile(mount, &options, property, namespaces)?;
        if idmap.is_some() && matches!(what, What::Cgroup | What::Remount { .. }) {
            return Err(property.field("options").invalid("idmap is for new mounts other than cgroup's"));
        }
        Ok(Self { property, dest, what, options, idmap })
    }

    /// `linux.mountLabel`: one SELinux context for all files of a file system that is made here. Those of
    /// the kernel itself have labels of their own, and a context among the options comes first.
    pub(crate) fn label(&mut self, label: &CStr) {
        let has_own = |kind: &CStr| matches!(kind.to_bytes(), b"proc" | b"sysfs" | b"mqueue");
        let is_context = |data: &Data| data.key.to_bytes().ends_with(b"context");
        if matches!(&self.what, What::Fs { kind, .. } if !has_own(kind)) && !self.options.data.iter().any(is_context) {
            self.options.data.push(Data { key: c"context".into(), value: Some(label.into()), hint: false });
        }
    }

    /// Whether this covers `path` with a tree of the host's.
    pub(crate) fn binds(&self, path: &str) -> bool {
        matches!(self.what, What::Bind { .. }) && self.dest.as_str() == path
    }

    /// A detached tree, made while the host's tree is as the host has it: the source of a bind mount,
    /// or a file system whose ids are going to be mapped.
    ///
    /// Cloned here, a tree is a peer of what the host shares; `shared` leaves it one.
    pub(crate) fn open(&self, shared: bool) -> Result<Option<OwnedFd>> {
        let (source, recursive) = match &self.what {
            What::Bind { source, recursive } => (source, recursive),
            What::Fs { kind, source } if self.idmap.is_some() => {
                return self.make(kind, source.as_deref(), None).property(self.property).map(Some);
            }
            _ => return Ok(None),
        };
        let tree = open_path(source, *recursive).property(self.property.field("source"))?;
        if !shared {
            api::set_propagation(tree.as_fd(), Propagation::Slave, true).on(&self.dest).property(self.property)?;
        }
        Ok(Some(tree))
    }

    /// Parent: the same with the ids that the configuration wants its files to have.
    pub(crate) fn open_mapped(
        &self,
        shared: bool,
        namespaces: &Namespaces,
        joined: &[Joined],
    ) -> Result<Option<OwnedFd>> {
        let Some(idmap) = &self.idmap else {
            return self.open(shared);
        };
        let mapped = self.open(shared).and_then(|tree| {
            tree.as_ref().map_or(Ok(()), |tree| idmap.apply(tree.as_fd(), &self.what, namespaces, joined))?;
            Ok(tree)
        });
        mapped.map_err(|error| idmap.explain(error))
    }

    pub(crate) fn apply(&self, builder: &mut Builder<'_>, source: Option<OwnedFd>) -> Result<()> {
        self.mount(builder, source).map_err(|error| error.property(self.property))
    }

    fn mount(&self, builder: &mut Builder<'_>, source: Option<OwnedFd>) -> Result<()> {
        match &self.what {
            What::Bind { source: path, recursive } => {
                let tree = match source {
                    Some(tree) => tree,
                    None => open_path(path, *recursive).property(self.property.field("source"))?,
                };
                self.bind(builder, tree)
            }
            What::Fs { kind, source: device } => self.file_system(builder, kind, device.as_deref(), source),
            What::Cgroup => cgroupfs::mount(builder, &self.dest, self.options.attr.set),
            What::Remount { bind } => self.remount(builder, *bind),
        }
    }

    fn bind(&self, builder: &mut Builder<'_>, tree: OwnedFd) -> Result<()> {
        let kind = Kind::of(tree.as_fd()).on(&self.dest)?;
        let target = builder.root().ensure(&self.dest, kind)?;
        change(tree.as_fd(), self.options.attr, false).on(&self.dest)?;
        change(tree.as_fd(), self.options.recursive, true).on(&self.dest)?;
        self.attach(builder, tree, target.as_fd())
    }

    fn file_system(
        &self,
        builder: &mut Builder<'_>,
        kind: &CStr,
        source: Option<&CStr>,
        made: Option<OwnedFd>,
    ) -> Result<()> {
        let existing = builder.root().find(&self.dest).on(&self.dest)?;
        let made = match made {
            Some(tree) => Ok(tree),
            None => self.make(kind, source, existing.as_ref().map(|fd| fd.as_fd())),
        };
        let tree = match made {
            Ok(tree) => tree,
            Err(error) => {
                let refused = error.errno() == Some(Errno::EPERM);
                return match host_view(kind).filter(|_| refused && !is_host_root()) {
                    Some(path) => self.bind(builder, open_path(path, true)?),
                    None => Err(error),
                };
            }
        };
        if let Some(covered) = existing.as_ref().filter(|_| self.idmap.is_some() && self.resembles_covered(kind)) {
            let mode = sys::fd::fstat(covered.as_fd()).on(&self.dest)?.st_mode & 0o7777;
            sys::path::chmodat(tree.as_fd(), c".", mode).on(&self.dest)?;
        }
        let target = match existing {
            Some(target) => target,
            None => builder.root().make_missing_dir(&self.dest, 0o755)?,
        };
        if self.options.copy_up {
            copyup::copy(target.as_fd(), tree.as_fd()).on(format_args!("{} (tmpcopyup)", self.dest))?;
        }
        if self.is_changed_late() {
            let read_only = self.attributes() & Attr::RDONLY;
            change(tree.as_fd(), Change { set: read_only, clear: Attr::empty() }, false).on(&self.dest)?;
        }
        self.attach(builder, tree, target.as_fd())
    }

    /// A new file system, attached nowhere; like what it is going to cover, where that is known.
    fn make(&self, kind: &CStr, source: Option<&CStr>, covered: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        let context = api::fsopen(kind).on(format_args!("{} (type {})", self.dest, kind.to_string_lossy()))?;
        let late = if self.is_changed_late() { Attr::RDONLY } else { Attr::empty() };
        self.configure(context.as_fd(), kind, source, covered)
            .and_then(|()| api::fsmount(context.as_fd(), self.attributes() - late))
            .map_err(|error| explain(context.as_fd(), error, &self.dest, kind))
    }

    /// A copy has to be made, and a mode be set, before the mount is read-only.
    fn is_changed_late(&self) -> bool {
        self.options.copy_up || self.idmap.is_some()
    }

    /// Without a mode of its own a tmpfs looks like the directory it covers, as with runc.
    fn resembles_covered(&self, kind: &CStr) -> bool {
        kind == c"tmpfs" && !self.options.has_data("mode")
    }

    fn attributes(&self) -> Attr {
        self.options.attr.set | self.options.recursive.set
    }

    fn configure(
        &self,
        context: BorrowedFd<'_>,
        kind: &CStr,
        source: Option<&CStr>,
        existing: Option<BorrowedFd<'_>>,
    ) -> sys::Result<()> {
        if let Some(source) = source {
            api::fsconfig_set(context, c"source", Some(source))?;
            // A device that cannot be written to wants its file system read-only as well.
            if source.to_bytes().starts_with(b"/") && self.options.attr.set.contains(Attr::RDONLY) {
                api::fsconfig_set(context, c"ro", None)?;
            }
        }
        for data in &self.options.data {
            set(context, data)?;
        }
        if let Some(existing) = existing.filter(|_| self.resembles_covered(kind)) {
            let mode = sys::c_string(format!("{:o}", sys::fd::fstat(existing)?.st_mode & 0o7777))?;
            api::fsconfig_set(context, c"mode", Some(&mode))?;
        }
        api::fsconfig_create(context)
    }

    fn remount(&self, builder: &mut Builder<'_>, bind: bool) -> Result<()> {
        let target = builder.root().open(&self.dest).on(&self.dest)?;
        if !bind {
            let context = api::fspick(target.as_fd()).on(&self.dest)?;
            let done = self.options.data.iter().try_for_each(|data| set(context.as_fd(), data));
            done.and_then(|()| api::fsconfig_reconfigure(context.as_fd()))
                .map_err(|error| explain(context.as_fd(), error, &self.dest, c"remount"))?;
        }
        change(target.as_fd(), self.options.attr, false).on(&self.dest)?;
        change(target.as_fd(), self.options.recursive, true).on(&self.dest)?;
        self.propagate(target.as_fd())
    }

    fn attach(&self, builder: &mut Builder<'_>, tree: OwnedFd, target: BorrowedFd<'_>) -> Result<()> {
        api::move_mount(tree.as_fd(), target).on(&self.dest)?;
        self.propagate(tree.as_fd())?;
        builder.mounted(&self.dest, tree);
        Ok(())
    }

    fn propagate(&self, mount: BorrowedFd<'_>) -> Result<()> {
        self.options
            .propagation
            .iter()
            .try_for_each(|(kind, recursive)| api::set_propagation(mount, *kind, *recursive))
            .on(&self.dest)
    }
}

fn what(mount: &Mount, options: &Options, property: Property, bundle: &Path) -> Result<What> {
    let c_string = |text: &str, field| sys::c_string(text).map_err(|_| property.field(field).invalid("has a NUL byte"));
    let kind = mount.kind.as_deref().unwrap_or("");
    if options.remount {
        return Ok(What::Remount { bind: options.bind.is_some() || kind == "bind" });
    }
    if options.bind.is_some() || kind == "bind" {
        let source = mount.source.as_deref().filter(|source| !source.is_empty());
        let source = source.ok_or_else(|| property.field("source").invalid("a bind mount needs one"))?;
        let source =
            sys::c_path(&bundle.join(source)).map_err(|_| property.field("source").invalid("has a NUL byte"))?;
        return Ok(What::Bind { source, recursive: options.bind != Some(Bind::One) });
    }
    match kind {
        "" => Err(property.field("type").invalid("is missing, and options name no bind")),
        "cgroup" => Ok(What::Cgroup),
        _ => {
            let source = mount.source.as_deref().filter(|source| !source.is_empty());
            let source = source.map(|source| c_string(source, "source")).transpose()?;
            Ok(What::Fs { kind: c_string(kind, "type")?, source })
        }
    }
}

/// What shows the host's instance of a file system: a user namespace that does not own the network or
/// pid namespace may not mount sysfs or proc of it, but may look at the host's.
fn host_view(kind: &CStr) -> Option<&'static CStr> {
    match kind.to_bytes() {
        b"sysfs" => Some(c"/sys"),
        b"proc" => Some(c"/proc"),
        _ => None,
    }
}

/// A tree of the host's: the path is the configuration's, and looked up as the host sees it.
fn open_path(path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let fd = sys::path::open(path, OFlag::O_PATH).on(path.to_string_lossy())?;
    api::open_tree(fd.as_fd(), sys::EMPTY, recursive).on(path.to_string_lossy())
}

fn set(context: BorrowedFd<'_>, data: &Data) -> sys::Result<()> {
    match api::fsconfig_set(context, &data.key, data.value.as_deref()) {
        Err(sys::Error { errno: Errno::EINVAL, .. }) if data.hint => Ok(()),
        result => result,
    }
}

/// What the owner of a mount has locked cannot be cleared in a user namespace: it stays as it is
/// (mount_namespaces(7), MNT-74).
pub(super) fn change(mount: BorrowedFd<'_>, change: Change, recursive: bool) -> sys::Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    match api::mount_setattr(mount, change.set, change.clear, recursive) {
        Err(sys::Error { errno: Errno::EPERM, .. }) if !change.clear.is_empty() => {
            let set = change.set - Attr::ATIME;
            if set.is_empty() { Ok(()) } else { api::mount_setattr(mount, set, Attr::empty(), recursive) }
        }
        result => result,
    }
}

/// The failed step with the kernel's own words, which name the parameter it did not like.
fn explain(context: BorrowedFd<'_>, error: sys::Error, dest: &InRoot, kind: &CStr) -> Error {
    let error = error.on(format_args!("{dest} (type {})", kind.to_string_lossy()));
    match api::context_log(context) {
        Some(text) => error.kernel(text),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::config::Linux;

    fn compile(json: &str) -> Result<MountStep> {
        let none = Namespaces::compile(&Linux::default())?;
        MountStep::compile(0, &serde_json::from_str(json).unwrap(), Path::new("/bundle"), &none)
    }

    /// MNT-05, MNT-06
    #[test]
    fn binds_by_option_or_type() {
        for json in [
            r#"{"destination": "/a", "source": "data", "options": ["rbind"]}"#,
            r#"{"destination": "/a", "source": "data", "type": "bind"}"#,
        ] {
            let bind = What::Bind { source: c"/bundle/data".into(), recursive: true };
            assert_eq!(compile(json).unwrap().what, bind, "{json}");
        }
        let step = compile(r#"{"destination": "/a", "source": "/x", "type": "none", "options": ["bind"]}"#).unwrap();
        assert_eq!(step.what, What::Bind { source: c"/x".into(), recursive: false });
    }

    /// MNT-04, MNT-07
    #[test]
    fn file_systems_keep_their_source() {
        let step = compile(r#"{"destination": "dev/shm", "type": "tmpfs", "source": "shm"}"#).unwrap();
        assert_eq!(step.dest.as_str(), "/dev/shm");
        assert_eq!(step.what, What::Fs { kind: c"tmpfs".into(), source: Some(c"shm".into()) });
    }

    /// LNX-147
    #[test]
    fn labels_are_for_file_systems_without_their_own() {
        let contexts = |json| {
            let mut step = compile(json).unwrap();
            step.label(c"u:object_r:t:s0:c1,c2");
            let contexts = step.options.data.into_iter().filter(|data| data.key.to_bytes().ends_with(b"context"));
            contexts.map(|data| data.value.unwrap().into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(contexts(r#"{"destination": "/a", "type": "tmpfs"}"#), ["u:object_r:t:s0:c1,c2"]);
        for json in [
            r#"{"destination": "/a", "type": "proc"}"#,
            r#"{"destination": "/a", "type": "bind", "source": "/b"}"#,
            r#"{"destination": "/a", "type": "cgroup"}"#,
        ] {
            assert!(contexts(json).is_empty(), "{json}");
        }
        let own = r#"{"destination": "/a", "type": "tmpfs", "options": ["rootcontext=x"]}"#;
        assert_eq!(contexts(own), ["x"]);
    }

    #[test]
    fn refusals_name_the_field() {
        for (json, field) in [
            (r#"{"destination": ""}"#, "mounts[0].destination"),
            (r#"{"destination": "/a"}"#, "mounts[0].type"),
            (r#"{"destination": "/a", "options": ["bind"]}"#, "mounts[0].source"),
            (r#"{"destination": "/a", "type": "proc", "options": ["tmpcopyup"]}"#, "mounts[0].options"),
            (r#"{"destination": "/a", "source": "/b", "options": ["bind", "idmap"]}"#, "mounts[0].options"),
            (
                r#"{"destination": "/a", "source": "/b", "options": ["bind"], "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}"#,
                "mounts[0].uidMappings",
            ),
        ] {
            let error = compile(json).unwrap_err().to_string();
            assert!(error.starts_with(field), "{json}: {error}");
        }
    }
}
