//! A root file system of shared layers: annotations `org.orlop.overlay.*` to an overlay at root.path.
//!
//! Runs in: parent (compile, prepare), init (mount) · docs/overlay.md, Documentation/filesystems/overlayfs.rst
//!
//! The overlay is mounted by init in the container's own mount namespace: the host never sees it, and it
//! goes with the container. The layers are first attached below a small tmpfs and named by their place
//! there, so no path of the host is walked with the container's ids, none needs escaping, and lower
//! directories can be idmapped: one stored copy serves every mapping.

mod annotations;
pub(crate) mod changes;
mod lower;

use std::ffi::{CStr, CString};
use std::fmt::{self, Display};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::FileStat;

use crate::error::{For as _, On as _, Result};
use crate::namespace::{Joined, Namespaces};
use crate::sys::mount::{self as api, Attr, Propagation};
use crate::sys::{self, Call as _, path};

use super::idmap::Idmap;
use super::mount::What;
pub(crate) use annotations::{ANNOTATIONS, LOWER, PREFIX, UPPER, changes_of};
use annotations::{SIZE, WORK, annotation};
pub(crate) use changes::Changes;
pub(crate) use lower::{Lower, join, split};

/// Longer strings fsconfig(2) does not take.
const LONGEST_VALUE: usize = 255;

/// The state directory's part: upper and work directory of a container that names none.
pub(crate) const STATE: &str = "overlay";

/// The root's place in the state directory, if root.path is empty.
pub(crate) const MOUNT_POINT: &str = "rootfs";

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) lower: Lower,
    upper: Option<Upper>,
    options: Vec<(CString, Option<CString>)>,
    /// Lower directories get the ids of the container's user namespace.
    idmap: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Upper {
    /// In memory, gone with the container.
    Tmpfs { size: Option<CString> },
    /// In the state directory, gone with `delete`.
    State,
    /// The caller's, who keeps it.
    Kept { upper: PathBuf, work: PathBuf },
}

/// What the parent has made and opened.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Detached; empty where init can open them itself.
    lower: Vec<OwnedFd>,
    writable: Option<Writable>,
}

/// One directory that holds both, because overlayfs wants them on one mount.
#[derive(Debug)]
struct Writable {
    dir: PathBuf,
    tree: Option<OwnedFd>,
    upper: PathBuf,
    work: PathBuf,
}

/// For `explain`.
impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upper = match &self.upper {
            None => "read-only".to_owned(),
            Some(Upper::Tmpfs { .. }) => "writable in memory".to_owned(),
            Some(Upper::State) => "writable in the state directory".to_owned(),
            Some(Upper::Kept { upper, .. }) => format!("writable in {}", upper.display()),
        };
        let lower: Vec<_> = self.lower.dirs.iter().map(|dir| dir.display().to_string()).collect();
        write!(f, "prepare an overlay of {}, {upper}", lower.join(", "))
    }
}

impl Plan {
    /// Not a container's: for `build`, which mounts layers itself. The topmost first; upper and work directory.
    pub(crate) fn of_layers(lower: &[PathBuf], writable: Option<(PathBuf, PathBuf)>) -> Self {
        let upper = writable.map(|(upper, work)| Upper::Kept { upper, work });
        Self { lower: Lower::of(lower.to_vec()), upper, options: Vec::new(), idmap: false }
    }

    /// Parent: makes the directories to write to, and with `for_init` opens everything that init could
    /// not reach, or not map, with its own ids.
    pub(crate) fn prepare(
        &self,
        state: &Path,
        for_init: bool,
        namespaces: &Namespaces,
        joined: &[Joined],
    ) -> Result<Layers> {
        let lower = if for_init { self.open_lower(namespaces, joined)? } else { Vec::new() };
        let (upper, work) = match &self.upper {
            None | Some(Upper::Tmpfs { .. }) => return Ok(Layers { lower, writable: None }),
            Some(Upper::State) => {
                let state = state.join(STATE);
                // Searched with the container's ids; nobody else comes here, the directory above is ours.
                make(&state, 0o711).property(annotation(UPPER))?;
                (state.join("upper"), state.join("work"))
            }
            Some(Upper::Kept { upper, work }) => (upper.clone(), work.clone()),
        };
        // Through an idmapped tree the owner already is the one the container's id stands for.
        let look = match lower.first() {
            Some(tree) => sys::fd::fstat(tree.as_fd()),
            None => nix::sys::stat::stat(&self.lower.dirs[0]).call("stat"),
        };
        let look = look.on(self.lower.dirs[0].display()).property(self.lower.property)?;
        make_like(&upper, look.st_mode & 0o7777, &look).property(annotation(UPPER))?;
        make_like(&work, 0o700, &look).property(annotation(WORK))?;
        let mut writable = Writable::new(&upper, &work)?;
        if for_init {
            writable.tree = Some(open_detached(&writable.dir).property(annotation(UPPER))?);
        }
        Ok(Layers { lower, writable: Some(writable) })
    }

