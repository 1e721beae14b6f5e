//! Published attacks on container runtimes, and the invariant that each of them broke.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::harness::runtime::program;
use crate::harness::tty::ConsoleSocket;
use crate::harness::{Bundle, json};

/// A directory of the host that no container must reach.
struct Canary(PathBuf);

impl Canary {
    fn new(bundle: &Bundle) -> Self {
        let dir = bundle.file("canary");
        fs::create_dir(&dir).unwrap();
        for name in ["null", "ptmx", "console", "file"] {
            fs::write(dir.join(name), "alive").unwrap();
        }
        Self(dir)
    }

    #[track_caller]
    fn assert_unharmed(&self, context: &str) {
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["console", "file", "null", "ptmx"], "{context}");
        for name in names {
            let path = self.0.join(name);
            assert_eq!(fs::read_to_string(&path).unwrap(), "alive", "{context}: {}", path.display());
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o644), "{context}: {}", path.display());
        }
    }

    /// Ways to point from the root file system to here.
    fn links(&self) -> [String; 3] {
        let path = self.0.to_str().unwrap();
        [path.to_owned(), format!("../../../../../../../../..{path}"), format!("/proc/1/root{path}")]
    }
}

/// CVE-2019-5736: while a runtime's process is visible inside, its executable is a sealed copy in memory.
#[test]
fn executable_is_a_sealed_copy() {
    let mut bundle = Bundle::with_script("exit 0");
    assert_sealed_executable(&bundle);
    // Where somebody could look at init from the beginning, all of orlop is copied.
    bundle.share("pid");
    assert_sealed_executable(&bundle);
}

fn assert_sealed_executable(bundle: &Bundle) {
    let container = bundle.create();
    let exe = format!("/proc/{}/exe", container.pid());
    let link = fs::read_link(&exe).unwrap();
    assert!(link.to_str().unwrap().starts_with("/memfd:"), "{}", link.display());
    let file = fs::File::open(&exe).unwrap();
    let seals = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GET_SEALS).unwrap();
    let needed = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    assert_eq!(seals & needed, needed);
    assert_ne!(file.metadata().unwrap().dev(), fs::metadata(program()).unwrap().dev());
    assert!(file.as_raw_fd() > 2);
}

/// What waits for `start` is a program of its own with two pages of memory, whoever its user is; where it
/// cannot do what is left to do, it is orlop.
#[test]
fn init_waits_in_little_memory() {
    let mut bundle = Bundle::with_script("exit 0");
    for uid in [0, 1000] {
        bundle.set("/process/user", json!({"uid": uid, "gid": uid}));
        let container = bundle.create();
        assert_eq!(container.proc("cmdline"), "orlop\0init\0");
        let size = container.proc_status("VmRSS");
        let pages: u32 = size.strip_suffix(" kB").unwrap().trim().parse().unwrap();
        assert!(pages <= 64, "{size}");
    }
    bundle.hook("startContainer", "exit 0");
    assert!(bundle.create().proc("cmdline").contains("create"));
}

/// CVE-2019-5736: the published attack: the program is the runtime itself, re-executed.
#[test]
fn program_is_the_runtime() {
    let before = fs::read(program()).unwrap();
    let mut bundle = Bundle::new();
    bundle.args(&["/proc/self/exe", "--version"]);
    let output = bundle.run();
    assert!(output.code != 0 || !output.stdout.contains("orlop") || fs::read(program()).unwrap() == before);
    fs::write(bundle.rootfs("bin/evil"), "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(bundle.rootfs("bin/evil"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    bundle.args(&["/bin/evil"]);
    bundle.run();
    assert_eq!(fs::read(program()).unwrap(), before);
    bundle.assert_clean();
}

/// CVE-2016-9962: container processes cannot take the descriptors of the waiting init: it is not dumpable.
#[test]
fn init_is_not_dumpable() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle.user_namespace(100_000, 65536);
    let container = bundle.create();
    // The files of a process that is not dumpable belong to the global root.
    let owner = fs::metadata(format!("/proc/{}/environ", container.pid())).unwrap().uid();
    assert_eq!(owner, 0);
}

/// CVE-2024-21626: no working directory, and no program, through a descriptor of the runtime.
#[test]
fn working_directory_through_a_descriptor() {
    for number in 3..16 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/1/fd/{number}")] {
            let mut bundle = Bundle::with_script("pwd; ls ../../../../.. 2>/dev/null");
            bundle.set("/process/cwd", json!(path));
            let output = bundle.run();
            if output.code == 0 {
                let inside = fs::read_dir(bundle.rootfs("")).unwrap().count();
                assert_eq!(output.stdout.lines().count(), inside + 1, "{path}: {}", output.stdout);
            }
            bundle.set("/process/cwd", json!("/")).args(&[&format!("{path}/bin/busybox"), "true"]);
            let output = bundle.run();
            assert_ne!(output.code, 0, "{path}");
        }
    }
}

