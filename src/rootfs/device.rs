//! Device nodes and links of /dev: the defaults of every container, and linux.devices.
//!
//! Runs in: parent (compile), init (apply) · config-linux.md#devices, #default-devices,
//! runtime-linux.md#dev-symbolic-links, LNX-22…LNX-30, RT-58

use std::ffi::CString;
use std::fmt::{self, Display};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, major, makedev, minor};
use oci_spec::runtime::LinuxDeviceType;

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::spec::config::Device;
use crate::sys::mount as api;
use crate::sys::{self, path};

use super::resolve::{self, InRoot};
use super::root::Builder;

/// A node to be there, whether made here or found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(super) property: Property,
    path: InRoot,
    kind: SFlag,
    device: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// For `explain`.
impl Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SFlag::S_IFBLK => 'b',
            SFlag::S_IFIFO => 'p',
            _ => 'c',
        };
        let (major, minor) = (major(self.device), minor(self.device));
        write!(f, "mknod({}, {kind} {major}:{minor}, {:04o})", self.path, self.mode)
    }
}

/// The devices every container has (major 1: mem, 5: tty).
const DEFAULTS: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// The kernel's MAJOR and MINOR are 12 and 20 bits wide.
const HIGHEST_MAJOR: u32 = 0xfff;
const HIGHEST_MINOR: u32 = 0xf_ffff;

/// `linux.devices`, with the defaults it does not name before it.
pub(crate) fn compile(devices: &[Device]) -> Result<Vec<Node>> {
    let listed: Vec<Node> = devices.iter().enumerate().map(|(i, device)| node(i, device)).collect::<Result<_>>()?;
    let mut nodes = Vec::new();
    for (name, major, minor) in DEFAULTS {
        let property = Property::of("default devices");
        let path = InRoot::new(&format!("/dev/{name}"), property)?;
        if !listed.iter().any(|node| node.path == path) {
            nodes.push(Node {
                property,
                path,
                kind: SFlag::S_IFCHR,
                device: makedev(major, minor),
                mode: 0o666,
                uid: 0,
                gid: 0,
            });
        }
    }
    nodes.extend(listed);
    Ok(nodes)
}

fn node(index: usize, device: &Device) -> Result<Node> {
    let property = Property::at("linux.devices", index);
    let kind = match device.kind {
        LinuxDeviceType::C | LinuxDeviceType::U => SFlag::S_IFCHR,
        LinuxDeviceType::B => SFlag::S_IFBLK,
        LinuxDeviceType::P => SFlag::S_IFIFO,
        LinuxDeviceType::A => return Err(property.field("type").invalid("a node is of type c, b, u or p")),
    };
    if !device.path.starts_with('/') {
        return Err(property.field("path").invalid(format!("{:?} is not absolute", device.path)));
    }
    let number = |value: Option<u32>, most: u32, field| match value {
        None => Err(property.field(field).invalid("is missing")),
        // The kernel would drop the bits above, and make another device.
        Some(number) if number > most => Err(property.field(field).invalid(format!("{number} is above {most}"))),
        Some(number) => Ok(u64::from(number)),
    };
    // A FIFO has no numbers, and ignores those given.
    let device_number = if kind == SFlag::S_IFIFO {
        0
    } else {
        makedev(number(device.major, HIGHEST_MAJOR, "major")?, number(device.minor, HIGHEST_MINOR, "minor")?)
    };
    // podman writes the mode as stat(2) gives it, with the type of the file.
    let mode = match device.file_mode.unwrap_or(0o666) {
        mode if mode & SFlag::S_IFMT.bits() == kind.bits() => mode & !SFlag::S_IFMT.bits(),
        mode => mode,
    };
    if mode & !0o777 != 0 {
        return Err(property.field("fileMode").invalid(format!("{mode:#o} is more than permission bits")));
    }
    let path = InRoot::new(&device.path, property.field("path"))?;
    if path.is_root() {
        return Err(property.field("path").invalid(format!("{:?} has no name", device.path)));
    }
    let id = |value: Option<u32>, field| match value.unwrap_or(0) {
        // (uid_t)-1 means "leave unchanged" to chown(2).
        u32::MAX => Err(property.field(field).invalid(format!("{} is not an id", u32::MAX))),
        id => Ok(id),
    };
    Ok(Node {
        property,
        path,
        kind,
        device: device_number,
        mode,
        uid: id(device.uid, "uid")?,
        gid: id(device.gid, "gid")?,
    })
}

