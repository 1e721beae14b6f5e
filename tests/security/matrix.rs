//! The recurring class: something that the runtime looks up is not what it is taken for.
//!
//! Every object that a runtime looks up in a container's tree, as every kind of thing that it is not meant
//! to be, in every context; prepared, and exchanged while the container is made. A container may be made
//! or be refused, and either way the host stays as it was, nothing is left, and what runs is confined.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::{Canary, Exchanger, uncover_dev};
use crate::harness::host::HostMount;
use crate::harness::runtime::is_orlop;
use crate::harness::tty::ConsoleSocket;
use crate::harness::{Bundle, Output, json};

/// What is looked up in every container; those of /dev count where no mount covers it.
const OBJECTS: [&str; 12] = [
    "proc",
    "sys",
    "etc",
    "etc/resolv.conf",
    "work/directory",
    "parent",
    "parent/point",
    "devices",
    "devices/one",
    "masked",
    "readonly",
    "copied",
];

const OBJECTS_OF_DEV: [&str; 11] = [
    "dev",
    "dev/null",
    "dev/zero",
    "dev/tty",
    "dev/console",
    "dev/pts",
    "dev/pts/ptmx",
    "dev/ptmx",
    "dev/shm",
    "dev/mqueue",
    "dev/fd",
];

/// What they are instead. (autofs would need a daemon of the host's that mounts what the image asks for.)
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A link: `{}` stands for a path of the canary.
    Link(&'static str),
    Fifo,
    File,
    Device,
    Directory,
    Mount,
}

const KINDS: [Kind; 12] = [
    Kind::Link("{}/file"),
    Kind::Link("{}/directory"),
    Kind::Link("../../../../../../../../../../../..{}/file"),
    Kind::Link("/proc/self/root{}/directory"),
    Kind::Link("/proc/1/root{}/file"),
    Kind::Link("/proc/self/fd/5"),
    Kind::Link("{}/missing"),
    Kind::Fifo,
    Kind::File,
    Kind::Device,
    Kind::Directory,
    Kind::Mount,
];

#[derive(Clone, Copy, Debug, Default)]
struct Context {
    dev_is_the_images: bool,
    terminal: bool,
    readonly: bool,
    user_namespace: bool,
    shared: bool,
    /// The container is there already, and the object changes before `exec`.
    exec: bool,
}

/// Tells what a container that has come to be sees or changes that it must not.
const FILES: &str = "\
    for file in /proc/version /masked /masked/secret; do head -c 9 $file; done; \
    touch /readonly/made && echo writable;";

/// Tells what a process has that it must not have.
const PROCESS: &str = "\
    for fd in /proc/self/fd/*; do [ ${fd##*/} -gt 3 ] && [ -d $fd ] && echo open $fd; done; \
    grep CapInh: /proc/self/status | grep -v 0000000000000000; \
    case $(pwd) in /*) ;; *) pwd ;; esac; exit 0";

struct Case {
    /// Before the bundle: nothing may be left when that goes.
    shared: Option<HostMount>,
    bundle: Bundle,
    canary: Canary,
    context: Context,
    parameters: BTreeMap<&'static str, String>,
}

impl Case {
    fn new(context: Context) -> Self {
        let mut bundle = Bundle::new();
        let canary = Canary::new(&bundle);
        let root = bundle.rootfs("");
        let shared = context.shared.then(|| HostMount::on_itself(&root, MsFlags::MS_SHARED));
        if context.dev_is_the_images {
            uncover_dev(&mut bundle);
        }
        if context.dev_is_the_images && context.terminal {
            bundle.mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666"]);
        }
        bundle.mount("/etc/resolv.conf", "bind", "/etc/hosts", &["bind", "ro"]);
        bundle.mount("/parent/point", "tmpfs", "tmpfs", &[]);
        bundle.mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup"]);
        bundle.mount("/dev/shm", "tmpfs", "shm", &["nosuid"]).mount("/dev/mqueue", "mqueue", "mqueue", &[]);
        bundle.push("/linux/devices", json!({"type": "p", "path": "/devices/one", "uid": 7, "gid": 7}));
        bundle.set("/linux/maskedPaths", json!(["/proc/version", "/masked"]));
        bundle.set("/linux/readonlyPaths", json!(["/readonly"]));
        bundle.set("/process/cwd", json!("/work/directory"));
        bundle.set("/process/terminal", json!(context.terminal && !context.exec));
        bundle.set("/root/readonly", json!(context.readonly));
        if context.user_namespace {
            bundle.user_namespace(100_000, 65_536);
        }
        bundle.script(&if context.exec { "exec sleep 1000".to_owned() } else { format!("{FILES} {PROCESS}") });
        bundle.write();
        let case = Self { shared, parameters: parameters(), bundle, canary, context };
        OBJECTS.iter().for_each(|object| case.prepare(object));
        case
    }