/// CVE-2016-9962: what waits for `start` has nothing open that leads to the host. A neighbour in the same
/// pid namespace may be allowed to trace it.
#[test]
fn a_created_container_holds_nothing_of_the_host() {
    let bundle = Bundle::with_script("exit 0");
    let container = bundle.create();
    let pid = container.pid();
    crate::harness::eventually("init holds more than sockets and its signals", || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let beyond = open.filter(|entry| entry.file_name().to_str().unwrap().parse::<i32>().unwrap() > 2);
        let links: Vec<_> = beyond.map(|entry| fs::read_link(entry.path()).unwrap_or_default()).collect();
        let harmless = |link: &std::path::PathBuf| {
            ["socket:", "anon_inode:[signalfd]"].iter().any(|kind| link.to_str().unwrap().starts_with(kind))
        };
        (!links.is_empty() && links.iter().all(harmless)).then_some(())
    });
}

/// CVE-2024-21626: a link to such a path does not help either.
#[test]
fn working_directory_through_a_link() {
    for number in 3..12 {
        let mut bundle = Bundle::with_script("pwd");
        symlink(format!("/proc/self/fd/{number}"), bundle.rootfs("cwd")).unwrap();
        bundle.set("/process/cwd", json!("/cwd"));
        let output = bundle.run();
        assert!(output.code != 0 || output.stdout.starts_with('/'), "{number}: {}", output.stdout);
        assert!(!output.stdout.contains("unreachable"), "{number}: {}", output.stdout);
    }
}

/// CVE-2026-41579, CVE-2026-47766: /dev is a link in the image, and no mount covers it.
#[test]
fn dev_is_a_link() {
    for terminal in [false, true] {
        let canary_links = Canary::new(&Bundle::new()).links().len();
        for index in 0..canary_links {
            let mut bundle = Bundle::with_script("exit 0");
            let canary = Canary::new(&bundle);
            let link = &canary.links()[index];
            bundle.config["mounts"]
                .as_array_mut()
                .unwrap()
                .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            fs::remove_dir(bundle.rootfs("dev")).unwrap();
            symlink(link, bundle.rootfs("dev")).unwrap();
            bundle.set("/process/terminal", json!(terminal));
            let socket = ConsoleSocket::new(bundle.file("console"));
            let flags = ["--console-socket", socket.path.to_str().unwrap()];
            bundle.write();
            bundle.spawn_create(&bundle.id, if terminal { &flags } else { &[] }).finish();
            bundle.command(&["delete", "--force", &bundle.id]).success();
            canary.assert_unharmed(link);
            bundle.assert_clean();
        }
    }
}

/// CVE-2026-88264, CVE-2026-88265, CVE-2025-52565: single names below /dev are links, files or other
/// devices.
#[test]
fn names_below_dev_are_links() {
    for name in ["null", "console", "ptmx", "pts", "fd", "shm"] {
        for index in 0..3 {
            let mut bundle = Bundle::with_script("exit 0");
            let canary = Canary::new(&bundle);
            let link = format!("{}/file", canary.links()[index]);
            bundle.config["mounts"]
                .as_array_mut()
                .unwrap()
                .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
            symlink(&link, bundle.rootfs("dev").join(name)).unwrap();
            bundle.set("/process/terminal", json!(true)).set("/process/user", json!({"uid": 1000, "gid": 1000}));
            let socket = ConsoleSocket::new(bundle.file("socket"));
            bundle.write();
            bundle.spawn_create(&bundle.id, &["--console-socket", socket.path.to_str().unwrap()]).finish();
            bundle.command(&["delete", "--force", &bundle.id]).success();
            canary.assert_unharmed(&format!("/dev/{name} -> {link}"));
            bundle.assert_clean();
        }
    }
}

/// CVE-2019-19921, CVE-2023-28642, CVE-2025-54867: /proc and /sys must be real directories.
#[test]
fn proc_and_sys_are_links() {
    for (name, mount) in [("proc", 0), ("sys", 5)] {
        for target in ["/tmp", "../tmp", "tmp/.."] {
            let bundle = Bundle::with_script("exit 0");
            fs::remove_dir(bundle.rootfs(name)).unwrap();
            symlink(target, bundle.rootfs(name)).unwrap();
            bundle.refused(&[&format!("mounts[{mount}]"), &format!("/{name}")]);
        }
    }
}