/// Makes all of them.
pub(crate) fn apply(nodes: &[Node], builder: &Builder<'_>) -> Result<()> {
    let mut place = Place(None);
    nodes.iter().try_for_each(|node| node.make(&mut place, builder).property(node.property))
}

/// The directory of the last node, which as a rule is that of the next.
struct Place(Option<(InRoot, OwnedFd)>);

impl Place {
    fn of(&mut self, path: &InRoot, builder: &Builder<'_>) -> Result<(BorrowedFd<'_>, CString)> {
        let missing = sys::Error { call: "mknodat", errno: Errno::EISDIR };
        let (parent, name) = path.split().ok_or_else(|| missing.on(path))?;
        let last = self.0.take().filter(|(last, _)| *last == parent);
        let dir = match last {
            Some((_, dir)) => dir,
            None => builder.root().ensure_dir(&parent, 0o755)?,
        };
        let (_, dir) = self.0.insert((parent, dir));
        Ok(((*dir).as_fd(), name))
    }
}

impl Node {
    fn make(&self, place: &mut Place, builder: &Builder<'_>) -> Result<()> {
        let (parent, name) = place.of(&self.path, builder)?;
        match path::mknodat(parent, &name, self.kind, self.mode, self.device) {
            Ok(()) if (self.uid, self.gid) == (0, 0) => Ok(()),
            Ok(()) => {
                // Where somebody else may write, it may have become another one.
                let node = self.verify(parent, &name)?;
                path::chown(node.as_fd(), self.uid, self.gid).on(&self.path)
            }
            Err(sys::Error { errno: Errno::EEXIST, .. }) => self.verify(parent, &name).map(drop),
            // No user namespace but the first may make devices: borrow the host's.
            Err(sys::Error { errno: Errno::EPERM, .. }) if self.kind != SFlag::S_IFIFO => self.borrow(parent, &name),
            Err(error) => Err(error.on(&self.path)),
        }
    }

    /// LNX-25: what exists has to be what was asked for.
    fn verify(&self, parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd> {
        let fd = path::openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0).on(&self.path)?;
        if self.is(fd.as_fd()).on(&self.path)? {
            return Ok(fd);
        }
        Err(Error::other(format!("{}: {} exists and is another kind of file or device", self.property, self.path)))
    }

    fn is(&self, fd: BorrowedFd<'_>) -> sys::Result<bool> {
        let stat = sys::fd::fstat(fd)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        Ok(kind == self.kind && (kind == SFlag::S_IFIFO || stat.st_rdev == self.device))
    }

    fn borrow(&self, parent: BorrowedFd<'_>, name: &CString) -> Result<()> {
        let host = sys::c_string(self.path.as_str()).on(&self.path)?;
        let node =
            path::open(&host, OFlag::O_PATH | OFlag::O_NOFOLLOW).on(format_args!("{} of the host", self.path))?;
        if !self.is(node.as_fd()).on(&self.path)? {
            return Err(Error::other(format!("{}: the host's {} is another device", self.property, self.path)));
        }
        let tree = api::open_tree(node.as_fd(), sys::EMPTY, false).on(&self.path)?;
        let target = resolve::make_file(parent, name, 0o644).on(&self.path)?;
        api::move_mount(tree.as_fd(), target.as_fd()).on(&self.path)
    }
}

/// The links of /dev, each only if what it points to is there (RT-58), and `ptmx`.
pub(crate) fn links(builder: &Builder<'_>) -> Result<()> {
    let dev_path = InRoot::new("/dev", Property::of("mounts"))?;
    let dev = builder.root().ensure_dir(&dev_path, 0o755)?;
    let own_fds = InRoot::new("/proc/self/fd", Property::of("mounts"))?;
    let found = match builder.root().find_plain(&own_fds) {
        Err(error)
            if matches!(error.errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOSPC | Errno::EIO) =>
        {
            return Err(error.on(&own_fds));
        }
        // Where /proc is a link or has no such thing, so has the container.
        found => matches!(found, Ok(Some(_))),
    };
    if found {
        for (target, name) in [
            (c"/proc/self/fd", c"fd"),
            (c"/proc/self/fd/0", c"stdin"),
            (c"/proc/self/fd/1", c"stdout"),
            (c"/proc/self/fd/2", c"stderr"),
        ] {
            link(dev.as_fd(), target, name)?;
        }
    }
    ptmx(dev.as_fd()).on("/dev/ptmx")
}