    /// The object as it should be, where it should be.
    fn prepare(&self, object: &str) {
        let path = self.bundle.rootfs(object);
        if matches!(object, "etc/resolv.conf" | "devices/one" | "dev/null" | "dev/console") {
            return;
        }
        let _ = fs::create_dir_all(&path);
        if self.context.user_namespace {
            chown(&path, Some(100_000), Some(100_000)).unwrap();
        }
        if object == "masked" {
            fs::write(path.join("secret"), "secret").unwrap();
        }
    }

    /// Puts what it is instead in its place; gone with the value.
    fn replace(&self, object: &str, kind: Kind) -> Replaced {
        let path = self.bundle.rootfs(object);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let aside = self.bundle.rootfs("aside");
        let had = fs::rename(&path, &aside).is_ok();
        let mount = self.make(&path, kind);
        Replaced { path, aside: had.then_some(aside), _mount: mount }
    }

    fn make(&self, path: &Path, kind: Kind) -> Option<HostMount> {
        let all = Mode::from_bits_truncate(0o666);
        match kind {
            Kind::Link(to) => symlink(to.replace("{}", self.canary.dir.to_str().unwrap()), path).unwrap(),
            Kind::Fifo => nix::unistd::mkfifo(path, all).unwrap(),
            Kind::File => fs::write(path, "image").unwrap(),
            Kind::Device => mknod(path, SFlag::S_IFCHR, all, makedev(1, 5)).unwrap(),
            Kind::Directory => fs::create_dir(path).unwrap(),
            Kind::Mount => return Some(HostMount::tmpfs(path, MsFlags::empty(), MsFlags::MS_PRIVATE)),
        }
        None
    }

    fn run(&self) -> Output {
        let socket = self.bundle.file("console.sock");
        if !self.context.terminal && is_orlop() {
            // Its cgroups take longer than all the rest, and are of no interest here.
            let bundle = self.bundle.dir.to_str().unwrap();
            let args = ["--cgroup-manager", "disabled", "run", "--bundle", bundle, &self.bundle.id];
            return self.bundle.command(&args);
        }
        if !self.context.terminal {
            return self.bundle.run();
        }
        let _ = fs::remove_file(&socket);
        let socket = ConsoleSocket::new(socket);
        let flags = ["--console-socket", socket.path.to_str().unwrap()];
        super::create_and_delete(&self.bundle, &flags)
    }

    #[track_caller]
    fn judge(&self, output: &Output, what: &str) {
        self.canary.assert_unharmed(what);
        assert_eq!(parameters(), self.parameters, "{what}");
        if output.code == 0 {
            // A tmpfs on / that is no one's, or a device that has no end, is no secret.
            let told: String = output.stdout.chars().filter(|letter| *letter != '\0').collect();
            let told = told.replace("image", "");
            assert_eq!(told, "", "{what}");
        } else {
            assert!(!output.stderr.trim().is_empty(), "{what}: failed without a message");
            assert!(output.code != 139 && !output.stderr.contains("panicked"), "{what}: {output:?}");
        }
    }
}

/// Kernel parameters that published attacks have changed.
fn parameters() -> BTreeMap<&'static str, String> {
    let paths = ["kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/sysrq", "vm/overcommit_memory"];
    let read = |path| Some((path, fs::read_to_string(format!("/proc/sys/{path}")).ok()?));
    paths.into_iter().filter_map(read).collect()
}