/// CVE-2025-31133: the source of a mask is not what the container has in place of /dev/null.
#[test]
fn mask_with_a_replaced_null() {
    let dev = |bundle: &mut Bundle| {
        let dir = bundle.file("dev");
        fs::create_dir(&dir).unwrap();
        bundle.config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        bundle.mount("/dev", "bind", dir.to_str().unwrap(), &["bind"]);
        dir
    };
    for kind in ["link", "file", "device", "missing"] {
        let mut bundle = Bundle::with_script("cat /etc/secret; cat /proc/version; exit 0");
        let dir = dev(&mut bundle);
        fs::write(bundle.rootfs("etc/secret"), "secret\n").unwrap();
        fs::write(bundle.rootfs("etc/other"), "other\n").unwrap();
        let null = dir.join("null");
        match kind {
            "link" => symlink("/etc/other", &null).unwrap(),
            "file" => fs::write(&null, "replaced\n").unwrap(),
            "device" => {
                use nix::sys::stat::{Mode, SFlag, makedev, mknod};
                mknod(&null, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 5)).unwrap();
            }
            _ => {}
        }
        bundle.set("/linux/maskedPaths", json!(["/etc/secret", "/proc/version"]));
        let output = bundle.run();
        assert_eq!(output.stdout, "", "{kind}");
        bundle.assert_clean();
    }
}

/// CVE-2019-16884, CVE-2025-52881: /proc of the image does not receive what is meant for procfs.
#[test]
fn sysctl_goes_to_procfs() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    bundle.config["mounts"].as_array_mut().unwrap().remove(0);
    fs::create_dir_all(bundle.rootfs("proc/sys/net/ipv4")).unwrap();
    fs::write(bundle.rootfs("proc/sys/net/ipv4/ip_forward"), "canary").unwrap();
    symlink(canary.0.join("file"), bundle.rootfs("proc/sys/net/ipv4/ip_default_ttl")).unwrap();
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "net.ipv4.ip_default_ttl": "33"}));
    bundle.run();
    assert_eq!(fs::read_to_string(bundle.rootfs("proc/sys/net/ipv4/ip_forward")).unwrap(), "canary");
    canary.assert_unharmed("sysctl");
}

struct Defer<F: Fn()>(F);

impl<F: Fn()> Drop for Defer<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// CVE-2021-30465, CVE-2024-45310: while a mount point is exchanged for a link to the host and back, no
/// mount and no file ever lands outside.
#[test]
fn exchanged_mount_points() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    let volume = bundle.file("volume");
    fs::create_dir_all(volume.join("point/below")).unwrap();
    symlink(&canary.0, volume.join("link")).unwrap();
    bundle.mount("/vol", "bind", volume.to_str().unwrap(), &["bind"]);
    bundle.mount("/vol/point/below/deep", "tmpfs", "evil", &[]);
    bundle.mount("/vol/point/file", "bind", "/etc/passwd", &["bind"]);
    let stop = AtomicBool::new(false);
    let (point, link) = (volume.join("point"), volume.join("link"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = renameat2(AT_FDCWD, &point, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE);
            }
        });
        // Also when a run panics, or the scope would wait for the thread for ever.
        let _end = Defer(|| stop.store(true, Ordering::Relaxed));
        for _ in 0..25 {
            // Whether it succeeds depends on the moment; where it lands must not.
            bundle.run();
        }
    });
    canary.assert_unharmed("exchange");
    bundle.assert_clean();
}

/// CVE-2026-55686: a missing working directory is not made through a link on the host.
#[test]
fn missing_working_directory() {
    let mut bundle = Bundle::with_script("exit 0");
    let canary = Canary::new(&bundle);
    symlink(&canary.0, bundle.rootfs("evil")).unwrap();
    bundle.set("/process/cwd", json!("/evil/made"));
    bundle.run();
    canary.assert_unharmed("cwd");
}

/// CVE-2021-43784: long values survive the way to init whole, or are refused.
#[test]
fn long_values() {
    let mut bundle = Bundle::with_script("echo ${#LONG}");
    bundle.set("/process/env", json!(["PATH=/bin", format!("LONG={}", "x".repeat(100_000))]));
    assert_eq!(bundle.output(), "100000\n");
    let mut bundle = Bundle::with_script("exit 0");
    bundle.mount("/mnt", "tmpfs", &"s".repeat(70_000), &[]);
    bundle.refused(&["mounts[6]"]);
    let mut bundle = Bundle::with_script("echo fine");
    let paths: Vec<_> = (0..5000).map(|number| format!("/proc/no-such-file-{number}")).collect();
    bundle.set("/linux/maskedPaths", json!(paths));
    assert_eq!(bundle.output(), "fine\n");
}

/// The state of containers is nobody else's business.
#[test]
fn state_is_private() {
    let bundle = Bundle::with_script("exit 0");
    let _container = bundle.create();
    let mode = fs::metadata(bundle.scratch().state_root().join(&bundle.id)).unwrap().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}