    /// Detached, and with the container's ids if they are to have them.
    fn open_lower(&self, namespaces: &Namespaces, joined: &[Joined]) -> Result<Vec<OwnedFd>> {
        let ids = Idmap::of_container(self.lower.property);
        // One for all: it takes a process to make it.
        let user = if self.idmap { Some(ids.user_namespace(namespaces, joined)?) } else { None };
        let open = |dir: &PathBuf| {
            let tree = open_detached(dir).property(self.lower.property)?;
            if let Some(user) = &user {
                let what = What::Bind { source: sys::c_path(dir)?, recursive: false };
                ids.map(tree.as_fd(), &what, user.as_fd())?;
            }
            Ok(tree)
        };
        self.lower.dirs.iter().map(open).collect()
    }

    /// Init: the overlay as a detached tree. `here` is where the root is going to be.
    pub(crate) fn mount(&self, layers: Layers, here: BorrowedFd<'_>) -> Result<OwnedFd> {
        let stage = self.stage()?;
        api::move_mount(stage.as_fd(), here).on("tmpfs for the layers")?;
        path::fchdir(stage.as_fd()).on("tmpfs for the layers")?;
        let tree = self.mount_on_stage(layers, stage.as_fd());
        // The overlay has taken clones of its own of what is attached there.
        path::fchdir(stage.as_fd()).and_then(|()| api::detach_here()).on("tmpfs for the layers")?;
        path::fchdir(here).on("root.path")?;
        tree
    }

    fn stage(&self) -> Result<OwnedFd> {
        let context = api::fsopen(c"tmpfs").on("tmpfs for the layers")?;
        if let Some(Upper::Tmpfs { size: Some(size) }) = &self.upper {
            let set = api::fsconfig_set(context.as_fd(), c"size", Some(size));
            set.on(size.to_string_lossy()).property(annotation(SIZE))?;
        }
        api::fsconfig_set(context.as_fd(), c"mode", Some(c"0700"))
            .and_then(|()| api::fsconfig_create(context.as_fd()))
            .and_then(|()| api::fsmount(context.as_fd(), Attr::NOSUID | Attr::NODEV))
            .on("tmpfs for the layers")
    }

    fn mount_on_stage(&self, layers: Layers, stage: BorrowedFd<'_>) -> Result<OwnedFd> {
        let mut trees = layers.lower;
        if trees.is_empty() {
            let opened = self.lower.dirs.iter().map(|dir| open_detached(dir));
            trees = opened.collect::<Result<_>>().property(self.lower.property)?;
        }
        let mut names = Vec::with_capacity(trees.len());
        for (index, (dir, tree)) in self.lower.dirs.iter().zip(&trees).enumerate() {
            let name = sys::c_string(index.to_string())?;
            attach(stage, &name, tree.as_fd()).on(dir.display()).property(self.lower.property)?;
            names.push(name);
        }
        let writable = self.attach_writable(layers.writable, stage, trees[0].as_fd())?;
        match (trees.as_slice(), &writable) {
            ([alone], None) => read_only(alone.as_fd()).on("lower directory"),
            _ => self.overlay(&names, writable),
        }
    }

    /// The names of upper and work directory on the stage.
    fn attach_writable(
        &self,
        prepared: Option<Writable>,
        stage: BorrowedFd<'_>,
        top: BorrowedFd<'_>,
    ) -> Result<Option<(CString, CString)>> {
        let Some(prepared) = prepared else {
            return match self.upper {
                Some(Upper::Tmpfs { .. }) => upper_on_stage(stage, top).on("upper directory in memory"),
                _ => Ok(None),
            };
        };
        let tree = match prepared.tree {
            Some(tree) => tree,
            None => open_detached(&prepared.dir).property(annotation(UPPER))?,
        };
        attach(stage, c"rw", tree.as_fd()).on(prepared.dir.display()).property(annotation(UPPER))?;
        let name = |below: &Path| sys::c_path(&Path::new("rw").join(below));
        Ok(Some((name(&prepared.upper)?, name(&prepared.work)?)))
    }

