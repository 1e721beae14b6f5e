//! `mounts` (config.md): types, sources, order, and the making of mount points.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use crate::harness::mountinfo::{at, parse, table};
use crate::harness::{Bundle, json};

/// MNT-71: `tmpcopyup` fills the tmpfs with what it covers, faithfully.
#[test]
fn tmpcopyup() {
    let mut bundle = Bundle::with_script(
        "cd /data; cat file deep/file; readlink link; stat -c '%a %u:%g %n' . file deep deep/file; : > new",
    );
    let data = bundle.rootfs("data");
    fs::create_dir_all(data.join("deep")).unwrap();
    fs::write(data.join("file"), "one\n").unwrap();
    fs::write(data.join("deep/file"), "two\n").unwrap();
    symlink("/nowhere", data.join("link")).unwrap();
    fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(data.join("deep"), fs::Permissions::from_mode(0o2711)).unwrap();
    chown(data.join("file"), Some(12), Some(34)).unwrap();
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "mode=755"]).capabilities(&["CAP_DAC_OVERRIDE"]);
    assert_eq!(bundle.output(), "one\ntwo\n/nowhere\n755 0:0 .\n640 12:34 file\n2711 0:0 deep\n644 0:0 deep/file\n");
    assert!(!data.join("new").exists(), "the tmpfs was not mounted");
}

/// MNT-88: without `mode=`, a tmpfs has the mode of the directory that it covers.
#[test]
fn tmpfs_mode() {
    let mut bundle = Bundle::with_script("stat -c %a /data /other");
    fs::create_dir(bundle.rootfs("data")).unwrap();
    fs::set_permissions(bundle.rootfs("data"), fs::Permissions::from_mode(0o1750)).unwrap();
    fs::create_dir(bundle.rootfs("other")).unwrap();
    bundle.mount("/data", "tmpfs", "tmpfs", &[]).mount("/other", "tmpfs", "tmpfs", &["mode=700"]);
    assert_eq!(bundle.output(), "1750\n700\n");
}

/// MNT-01: in the listed order: later mounts lie in, or hide, earlier ones.
#[test]
fn order() {
    let mut bundle = Bundle::with_script("ls -d /a/b /c/d 2>/dev/null; grep -c . /proc/self/mountinfo");
    bundle.mount("/a", "tmpfs", "first", &[]).mount("/a/b", "tmpfs", "second", &[]);
    bundle.mount("/c/d", "tmpfs", "third", &[]).mount("/c", "tmpfs", "fourth", &[]);
    assert_eq!(bundle.output().lines().next(), Some("/a/b"));
    let text = bundle.script("ls -d /c/d || exit 1").run();
    assert_eq!(text.code, 1, "an earlier mount is not hidden");
    let table = table(&mut bundle);
    let own = ["first", "second", "third", "fourth"];
    let sources: Vec<_> = table.iter().map(|mount| &*mount.source).filter(|source| own.contains(source)).collect();
    assert_eq!(sources, own);
}

/// The source string of a file system without a device is what was configured.
#[test]
fn source_strings() {
    let mut bundle = Bundle::new();
    bundle.mount("/mnt", "tmpfs", "some name", &[]);
    let table = table(&mut bundle);
    assert_eq!(at(&table, "/mnt").source, "some\\040name");
    assert_eq!((&*at(&table, "/dev/shm").source, &*at(&table, "/dev/shm").kind), ("shm", "tmpfs"));
    assert_eq!((&*at(&table, "/proc").source, &*at(&table, "/proc").kind), ("proc", "proc"));
}

/// MNT-05, MNT-06, MNT-89: directories and files are bound, from absolute paths or the bundle; the type
/// `bind` is enough too.
#[test]
fn binds() {
    let mut bundle =
        Bundle::with_script("cat /dir/file /file /etc/made/file /typed; echo more >> /file; stat -c %F /file");
    let dir = bundle.file("source");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("file"), "text\n").unwrap();
    fs::create_dir(bundle.dir.join("beside")).unwrap();
    fs::write(bundle.dir.join("beside/file"), "relative\n").unwrap();
    let source = dir.to_str().unwrap();
    bundle.mount("/dir", "bind", source, &["bind", "ro"]);
    bundle.mount("/file", "bind", &format!("{source}/file"), &["rbind"]);
    bundle.mount("/etc/made/file", "none", "beside/file", &["bind"]);
    bundle.push("/mounts", json!({"destination": "/typed", "type": "bind", "source": "beside/file"}));
    assert_eq!(bundle.output(), "text\ntext\nrelative\nrelative\nregular file\n");
    assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "text\nmore\n");
}

