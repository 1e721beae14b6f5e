//! Default devices and `linux.devices` (config-linux.md, runtime-linux.md).

use std::fs;
use std::os::unix::fs::symlink;

use nix::mount::MsFlags;

use crate::harness::host::HostMount;
use crate::harness::{Bundle, json};

const DEFAULTS: &str = "1:3 null\n1:5 zero\n1:7 full\n1:8 random\n1:9 urandom\n5:0 tty\n";

fn look_at_defaults() -> &'static str {
    "cd /dev; for n in null zero full random urandom tty; do test -c $n && stat -c '%t:%T %n' $n; done"
}

/// LNX-30…LNX-35: the default devices are there, usable by everybody.
#[test]
fn defaults() {
    let mut bundle = Bundle::with_script(look_at_defaults());
    assert_eq!(bundle.output(), DEFAULTS);
    bundle.script("cd /dev; stat -c %a null zero full random urandom tty | sort -u; echo x > null; head -c 3 zero | wc -c; head -c 3 urandom | wc -c; echo x > full");
    bundle.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let output = bundle.run();
    assert_eq!(output.stdout, "666\n3\n3\n");
    assert!(output.stderr.contains("No space left"), "{}", output.stderr);
}

/// In a user namespace they are the host's, bound.
#[test]
fn defaults_in_a_user_namespace() {
    let mut bundle = Bundle::with_script(look_at_defaults());
    bundle.user_namespace(100_000, 65536);
    assert_eq!(bundle.output(), DEFAULTS);
    bundle.script("echo x > /dev/null; head -c 3 /dev/zero | wc -c");
    assert_eq!(bundle.output(), "3\n");
}

/// Without a mount on /dev they are made in the root file system itself.
#[test]
fn defaults_without_a_mount() {
    let mut bundle = Bundle::with_script(look_at_defaults());
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    assert_eq!(bundle.output(), DEFAULTS);
}

/// LNX-29: /dev holds nothing else.
#[test]
fn nothing_else() {
    let text = Bundle::with_script("ls /dev").output();
    let names: Vec<_> = text.lines().filter(|name| *name != "core").collect();
    let expected = [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero",
    ];
    assert_eq!(names, expected);
}

/// RT-58, LNX-37: the links.
#[test]
fn links() {
    let text = Bundle::with_script("cd /dev; for n in fd stdin stdout stderr ptmx; do readlink $n; done").output();
    assert_eq!(text, "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n");
}

/// RT-58: the links are not made where what they point to does not exist.
#[test]
fn links_without_proc() {
    let mut bundle =
        Bundle::with_script("cd /dev; for n in fd stdin stdout stderr; do test -L $n && echo $n; done; echo end");
    bundle.config["mounts"].as_array_mut().unwrap().remove(0);
    assert_eq!(bundle.output(), "end\n");
}

/// LNX-22…LNX-27: configured devices, also outside /dev, with mode, owner, numbers and type; the mode may hold
/// the type too, as podman writes it.
#[test]
fn configured() {
    let mut bundle = Bundle::with_script(
        "stat -c '%F %a %u:%g %t:%T %n' /dev/char /dev/deep/block /etc/fifo /dev/unbuffered /dev/plain",
    );
    bundle.set(
        "/linux/devices",
        json!([
            {"path": "/dev/char", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 12, "gid": 34},
            {"path": "/dev/deep/block", "type": "b", "major": 7, "minor": 300, "fileMode": 0o060600},
            {"path": "/etc/fifo", "type": "p", "major": 9, "minor": 9, "fileMode": 0o622},
            {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 11, "fileMode": 0o777},
            {"path": "/dev/plain", "type": "c", "major": 1, "minor": 3}
        ]),
    );
    let text = bundle.output();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "character special file 640 12:34 a:e5 /dev/char",
            "block special file 600 0:0 7:12c /dev/deep/block",
            "fifo 622 0:0 0:0 /etc/fifo",
            "character special file 777 0:0 1:b /dev/unbuffered",
        ]
    );
    assert!(lines[4].ends_with("1:3 /dev/plain"), "{text}");
}

/// LNX-22: a configured device can replace a default one's mode.
#[test]
fn default_with_other_mode() {
    let mut bundle = Bundle::with_script("stat -c '%a %u' /dev/null");
    bundle.set(
        "/linux/devices",
        json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7}]),
    );
    assert_eq!(bundle.output(), "600 7\n");
}

/// LNX-22: in a user namespace the host's node is bound.
#[test]
fn configured_in_a_user_namespace() {
    let mut bundle = Bundle::with_script("stat -c '%t:%T' /dev/other; head -c 2 /dev/other | wc -c");
    bundle.user_namespace(100_000, 65536);
    bundle.set("/linux/devices", json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5}]));
    bundle.script("head -c 2 /dev/zero | wc -c");
    assert_eq!(bundle.output(), "2\n");
}

/// LNX-25: another file where a device should be is an error; the same device is fine.
#[test]
fn something_in_the_way() {
    let mut bundle = Bundle::with_script("exit 0");
    bundle
        .set("/linux/devices", json!([{"path": "/etc/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]));
    bundle.run().success();
    bundle.run().success();
    for prepare in ["file", "other device", "link", "directory"] {
        let place = bundle.rootfs("etc/null");
        let _ = fs::remove_file(&place);
        match prepare {
            "file" => fs::write(&place, "text").unwrap(),
            "link" => symlink("/dev/null", &place).unwrap(),
            "directory" => fs::create_dir(&place).unwrap(),
            _ => make_device(&place, 1, 5),
        }
        bundle.refused(&["linux.devices[0]", "/etc/null"]);
    }
}

fn make_device(path: &std::path::Path, major: u64, minor: u64) {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(major, minor)).unwrap();
}

/// LNX-23, LNX-24, LNX-26, LNX-27: what a device entry must not be.
#[test]
fn bad_devices() {
    let mut bundle = Bundle::new();
    for bad in [
        json!({"path": "/dev/x", "type": "x", "major": 1, "minor": 3}),
        json!({"type": "c", "major": 1, "minor": 3}),
        json!({"path": "/dev/x", "major": 1, "minor": 3}),
        json!({"path": "/dev/x", "type": "c", "minor": 3}),
        json!({"path": "/dev/x", "type": "c", "major": 1}),
        json!({"path": "dev/x", "type": "c", "major": 1, "minor": 3}),
        json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0o1777}),
        json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 0o060666}),
    ] {
        bundle.set("/linux/devices", json!([{"path": "/dev/a", "type": "c", "major": 1, "minor": 3}, bad]));
        bundle.refused(&["linux.devices[1]"]);
    }
}

/// Where /dev is the host's, bound, it is left as it is.
#[test]
fn bound_dev() {
    let mut bundle = Bundle::with_script("ls /dev; echo x > /dev/null");
    let dev = bundle.file("dev");
    let _mount = HostMount::tmpfs(&dev, MsFlags::empty(), MsFlags::MS_PRIVATE);
    make_device(&dev.join("null"), 1, 3);
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    bundle.mount("/dev", "bind", dev.to_str().unwrap(), &["bind"]);
    assert_eq!(bundle.output(), "null\n");
    assert_eq!(fs::read_dir(&dev).unwrap().count(), 1);
}
