//! `root`, `linux.rootfsPropagation`, `linux.maskedPaths`, `linux.readonlyPaths`, and the change of root.

use std::fs;
use std::os::unix::fs::symlink;

use nix::mount::MsFlags;

use crate::harness::host::HostMount;
use crate::harness::{Bundle, eventually, json};

/// CFG-04, CFG-05, CFG-07: the root's path, relative to the bundle or absolute, is a directory.
#[test]
fn path() {
    let mut bundle = Bundle::with_script("cat /etc/here");
    fs::write(bundle.rootfs("etc/here"), "yes\n").unwrap();
    assert_eq!(bundle.output(), "yes\n");
    bundle.set("/root/path", json!(bundle.dir.join("rootfs")));
    assert_eq!(bundle.output(), "yes\n");
    bundle.set("/root/path", json!("no-such-directory"));
    bundle.refused(&["root.path", "no-such-directory", "no such file or directory"]);
    bundle.set("/root/path", json!("config.json"));
    bundle.refused(&["root.path", "config.json", "not a directory"]);
    bundle.set("/root", json!({}));
    bundle.refused(&["root", "path"]);
    bundle.remove("/root");
    bundle.refused(&["root"]);
}

/// CFG-08: a read-only root; mounts in it stay writable, and their points were made nevertheless.
#[test]
fn readonly() {
    let mut bundle = Bundle::with_script(
        "echo x > /new; echo x > /etc/new; echo x > /mnt/new/file && cat /mnt/new/file; echo x > /dev/null && echo fine",
    );
    bundle.set("/root/readonly", json!(true)).mount("/mnt/new", "tmpfs", "tmpfs", &[]);
    let output = bundle.run();
    assert_eq!(output.stdout, "x\nfine\n");
    assert_eq!(output.stderr.matches("Read-only file system").count(), 2, "{}", output.stderr);
    bundle.set("/root/readonly", json!(false));
    bundle.script("echo x > /new && cat /new");
    assert_eq!(bundle.output(), "x\n");
    assert!(bundle.rootfs("new").exists());
}

/// A read-only root in the container leaves the directory writable on the host.
#[test]
fn readonly_only_inside() {
    let mut bundle = Bundle::with_script("echo up; exec sleep 1000");
    bundle.set("/root/readonly", json!(true));
    let container = bundle.create();
    container.start().wait_output("up");
    fs::write(bundle.rootfs("etc/from-the-host"), "").unwrap();
}

/// A shared, slave, private or unbindable root (LNX-144), as mountinfo shows it.
#[test]
fn propagation() {
    let mut bundle = Bundle::with_script("grep ' / / \\|/rootfs / ' /proc/self/mountinfo | head -n 1");
    // As on a host with systemd, where everything is shared.
    let shared = HostMount::on_itself(&bundle.dir, MsFlags::MS_SHARED);
    for (value, expected) in
        [("shared", "shared:"), ("private", ""), ("rprivate", ""), ("unbindable", "unbindable"), ("rshared", "shared:")]
    {
        bundle.set("/linux/rootfsPropagation", json!(value));
        let text = bundle.output();
        let optional = text.split(" - ").next().unwrap().split(' ').skip(6).collect::<Vec<_>>().join(" ");
        assert!(if expected.is_empty() { optional.is_empty() } else { optional.contains(expected) }, "{value}: {text}");
    }
    drop(shared);
    bundle.set("/linux/rootfsPropagation", json!("public"));
    bundle.refused(&["linux.rootfsPropagation", "public"]);
}

/// LNX-144: into a slave root, later mounts of the host propagate; into a private one they do not.
#[test]
fn propagation_from_the_host() {
    for (value, expected) in [("rslave", true), ("slave", true), ("rprivate", false), ("private", false)] {
        let mut bundle = Bundle::with_script("echo up; exec sleep 1000");
        let shared = HostMount::on_itself(&bundle.dir, MsFlags::MS_SHARED);
        fs::create_dir(bundle.rootfs("vol")).unwrap();
        bundle.set("/linux/rootfsPropagation", json!(value));
        let container = bundle.create();
        container.start().wait_output("up");
        let later = HostMount::tmpfs(&bundle.rootfs("vol"), MsFlags::empty(), MsFlags::MS_PRIVATE);
        let seen = container.proc("mountinfo").contains(" /vol ");
        container.stop();
        container.delete();
        drop((later, shared));
        assert_eq!(seen, expected, "{value}");
    }
}