/// Whatever else is there is of another instance of devpts than /dev/pts, and goes.
fn ptmx(dev: BorrowedFd<'_>) -> sys::Result<()> {
    let (name, target) = (c"ptmx", c"pts/ptmx");
    match path::symlinkat(target, dev, name) {
        Err(sys::Error { errno: Errno::EEXIST, .. }) => {}
        result => return result,
    }
    if path::readlinkat(dev, name).is_ok_and(|found| found.as_os_str() == "pts/ptmx") {
        return Ok(());
    }
    path::unlinkat(dev, name)?;
    path::symlinkat(target, dev, name)
}

fn link(dev: BorrowedFd<'_>, target: &std::ffi::CStr, name: &std::ffi::CStr) -> Result<()> {
    match path::symlinkat(target, dev, name) {
        Ok(()) | Err(sys::Error { errno: Errno::EEXIST, .. }) => Ok(()),
        Err(error) => Err(error.on(format_args!("/dev/{}", name.to_string_lossy()))),
    }
}

/// Puts the container's terminal onto /dev/console, which is made anew or has to be a plain file
/// or device of the image's (CVE-2025-52565, CVE-2026-88264).
pub(crate) fn console(builder: &Builder<'_>, terminal: BorrowedFd<'_>) -> Result<()> {
    let console = "/dev/console";
    let (parent, name) = builder.root().ensure_parent(&InRoot::new(console, Property::of("process.terminal"))?)?;
    let target = match resolve::make_file(parent.as_fd(), &name, 0o600) {
        Err(sys::Error { errno: Errno::EEXIST, .. }) => {
            path::openat(parent.as_fd(), &name, OFlag::O_PATH | OFlag::O_NOFOLLOW, 0).on(console)?
        }
        made => made.on(console)?,
    };
    let kind = resolve::file_type(target.as_fd()).on(console)?;
    if kind != SFlag::S_IFREG && kind != SFlag::S_IFCHR {
        return Err(Error::other(format!("process.terminal: {console} is neither a file nor a device")));
    }
    let tree = api::open_tree(terminal, sys::EMPTY, false).on(console)?;
    api::move_mount(tree.as_fd(), target.as_fd()).on(console)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile_json(json: &str) -> Result<Vec<Node>> {
        compile(&serde_json::from_str::<Vec<Device>>(json).unwrap())
    }

    #[test]
    fn the_defaults_are_always_there() {
        let nodes = compile_json("[]").unwrap();
        assert_eq!(nodes.len(), 6);
        assert_eq!((nodes[0].path.as_str(), nodes[0].device, nodes[0].mode), ("/dev/null", makedev(1, 3), 0o666));
    }

    #[test]
    fn a_listed_device_replaces_its_default() {
        let json =
            r#"[{"type": "c", "path": "/dev/tty", "major": 5, "minor": 0, "fileMode": 384, "uid": 7, "gid": 8}]"#;
        let nodes = compile_json(json).unwrap();
        assert_eq!(nodes.len(), 6);
        let tty = nodes.last().unwrap();
        assert_eq!((tty.path.as_str(), tty.mode, tty.uid, tty.gid), ("/dev/tty", 0o600, 7, 8));
    }

    /// LNX-22…LNX-28
    #[test]
    fn refusals_name_the_field() {
        for (json, field) in [
            (r#"[{"type": "c", "path": "/dev/x", "minor": 1}]"#, "linux.devices[0].major"),
            (r#"[{"type": "b", "path": "/dev/x", "major": 1}]"#, "linux.devices[0].minor"),
            (r#"[{"type": "c", "path": "dev/x", "major": 1, "minor": 1}]"#, "linux.devices[0].path"),
            (r#"[{"type": "a", "path": "/dev/x", "major": 1, "minor": 1}]"#, "linux.devices[0].type"),
            (r#"[{"type": "p", "path": "/dev/x", "fileMode": 2541}]"#, "linux.devices[0].fileMode"),
            (r#"[{"type": "c", "path": "/dev/x", "major": 4096, "minor": 1}]"#, "linux.devices[0].major"),
            (r#"[{"type": "c", "path": "/dev/x", "major": 1, "minor": 1048576}]"#, "linux.devices[0].minor"),
            (r#"[{"type": "p", "path": "/dev/..", "uid": 0}]"#, "linux.devices[0].path"),
            (r#"[{"type": "p", "path": "/dev/x", "uid": 4294967295}]"#, "linux.devices[0].uid"),
            (r#"[{"type": "p", "path": "/dev/x", "gid": 4294967295}]"#, "linux.devices[0].gid"),
        ] {
            let error = compile_json(json).unwrap_err().to_string();
            assert!(error.starts_with(field), "{json}: {error}");
        }
        assert!(compile_json(r#"[{"type": "p", "path": "/dev/x"}]"#).is_ok());
    }
}