struct Replaced {
    path: PathBuf,
    aside: Option<PathBuf>,
    _mount: Option<HostMount>,
}

impl Drop for Replaced {
    fn drop(&mut self) {
        self._mount = None;
        let _ = fs::remove_file(&self.path);
        // In an image's directory the runtime may have made something.
        let _ = fs::remove_dir_all(&self.path);
        if let Some(aside) = &self.aside {
            let _ = fs::rename(aside, &self.path);
        }
    }
}

fn objects(context: Context) -> impl Iterator<Item = &'static str> {
    let of_dev = OBJECTS_OF_DEV.into_iter().filter(move |_| context.dev_is_the_images);
    OBJECTS.into_iter().chain(of_dev)
}

fn prepared(context: Context) {
    let case = Case::new(context);
    for object in objects(context) {
        for kind in KINDS {
            let what = format!("{object} is {kind:?} in {context:?}");
            let replaced = case.replace(object, kind);
            let output = case.run();
            case.judge(&output, &what);
            drop(replaced);
        }
        if case.shared.is_none() {
            case.bundle.assert_clean();
        }
    }
    // The matrix itself: with everything in its place there is a container.
    let output = case.run();
    assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{context:?}: {output:?}");
}

#[test]
fn dev_of_the_configuration() {
    prepared(Context::default());
}

#[test]
fn dev_of_the_image() {
    prepared(Context { dev_is_the_images: true, ..Context::default() });
}

#[test]
fn dev_of_the_image_with_a_terminal() {
    prepared(Context { dev_is_the_images: true, terminal: true, ..Context::default() });
}

#[test]
fn terminal() {
    prepared(Context { terminal: true, ..Context::default() });
}

#[test]
fn read_only_root() {
    prepared(Context { readonly: true, ..Context::default() });
}

#[test]
fn user_namespace() {
    prepared(Context { user_namespace: true, ..Context::default() });
}

#[test]
fn root_that_the_host_shares() {
    prepared(Context { shared: true, ..Context::default() });
}

/// The container is running, and its processes change what the next one finds.
#[test]
fn exec() {
    for terminal in [false, true] {
        let context = Context { exec: true, dev_is_the_images: true, terminal, ..Context::default() };
        let case = Case::new(context);
        let container = crate::exec::start(&case.bundle);
        // A terminal is looked for in /dev alone.
        for object in objects(context).filter(|object| !terminal || object.starts_with("dev")) {
            for kind in KINDS {
                let what = format!("{object} is {kind:?} in {context:?}");
                let replaced = case.replace(object, kind);
                let output = match terminal {
                    false => container.exec(&[], &["/bin/sh", "-c", PROCESS]),
                    true => container.exec(&["--tty"], &["/bin/true"]),
                };
                case.judge(&output, &what);
                drop(replaced);
            }
        }
    }
}

/// Each object is exchanged for a link to the host and back, while the container is made.
#[test]
fn exchanged() {
    for terminal in [false, true] {
        let context = Context { dev_is_the_images: true, terminal, ..Context::default() };
        let case = Case::new(context);
        for object in objects(context) {
            let path = case.bundle.rootfs(object);
            let is_new = fs::symlink_metadata(&path).is_err();
            if is_new {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, "").unwrap();
            }
            let link = case.bundle.rootfs("exchange");
            symlink(case.canary.dir.join("directory"), &link).unwrap();
            let attacker = Exchanger::between(&path, &link);
            for _ in 0..super::tries().div_ceil(16) {
                let mut output = case.run();
                if ["masked", "readonly"].contains(&object) {
                    // Missing for a moment, which is no error; who exchanges it may write to it anyway.
                    output.stdout.clear();
                }
                case.judge(&output, &format!("{object} is exchanged in {context:?}"));
            }
            drop(attacker);
            if fs::symlink_metadata(&path).unwrap().is_symlink() {
                fs::rename(&path, case.bundle.file("link")).unwrap();
                fs::rename(&link, &path).unwrap();
            } else {
                fs::remove_file(&link).unwrap();
            }
            if is_new {
                let _ = fs::remove_file(&path);
            }
        }
        case.bundle.assert_clean();
    }
}