/// LNX-144, MNT-36: what a container mounts in a volume appears on the host if root and volume are both
/// shared, and only then; the same where root opens the volume for a user namespace.
#[test]
fn propagation_to_the_host() {
    let cases = [("rshared", "rshared", true), ("rshared", "rprivate", false), ("rslave", "rshared", false)];
    for (user, (root, option, expected)) in [false, true].into_iter().flat_map(|user| cases.map(|case| (user, case))) {
        let mut bundle = Bundle::with_script("mount -t tmpfs inner /vol && echo mounted; exec sleep 1000");
        let source = bundle.file("volume");
        fs::create_dir(&source).unwrap();
        let shared = HostMount::on_itself(&source, MsFlags::MS_SHARED);
        if user {
            bundle.user_namespace(100_000, 65536);
        }
        bundle.set("/linux/rootfsPropagation", json!(root)).capabilities(&["CAP_SYS_ADMIN"]);
        bundle.mount("/vol", "bind", source.to_str().unwrap(), &["rbind", option]);
        let container = bundle.create();
        container.start().wait_output("mounted");
        let seen = crate::harness::host::mounts(bundle.tag()).iter().any(|line| line.contains(" inner "));
        container.stop();
        container.delete();
        crate::harness::host::unmount(source.to_str().unwrap());
        drop(shared);
        // A mount of a user namespace's never reaches the host: its owner may do less there.
        assert_eq!(seen, expected && !user, "root {root}, volume {option}, user namespace {user}");
    }
}

/// A shared root must not mean that the container's mounts appear on the host.
#[test]
fn shared_root_stays_inside() {
    let mut bundle = Bundle::with_script("mount -t tmpfs inner /tmp && echo mounted; exec sleep 1000");
    bundle.set("/linux/rootfsPropagation", json!("shared")).capabilities(&["CAP_SYS_ADMIN"]);
    let shared = HostMount::on_itself(&bundle.dir, MsFlags::MS_SHARED);
    let container = bundle.create();
    container.start().wait_output("mounted");
    let mounts = crate::harness::host::mounts(bundle.tag());
    drop(container);
    drop(shared);
    assert_eq!(mounts.len(), 1, "{mounts:#?}");
}