    fn overlay(&self, lower: &[CString], writable: Option<(CString, CString)>) -> Result<OwnedFd> {
        let context = api::fsopen(c"overlay").on("root.path (type overlay)")?;
        let configure = || -> sys::Result<OwnedFd> {
            let context = context.as_fd();
            api::fsconfig_set(context, c"source", Some(c"overlay"))?;
            set_lower(context, lower)?;
            if let Some((upper, work)) = &writable {
                api::fsconfig_set(context, c"upperdir", Some(upper))?;
                api::fsconfig_set(context, c"workdir", Some(work))?;
            }
            for (key, value) in &self.options {
                api::fsconfig_set(context, key, value.as_deref())?;
            }
            api::fsconfig_create(context)?;
            api::fsmount(context, Attr::empty())
        };
        configure().map_err(|error| match api::context_log(context.as_fd()) {
            Some(text) => error.on("root.path (type overlay)").kernel(text),
            None => error.on("root.path (type overlay)"),
        })
    }
}

impl Writable {
    fn new(upper: &Path, work: &Path) -> Result<Self> {
        let real = |path: &Path| std::fs::canonicalize(path).call("realpath").on(path.display());
        let (upper, work) = (real(upper).property(annotation(UPPER))?, real(work).property(annotation(WORK))?);
        let dir: PathBuf =
            upper.components().zip(work.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
        let below = |path: &Path| path.strip_prefix(&dir).unwrap_or(path).to_owned();
        Ok(Self { upper: below(&upper), work: below(&work), dir, tree: None })
    }
}

/// A directory as a tree of its own, which neither gives mounts to the host nor gets any.
fn open_detached(dir: &Path) -> Result<OwnedFd> {
    let path = sys::c_path(dir).on(dir.display())?;
    let fd = sys::path::open(&path, OFlag::O_PATH | OFlag::O_DIRECTORY).on(dir.display())?;
    let tree = api::open_tree(fd.as_fd(), sys::EMPTY, false).on(dir.display())?;
    api::set_propagation(tree.as_fd(), Propagation::Private, false).on(dir.display())?;
    Ok(tree)
}

fn attach(stage: BorrowedFd<'_>, name: &CStr, tree: BorrowedFd<'_>) -> sys::Result<()> {
    path::mkdirat(stage, name, 0o700)?;
    let point = path::openat(stage, name, OFlag::O_PATH | OFlag::O_DIRECTORY, 0)?;
    api::move_mount(tree, point.as_fd())
}

/// A single layer without an upper directory is its own merge; overlayfs refuses it.
fn read_only(layer: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    let tree = api::open_tree(layer, sys::EMPTY, false)?;
    api::mount_setattr(tree.as_fd(), Attr::RDONLY, Attr::empty(), false)?;
    Ok(tree)
}

/// An upper directory next to the layers, in memory; it looks like the one that it covers.
fn upper_on_stage(stage: BorrowedFd<'_>, top: BorrowedFd<'_>) -> sys::Result<Option<(CString, CString)>> {
    let look = sys::fd::fstat(top)?;
    path::mkdirat(stage, c"work", 0o700)?;
    path::mkdirat(stage, c"upper", look.st_mode & 0o7777)?;
    let upper = path::openat(stage, c"upper", OFlag::O_PATH | OFlag::O_DIRECTORY, 0)?;
    path::chown(upper.as_fd(), look.st_uid, look.st_gid)?;
    Ok(Some((c"upper".into(), c"work".into())))
}

/// One by one since Linux 6.8; before that as one string, whose length bounds the number of layers.
fn set_lower(context: BorrowedFd<'_>, names: &[CString]) -> sys::Result<()> {
    let mut names = names.iter();
    for name in names.by_ref() {
        match api::fsconfig_set(context, c"lowerdir+", Some(name)) {
            // Only the first can tell that the kernel does not know the option.
            Err(sys::Error { errno: Errno::EINVAL, .. }) if name.as_c_str() == c"0" => break,
            result => result?,
        }
    }
    let rest: Vec<&[u8]> = names.map(|name| name.to_bytes()).collect();
    if rest.is_empty() {
        return Ok(());
    }
    let joined = [&[b"0".as_slice()], rest.as_slice()].concat().join(&b':');
    if joined.len() > LONGEST_VALUE {
        return Err(sys::Error { call: "fsconfig (lowerdir)", errno: Errno::E2BIG });
    }
    api::fsconfig_set(context, c"lowerdir", Some(&sys::c_string(joined)?))
}

fn make(dir: &Path, mode: u32) -> Result<bool> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().mode(mode).create(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        made => made.call("mkdir").on(dir.display()).map(|()| true),
    }
}

/// A new directory for what the container writes, with the owner of what it covers; without
/// privileges the owner is the caller, as everywhere.
fn make_like(dir: &Path, mode: u32, look: &FileStat) -> Result<()> {
    if make(dir, mode)? && nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(dir, Some(look.st_uid), Some(look.st_gid)).call("chown").on(dir.display())?;
    }
    Ok(())
}
