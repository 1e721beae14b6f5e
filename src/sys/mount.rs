//! The mount API of descriptors: file systems and trees are made detached, get their attributes,
//! and only then a place (fsopen, fsconfig, fsmount, open_tree, mount_setattr, move_mount).
//!
//! Runs in: both · Linux 5.2, mount_setattr 5.12

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use bitflags::bitflags;
use nix::errno::Errno;

use super::{Call as _, EMPTY, Result, fd};

bitflags! {
    /// `MOUNT_ATTR_*`: attributes of one mount, as mount_setattr(2) sets and clears them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Attr: u64 {
        const RDONLY = 0x01;
        const NOSUID = 0x02;
        const NODEV = 0x04;
        const NOEXEC = 0x08;
        const ATIME = 0x70;
        const NOATIME = 0x10;
        const STRICTATIME = 0x20;
        const NODIRATIME = 0x80;
        const IDMAP = 0x0010_0000;
        const NOSYMFOLLOW = 0x0020_0000;
    }
}

/// How mounts and unmounts spread between a mount and its peers (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Propagation {
    Private = libc::MS_PRIVATE,
    Shared = libc::MS_SHARED,
    Slave = libc::MS_SLAVE,
    Unbindable = libc::MS_UNBINDABLE,
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

const AT_EMPTY_PATH: libc::c_uint = libc::AT_EMPTY_PATH as libc::c_uint;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSPICK_CLOEXEC: libc::c_uint = 1;
const FSPICK_EMPTY_PATH: libc::c_uint = 8;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const MOVE_MOUNT_FROM_EMPTY_PATH: libc::c_uint = 0x04;
const MOVE_MOUNT_TO_EMPTY_PATH: libc::c_uint = 0x40;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSCONFIG_CMD_RECONFIGURE: libc::c_uint = 7;

pub(crate) fn fsopen(kind: &CStr) -> Result<OwnedFd> {
    // SAFETY: a NUL-terminated name and a flag.
    fd::own(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }, "fsopen")
}

/// A context to reconfigure the file system (not the mount) that `mount` is on.
pub(crate) fn fspick(mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH;
    // SAFETY: an open descriptor and the empty, NUL-terminated path.
    fd::own(unsafe { libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), EMPTY.as_ptr(), flags) }, "fspick")
}

/// Sets a parameter: a string if there is a value, else a flag.
pub(crate) fn fsconfig_set(context: BorrowedFd<'_>, key: &CStr, value: Option<&CStr>) -> Result<()> {
    let (command, value) = match value {
        Some(value) => (FSCONFIG_SET_STRING, value.as_ptr()),
        None => (FSCONFIG_SET_FLAG, ptr::null()),
    };
    fsconfig(context, command, key.as_ptr(), value)
}

/// Makes the superblock, or finds the existing one.
pub(crate) fn fsconfig_create(context: BorrowedFd<'_>) -> Result<()> {
    fsconfig(context, FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())
}

pub(crate) fn fsconfig_reconfigure(context: BorrowedFd<'_>) -> Result<()> {
    fsconfig(context, FSCONFIG_CMD_RECONFIGURE, ptr::null(), ptr::null())
}

fn fsconfig(context: BorrowedFd<'_>, command: libc::c_uint, key: *const i8, value: *const i8) -> Result<()> {
    // SAFETY: key and value are null or NUL-terminated, as the command wants them, and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) };
    Errno::result(result).call("fsconfig").map(drop)
}

/// The mount of a made superblock, attached nowhere yet.
pub(crate) fn fsmount(context: BorrowedFd<'_>, attr: Attr) -> Result<OwnedFd> {
    // SAFETY: an open fs context and flags.
    let result =
        unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attr.bits() as libc::c_uint) };
    fd::own(result, "fsmount")
}

/// The kernel's own words on what went wrong in an fs context; each read gives one message.
pub(crate) fn context_log(context: BorrowedFd<'_>) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 512];
    while let Ok(length @ 1..) = nix::unistd::read(context, &mut buffer) {
        let message = String::from_utf8_lossy(&buffer[..length]);
        // "e overlay: ...": severity, then the message.
        let message = message.trim_end().trim_start_matches(['e', 'w', 'i']).trim_start();
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(message);
    }
    (!text.is_empty()).then_some(text)
}

/// A detached copy of the mount tree at `path` below `dir` (a bind mount without a place).
pub(crate) fn open_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: an open descriptor and a NUL-terminated path.
    fd::own(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) }, "open_tree")
}

/// Attaches a detached tree, or moves a mount, to what `target` refers to. No path is looked up.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    attach(tree, target, EMPTY, MOVE_MOUNT_TO_EMPTY_PATH)
}

/// The same to a name in a directory that nobody else can reach.
pub(crate) fn move_mount_at(tree: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    attach(tree, dir, name, 0)
}

fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>, name: &CStr, flags: libc::c_uint) -> Result<()> {
    let flags = flags | MOVE_MOUNT_FROM_EMPTY_PATH;
    let (from, to) = (tree.as_raw_fd(), target.as_raw_fd());
    // SAFETY: two open descriptors and NUL-terminated paths.
    let result = unsafe { libc::syscall(libc::SYS_move_mount, from, EMPTY.as_ptr(), to, name.as_ptr(), flags) };
    Errno::result(result).call("move_mount").map(drop)
}

/// Sets and clears attributes of a mount, or of its whole tree at once.
pub(crate) fn mount_setattr(mount: BorrowedFd<'_>, set: Attr, clear: Attr, recursive: bool) -> Result<()> {
    setattr(mount, recursive, &MountAttr { set: set.bits(), clear: clear.bits(), ..MountAttr::default() })
}

/// Sets attributes of a mount tree, to which nothing spreads from now on.
pub(crate) fn make_private(mount: BorrowedFd<'_>, set: Attr) -> Result<()> {
    let propagation = Propagation::Private as u64;
    setattr(mount, true, &MountAttr { set: set.bits(), propagation, ..MountAttr::default() })
}

/// Maps the owners of all files below the mount as the user namespace does.
pub(crate) fn mount_idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let userns = userns.as_raw_fd() as u64;
    setattr(mount, recursive, &MountAttr { set: Attr::IDMAP.bits(), userns, ..MountAttr::default() })
}

pub(crate) fn set_propagation(mount: BorrowedFd<'_>, propagation: Propagation, recursive: bool) -> Result<()> {
    setattr(mount, recursive, &MountAttr { propagation: propagation as u64, ..MountAttr::default() })
}

fn setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> Result<()> {
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` has the kernel's layout and the size passed with it, and outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            EMPTY.as_ptr(),
            flags,
            ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).call("mount_setattr").map(drop)
}

/// Makes the current directory the root, with the old root stacked on top of it
/// (pivot_root(2), "pivot_root(\".\", \".\")").
pub(crate) fn pivot_root_here() -> Result<()> {
    nix::unistd::pivot_root(c".", c".").call("pivot_root")
}

/// Unmounts what lies on top of the current directory, with all below it.
pub(crate) fn detach_here() -> Result<()> {
    nix::mount::umount2(c".", nix::mount::MntFlags::MNT_DETACH).call("umount2")
}

pub(crate) fn chroot_here() -> Result<()> {
    nix::unistd::chroot(c".").call("chroot")
}