/// After the change of root, nothing of the host's tree can be reached: no mount, no way up.
#[test]
fn nothing_of_the_host() {
    for flags in [&[][..], &["--no-pivot"]] {
        let mut bundle = Bundle::with_script("cut -d' ' -f5 /proc/self/mountinfo; ls -di / /.. /../../..; ls /");
        bundle.capabilities(&["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE"]);
        let text = bundle.run_with(flags).success().stdout;
        let points: Vec<_> = text.lines().take_while(|line| line.starts_with('/')).collect();
        assert_eq!(points, ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"], "{flags:?}");
        let inodes: Vec<_> = text.lines().skip(7).take(3).map(|line| line.split_whitespace().next().unwrap()).collect();
        assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{text}");
        assert!(text.ends_with("bin\ndev\netc\nproc\nroot\nsys\ntmp\n"), "{text}");
    }
}

/// `--no-pivot` for create too.
#[test]
fn no_pivot() {
    let mut bundle = Bundle::with_script("cat /etc/here; echo x > /new");
    fs::write(bundle.rootfs("etc/here"), "yes\n").unwrap();
    bundle.set("/root/readonly", json!(true));
    let container = bundle.create_with(&["--no-pivot"]);
    container.start().wait();
    assert_eq!(container.stdout(), "yes\n");
    assert!(container.stderr().contains("Read-only"));
}

/// LNX-145: files are empty or unreadable, directories are empty; what is missing is skipped.
#[test]
fn masked_paths() {
    let mut bundle = Bundle::with_script(
        "cat /etc/file; ls -A /etc/dir; cat /proc/version; ls -A /proc/sys; cat /etc/plain; echo done",
    );
    fs::create_dir(bundle.rootfs("etc/dir")).unwrap();
    fs::write(bundle.rootfs("etc/dir/secret"), "secret\n").unwrap();
    fs::write(bundle.rootfs("etc/file"), "secret\n").unwrap();
    fs::write(bundle.rootfs("etc/plain"), "plain\n").unwrap();
    nix::unistd::mkfifo(&bundle.rootfs("etc/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let masked = [
        "/etc/file",
        "/etc/dir",
        "/etc/dir/secret",
        "/etc/missing",
        "/no/such",
        "/proc/version",
        "/proc/sys",
        "/etc/fifo",
        "/dev/zero",
    ];
    bundle.set("/linux/maskedPaths", json!(masked));
    let output = bundle.run();
    assert_eq!((output.code, &*output.stdout), (0, "plain\ndone\n"), "{}", output.stderr);
    bundle.script("echo x > /etc/dir/new; echo x > /etc/file; echo $?; head -c 1 /dev/zero | wc -c; test -f /etc/fifo || test -c /etc/fifo || test -p /etc/fifo && echo there");
    let output = bundle.run();
    assert!(output.stderr.contains("Read-only file system"), "a masked directory is writable: {}", output.stderr);
    assert!(output.stdout.ends_with("0\nthere\n"), "{}", output.stdout);
    assert_eq!(fs::read_to_string(bundle.rootfs("etc/file")).unwrap(), "secret\n");
}

/// LNX-146: what is listed cannot be written to, with what is below; what is missing is skipped.
#[test]
fn readonly_paths() {
    let mut bundle = Bundle::with_script(
        "echo x > /etc/dir/new; echo x > /etc/file; echo 1 > /proc/sys/net/ipv4/ip_forward; echo x > /etc/ok && cat /etc/file",
    );
    fs::create_dir(bundle.rootfs("etc/dir")).unwrap();
    fs::write(bundle.rootfs("etc/file"), "text\n").unwrap();
    bundle.set("/linux/readonlyPaths", json!(["/etc/dir", "/etc/file", "/etc/missing", "/no/such", "/proc/sys"]));
    let output = bundle.run();
    assert_eq!(output.stdout, "text\n");
    assert_eq!(output.stderr.matches("Read-only file system").count(), 3, "{}", output.stderr);
    assert!(bundle.rootfs("etc/ok").exists());
}

/// LNX-146: the flags of the mount that a read-only path lies in are kept.
#[test]
fn readonly_paths_keep_flags() {
    let mut bundle = Bundle::with_script("grep ' /dev/shm ' /proc/self/mountinfo");
    bundle.set("/linux/readonlyPaths", json!(["/dev/shm"]));
    let text = bundle.output();
    let line = text.lines().last().unwrap();
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(line.split(' ').nth(5).unwrap().split(',').any(|other| other == flag), "{flag}: {text}");
    }
}

/// LNX-145, LNX-146: relative paths are refused.
#[test]
fn relative_paths() {
    for key in ["maskedPaths", "readonlyPaths"] {
        let mut bundle = Bundle::new();
        bundle.set(&format!("/linux/{key}"), json!(["/proc/kcore", "etc"]));
        bundle.refused(&[&format!("linux.{key}[1]"), "absolute"]);
    }
}

/// Links in masked and read-only paths are followed inside only.
#[test]
fn hostile_masks() {
    for key in ["maskedPaths", "readonlyPaths"] {
        let mut bundle = Bundle::with_script("exec sleep 1000");
        let canary = bundle.file("canary");
        fs::write(&canary, "alive").unwrap();
        symlink(&canary, bundle.rootfs("etc/absolute")).unwrap();
        symlink(format!("../../../../../../..{}", canary.display()), bundle.rootfs("etc/relative")).unwrap();
        bundle.set(&format!("/linux/{key}"), json!(["/etc/absolute", "/etc/relative"]));
        bundle.spawn_create(&bundle.id, &[]).finish();
        bundle.command(&["delete", "--force", &bundle.id]).success();
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
        fs::write(&canary, "written").unwrap();
        bundle.assert_clean();
    }
}

/// A container whose root is the host's, without a namespace for mounts of its own, is legal.
#[test]
fn no_mount_namespace() {
    let mut bundle = Bundle::with_script("echo ran; exec sleep 1000");
    bundle.share("mount").set("/mounts", json!([]));
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let container = bundle.create();
    container.start().wait_output("ran");
    let root = fs::read_link(format!("/proc/{}/root", container.pid())).unwrap();
    assert_eq!(root, bundle.rootfs(""));
    container.stop();
    container.delete();
    eventually("mounts are left", || {
        (fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count() <= before).then_some(())
    });
}