/// A bound symbolic link is the file that it points to; so is a special file.
#[test]
fn binds_of_other_files() {
    let mut bundle = Bundle::with_script("cat /link; echo x > /null; stat -c %F /null /fifo /socket");
    let file = bundle.file("file");
    fs::write(&file, "target\n").unwrap();
    symlink("file", bundle.file("link")).unwrap();
    nix::unistd::mkfifo(&bundle.file("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(bundle.file("socket")).unwrap();
    for name in ["link", "fifo", "socket"] {
        let source = bundle.file(name);
        bundle.mount(&format!("/{name}"), "bind", source.to_str().unwrap(), &["bind"]);
    }
    bundle.mount("/null", "bind", "/dev/null", &["bind"]);
    assert_eq!(bundle.output(), "target\ncharacter special file\nfifo\nsocket\n");
}

/// MNT-87: missing mount points are made, with their parents, in the root file system.
#[test]
fn mount_points_are_made() {
    let mut bundle = Bundle::with_script("stat -c '%a %u:%g' /new /new/deep");
    let file = bundle.file("file");
    fs::write(&file, "").unwrap();
    bundle.mount("/new/deep/tmpfs", "tmpfs", "tmpfs", &[]);
    bundle.mount("/new/file", "bind", file.to_str().unwrap(), &["bind"]);
    assert_eq!(bundle.output(), "755 0:0\n755 0:0\n");
    assert!(bundle.rootfs("new/deep/tmpfs").is_dir());
    assert!(bundle.rootfs("new/file").is_file());
}

/// MNT-02…MNT-04: a relative destination is taken from the root; it must not be missing or empty.
#[test]
fn destinations() {
    let mut bundle = Bundle::new();
    bundle.mount("mnt/relative", "tmpfs", "tmpfs", &[]);
    bundle.mount("/mnt/./dots/../there", "tmpfs", "tmpfs", &[]);
    let table = table(&mut bundle);
    at(&table, "/mnt/relative");
    at(&table, "/mnt/there");
    for bad in [json!({"type": "tmpfs"}), json!({"destination": "", "type": "tmpfs"})] {
        bundle.config["mounts"].as_array_mut().unwrap().truncate(6);
        bundle.push("/mounts", bad);
        bundle.refused(&["mounts[6]", "destination"]);
    }
}

/// MNT-89: a file cannot be bound over a directory, nor a directory over a file.
#[test]
fn type_clash() {
    let mut bundle = Bundle::new();
    let file = bundle.file("file");
    fs::write(&file, "").unwrap();
    bundle.mount("/etc", "bind", file.to_str().unwrap(), &["bind"]);
    bundle.refused(&["mounts[6]", "/etc"]);
    bundle.config["mounts"][6] =
        json!({"destination": "/bin/busybox", "type": "bind", "source": "/etc", "options": ["bind"]});
    bundle.refused(&["mounts[6]", "/bin/busybox", "not a directory"]);
    bundle.config["mounts"][6] = json!({"destination": "/bin/busybox/below", "type": "tmpfs"});
    bundle.refused(&["mounts[6]", "/bin/busybox/below", "not a directory"]);
}

/// Errors of the kernel name the mount and what the kernel says of it.
#[test]
fn kernel_errors() {
    let mut bundle = Bundle::new();
    bundle.mount("/mnt", "nosuchfs", "none", &[]);
    bundle.refused(&["mounts[6]", "/mnt", "nosuchfs", "no such device"]);
    bundle.config["mounts"][6] = json!({"destination": "/mnt", "type": "tmpfs", "options": ["nosuchoption=1"]});
    bundle.refused(&["mounts[6]", "/mnt", "nosuchoption"]);
    bundle.config["mounts"][6] = json!({"destination": "/mnt", "type": "ext4", "source": "/no/such/device"});
    bundle.refused(&["mounts[6]", "/mnt"]);
}

/// Links on the way to a mount point are followed within the root file system, never out of it.
#[test]
fn hostile_mount_points() {
    let canary = |bundle: &Bundle| {
        let dir = bundle.file("canary");
        fs::create_dir(&dir).unwrap();
        dir
    };
    for (link, destination) in [
        ("absolute", "/evil"),
        ("absolute", "/evil/below"),
        ("relative", "/evil/below"),
        ("absolute", "/way/evil/far/below"),
        ("proc-root", "/evil/below"),
        ("proc-fd", "/evil/below"),
    ] {
        for kind in ["tmpfs", "bind", "file"] {
            let mut bundle = Bundle::with_script("cat /proc/self/mountinfo");
            let outside = canary(&bundle);
            let outside_path = outside.to_str().unwrap().to_owned();
            let target = match link {
                "absolute" => outside_path.clone(),
                "relative" => format!("../../../../../../../../..{outside_path}"),
                "proc-root" => format!("/proc/1/root{outside_path}"),
                _ => format!("/proc/self/fd/3{outside_path}"),
            };
            fs::create_dir(bundle.rootfs("way")).unwrap();
            symlink(&target, bundle.rootfs("evil")).unwrap();
            symlink(&target, bundle.rootfs("way/evil")).unwrap();
            match kind {
                "tmpfs" => bundle.mount(destination, "tmpfs", "test", &[]),
                "bind" => bundle.mount(destination, "bind", "/etc", &["bind"]),
                _ => bundle.mount(destination, "bind", "/etc/passwd", &["bind"]),
            };
            let output = bundle.run();
            // Refused, or mounted below the container's own root: both are safe.
            if output.code == 0 {
                let inside = parse(&output.stdout);
                assert!(inside.len() >= 8, "{link} {destination} {kind}");
            }
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{link} {destination} {kind}");
            assert!(fs::symlink_metadata(bundle.rootfs("evil")).unwrap().is_symlink());
            bundle.assert_clean();
        }
    }
}

/// Links that stay inside are followed as the container would.
#[test]
fn links_inside() {
    let mut bundle = Bundle::new();
    fs::create_dir_all(bundle.rootfs("real/place")).unwrap();
    symlink("/real", bundle.rootfs("absolute")).unwrap();
    symlink("../../../real", bundle.rootfs("etc/relative")).unwrap();
    bundle.mount("/absolute/place", "tmpfs", "one", &[]).mount("/etc/relative/new", "tmpfs", "two", &[]);
    let table = table(&mut bundle);
    assert_eq!(at(&table, "/real/place").source, "one");
    assert_eq!(at(&table, "/real/new").source, "two");
}

/// MNT-92, LNX-01: proc, sysfs, devpts and mqueue of the container's own namespaces.
#[test]
fn kernel_file_systems() {
    let mut bundle = Bundle::with_script(
        "cat /proc/1/cmdline | tr '\\0' ' '; echo; ls /sys/class/net; ls /dev/pts; ls -a /dev/mqueue | wc -l; cat /proc/mounts",
    );
    let text = bundle.output();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("/bin/sh -c"), "{text}");
    assert_eq!(lines[1..4], ["lo", "ptmx", "2"], "{text}");
    for kind in [
        "proc /proc proc",
        "sysfs /sys sysfs ro",
        "devpts /dev/pts devpts",
        "shm /dev/shm tmpfs",
        "mqueue /dev/mqueue mqueue",
    ] {
        assert!(text.contains(kind), "no {kind} in {text}");
    }
    // Shared namespaces show the host's processes and devices.
    bundle.share("pid").share("network");
    let text = bundle.output();
    let host = fs::read_to_string("/proc/1/cmdline").unwrap().replace('\0', " ");
    assert_eq!(text.lines().next(), Some(&*host), "{text}");
    let devices = fs::read_dir("/sys/class/net").unwrap().count();
    assert!(text.lines().skip(1).take_while(|line| *line != "ptmx").count() == devices, "{text}");
}

/// Pseudo terminals inside are the container's own instance.
#[test]
fn devpts() {
    let mut bundle = Bundle::with_script("stat -c '%a' /dev/ptmx /dev/pts/ptmx; grep devpts /proc/mounts");
    bundle.script("stat -L -c '%a' /dev/ptmx; readlink /dev/ptmx; grep devpts /proc/mounts");
    let text = bundle.output();
    assert!(text.starts_with("666\npts/ptmx\n"), "{text}");
    assert!(text.contains("gid=5,mode=620,ptmxmode=666"), "{text}");
}

/// What is mounted inside is not seen on the host.
#[test]
fn invisible_to_the_host() {
    let mut bundle = Bundle::with_script("echo up; exec sleep 1000");
    bundle.mount("/mnt", "tmpfs", "tmpfs", &[]);
    let container = bundle.create();
    container.start().wait_output("up");
    assert_eq!(crate::harness::host::mounts(bundle.tag()), Vec::<String>::new());
}

/// MNT-90: a mount onto `/` is the root file system that the program sees, and what follows is in it.
#[test]
fn onto_the_root() {
    let mut bundle = Bundle::with_script("cat /marker; echo x >/new; cat /below/marker");
    let other = bundle.dir.join("other");
    fs::rename(bundle.rootfs(""), &other).unwrap();
    fs::create_dir(bundle.rootfs("")).unwrap();
    fs::write(other.join("marker"), "other\n").unwrap();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"destination": "/", "type": "bind", "source": "other", "options": ["rbind"]}));
    bundle.mount("/below", "bind", "other", &["rbind", "ro"]);
    assert_eq!(bundle.output(), "other\nother\n");
    assert!(other.join("new").exists() && fs::read_dir(bundle.rootfs("")).unwrap().next().is_none());
}
