//! `mounts` (config.md): types, options, sources, order, and the making of mount points.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use nix::mount::MsFlags;

use crate::harness::host::HostMount;
use crate::harness::{Bundle, Value, json};

/// One line of mountinfo.
#[derive(Debug)]
struct Mount {
    point: String,
    flags: Vec<String>,
    propagation: String,
    kind: String,
    source: String,
    super_options: Vec<String>,
}

fn parse(table: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ").unwrap();
        let left: Vec<_> = left.split(' ').collect();
        let right: Vec<_> = right.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Mount {
            point: left[4].to_owned(),
            flags: list(left[5]),
            propagation: left[6..].join(" "),
            kind: right[0].to_owned(),
            source: right[1].to_owned(),
            super_options: list(right[2]),
        }
    };
    table.lines().map(line).collect()
}

/// The mounts that the container sees.
#[track_caller]
fn table(bundle: &mut Bundle) -> Vec<Mount> {
    parse(&bundle.args(&["/bin/cat", "/proc/self/mountinfo"]).output())
}

#[track_caller]
fn at<'a>(table: &'a [Mount], point: &str) -> &'a Mount {
    let found = table.iter().rev().find(|mount| mount.point == point);
    found.unwrap_or_else(|| panic!("no mount on {point} in {table:#?}"))
}

impl Mount {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().chain(&self.super_options).any(|other| other == flag)
    }
}

/// A new directory of the host with two tmpfs mounts, one below the other.
fn host_tree(bundle: &Bundle, flags: MsFlags) -> (String, [HostMount; 2]) {
    let dir = bundle.file("tree");
    let top = HostMount::tmpfs(&dir, flags, MsFlags::MS_PRIVATE);
    if flags.contains(MsFlags::MS_RDONLY) {
        drop(top);
        let top = HostMount::tmpfs(&dir, flags - MsFlags::MS_RDONLY, MsFlags::MS_PRIVATE);
        let sub = HostMount::tmpfs(&dir.join("sub"), flags, MsFlags::MS_PRIVATE);
        let remount = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        nix::mount::mount(None::<&str>, &dir, None::<&str>, remount, None::<&str>).unwrap();
        return (dir.to_str().unwrap().to_owned(), [sub, top]);
    }
    let sub = HostMount::tmpfs(&dir.join("sub"), flags, MsFlags::MS_PRIVATE);
    (dir.to_str().unwrap().to_owned(), [sub, top])
}

/// MNT-10…MNT-48: options of a file system: which flags they set (`+`) or leave unset (`-`).
#[test]
fn options() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "+rw +relatime -nosuid -nodev -noexec"),
        (&["defaults"], "+rw +relatime -nosuid -nodev -noexec"),
        (&["ro"], "+ro"),
        (&["rw"], "+rw"),
        (&["ro", "rw"], "+rw -ro"),
        (&["rw", "ro"], "+ro"),
        (&["nosuid"], "+nosuid"),
        (&["nosuid", "suid"], "-nosuid"),
        (&["suid", "nosuid"], "+nosuid"),
        (&["nodev"], "+nodev"),
        (&["nodev", "dev"], "-nodev"),
        (&["noexec"], "+noexec"),
        (&["noexec", "exec"], "-noexec"),
        (&["noatime"], "+noatime -relatime"),
        (&["noatime", "atime"], "+relatime -noatime"),
        (&["relatime"], "+relatime"),
        (&["norelatime"], "-noatime"),
        (&["strictatime"], "-relatime -noatime"),
        (&["strictatime", "nostrictatime"], "+relatime"),
        (&["noatime", "strictatime"], "-relatime -noatime"),
        (&["nodiratime"], "+nodiratime"),
        (&["nodiratime", "diratime"], "-nodiratime"),
        (&["sync"], "+sync"),
        (&["sync", "async"], "-sync"),
        (&["dirsync"], "+dirsync"),
        (&["lazytime"], "+lazytime"),
        (&["lazytime", "nolazytime"], "-lazytime"),
        (&["nosymfollow"], "+nosymfollow"),
        (&["nosymfollow", "symfollow"], "-nosymfollow"),
        (&["iversion"], "+rw"),
        (&["noiversion"], "+rw"),
        (&["silent"], "+rw"),
        (&["loud"], "+rw"),
        (&["mand"], "+rw"),
        (&["nomand"], "+rw"),
        (&["ro", "nosuid", "nodev", "noexec", "noatime"], "+ro +nosuid +nodev +noexec +noatime"),
        (&["size=4096k", "nr_inodes=99", "mode=711"], "+size=4096k +nr_inodes=99 +mode=711 +rw"),
        (&["size=8192k", "nodev", "mode=700", "noexec"], "+size=8192k +mode=700 +nodev +noexec"),
    ];
    let mut bundle = Bundle::new();
    for (number, (options, _)) in cases.iter().enumerate() {
        bundle.mount(&format!("/mnt/{number}"), "tmpfs", "tmpfs", options);
    }
    let table = table(&mut bundle);
    for (number, (options, expected)) in cases.iter().enumerate() {
        let mount = at(&table, &format!("/mnt/{number}"));
        for flag in expected.split(' ') {
            assert_eq!(mount.has(&flag[1..]), flag.starts_with('+'), "{options:?}: {flag} in {mount:?}");
        }
    }
}

/// The same flags on binds: they are the new mount's alone, and the source keeps its own.
#[test]
fn options_of_binds() {
    let mut bundle = Bundle::new();
    let (source, _mounts) = host_tree(&bundle, MsFlags::empty());
    let cases: &[(&[&str], &str)] = &[
        (&["bind"], "+rw -nosuid"),
        (&["bind", "ro"], "+ro"),
        (&["ro", "bind", "rw"], "+rw -ro"),
        (&["bind", "nosuid", "nodev", "noexec"], "+nosuid +nodev +noexec +rw"),
        (&["bind", "noatime"], "+noatime"),
        (&["bind", "nodiratime", "ro"], "+nodiratime +ro"),
        (&["bind", "strictatime"], "-relatime -noatime"),
        (&["bind", "nosymfollow"], "+nosymfollow"),
        // Data for a file system has no meaning for a bind, and is ignored.
        (&["bind", "mode=700", "size=1k"], "+rw -mode=700"),
    ];
    for (number, (options, _)) in cases.iter().enumerate() {
        bundle.mount(&format!("/mnt/{number}"), "none", &source, options);
    }
    let table = table(&mut bundle);
    for (number, (options, expected)) in cases.iter().enumerate() {
        let mount = at(&table, &format!("/mnt/{number}"));
        for flag in expected.split(' ') {
            let has = mount.flags.iter().any(|other| *other == flag[1..])
                || flag[1..].contains('=') && mount.has(&flag[1..]) && !flag.starts_with('-');
            assert_eq!(has, flag.starts_with('+'), "{options:?}: {flag} in {mount:?}");
        }
    }
    let host = parse(&fs::read_to_string("/proc/self/mountinfo").unwrap());
    assert!(!at(&host, &source).has("ro") && !at(&host, &source).has("nosuid"));
}

/// MNT-12, MNT-31, MNT-73: `bind` takes the one mount, `rbind` those below it too; `ro` is for the top,
/// `rro` for all.
#[test]
fn recursive_binds() {
    let mut bundle = Bundle::new();
    let (source, _mounts) = host_tree(&bundle, MsFlags::empty());
    bundle.mount("/one", "none", &source, &["bind"]);
    bundle.mount("/all", "none", &source, &["rbind"]);
    bundle.mount("/top", "none", &source, &["rbind", "ro"]);
    bundle.mount("/rro", "none", &source, &["rbind", "rro"]);
    let table = table(&mut bundle);
    assert!(!table.iter().any(|mount| mount.point == "/one/sub"));
    assert!(at(&table, "/all").has("rw") && at(&table, "/all/sub").has("rw"));
    assert!(
        at(&table, "/top").flags.contains(&"ro".to_owned()) && !at(&table, "/top/sub").flags.contains(&"ro".to_owned())
    );
    assert!(
        at(&table, "/rro").flags.contains(&"ro".to_owned()) && at(&table, "/rro/sub").flags.contains(&"ro".to_owned())
    );
}

/// MNT-49…MNT-66, MNT-72: recursive options set and clear their flag on the whole tree, and no other.
#[test]
fn recursive_options() {
    let setting = [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rrelatime", "relatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ];
    let mut bundle = Bundle::new();
    let (source, _mounts) = host_tree(&bundle, MsFlags::empty());
    for (option, _) in setting {
        bundle.mount(&format!("/mnt/{option}"), "none", &source, &["rbind", option]);
    }
    bundle.mount("/mnt/rstrictatime", "none", &source, &["rbind", "rstrictatime"]);
    let table = table(&mut bundle);
    for (option, flag) in setting {
        for point in [format!("/mnt/{option}"), format!("/mnt/{option}/sub")] {
            let mount = at(&table, &point);
            let mut expected = vec![if flag == "ro" { "ro" } else { "rw" }];
            expected.extend([flag].iter().filter(|flag| !["ro", "relatime"].contains(flag)));
            if flag != "noatime" {
                expected.push("relatime");
            }
            let mut found: Vec<_> = mount.flags.iter().map(String::as_str).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{point}");
        }
    }
    for point in ["/mnt/rstrictatime", "/mnt/rstrictatime/sub"] {
        assert_eq!(at(&table, point).flags, ["rw"], "{point}");
    }
}

/// MNT-49…MNT-66: the recursive options that clear.
#[test]
fn recursive_options_that_clear() {
    let clearing = [
        ("rrw", "ro"),
        ("rsuid", "nosuid"),
        ("rdev", "nodev"),
        ("rexec", "noexec"),
        ("ratime", "noatime"),
        ("rnoatime", "relatime"),
        ("rdiratime", "nodiratime"),
    ];
    let mut bundle = Bundle::new();
    let all = MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC
        | MsFlags::MS_NOATIME
        | MsFlags::MS_NODIRATIME;
    let (source, _mounts) = host_tree(&bundle, all);
    for (option, _) in clearing {
        bundle.mount(&format!("/mnt/{option}"), "none", &source, &["rbind", option]);
    }
    for option in ["rnorelatime", "rnostrictatime", "rsymfollow"] {
        bundle.mount(&format!("/mnt/{option}"), "none", &source, &["rbind", option]);
    }
    let table = table(&mut bundle);
    for (option, flag) in clearing {
        for point in [format!("/mnt/{option}"), format!("/mnt/{option}/sub")] {
            assert!(!at(&table, &point).flags.iter().any(|other| other == flag), "{point} is {flag}");
            if option != "rrw" {
                assert!(at(&table, &point).has("ro"), "{point} is no longer ro");
            }
        }
    }
}

/// MNT-30, MNT-35…MNT-38, MNT-40, MNT-42, MNT-46: propagation, of one mount and of a tree.
#[test]
fn propagation() {
    let mut bundle = Bundle::new();
    let dir = bundle.file("tree");
    let _top = HostMount::tmpfs(&dir, MsFlags::empty(), MsFlags::MS_SHARED);
    let _sub = HostMount::tmpfs(&dir.join("sub"), MsFlags::empty(), MsFlags::MS_SHARED);
    let source = dir.to_str().unwrap();
    let cases = [
        ("shared", "shared:", None),
        ("slave", "master:", None),
        ("private", "", None),
        ("unbindable", "unbindable", None),
        ("rshared", "shared:", Some("shared:")),
        ("rslave", "master:", Some("master:")),
        ("rprivate", "", Some("")),
        ("runbindable", "unbindable", Some("unbindable")),
    ];
    for (option, ..) in cases {
        bundle.mount(&format!("/mnt/{option}"), "none", source, &["rbind", option]);
    }
    bundle.mount("/tmpfs", "tmpfs", "tmpfs", &["shared"]);
    let table = table(&mut bundle);
    let is = |point: &str, expected: &str| {
        let found = &at(&table, point).propagation;
        assert!(if expected.is_empty() { found.is_empty() } else { found.contains(expected) }, "{point}: {found:?}");
    };
    for (option, top, sub) in cases {
        is(&format!("/mnt/{option}"), top);
        if let Some(sub) = sub {
            is(&format!("/mnt/{option}/sub"), sub);
        }
    }
    is("/tmpfs", "shared:");
}

/// MNT-33: `remount` changes a mount that is already there.
#[test]
fn remount() {
    let mut bundle = Bundle::new();
    bundle.mount("/x", "tmpfs", "tmpfs", &["mode=711"]).mount("/x", "tmpfs", "tmpfs", &["remount", "ro", "nosuid"]);
    bundle.mount("/y", "tmpfs", "tmpfs", &[]).mount("/y", "none", "none", &["remount", "bind", "ro"]);
    let table = table(&mut bundle);
    for point in ["/x", "/y"] {
        assert_eq!(table.iter().filter(|mount| mount.point == point).count(), 1);
        assert!(at(&table, point).has("ro"), "{point}");
    }
    assert!(at(&table, "/x").has("nosuid"));
}

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

/// Whether the runtime says that it can map ids on mounts.
fn can_map_ids(bundle: &Bundle) -> bool {
    let features: Value = serde_json::from_str(&bundle.command(&["features"]).success().stdout).unwrap();
    features["linux"]["mountExtensions"]["idmap"]["enabled"] == true
}

fn mapping(host: u32) -> Value {
    json!([{"containerID": 0, "hostID": host, "size": 65536}])
}

/// MNT-67, MNT-75, MNT-78: owners on an idmapped bind are shifted by exactly the mount's mappings.
#[test]
fn idmapped() {
    let mut bundle = Bundle::with_script("stat -c %u:%g /data/file /data/sub/file");
    if !can_map_ids(&bundle) {
        bundle.mount("/data", "bind", "/etc", &["bind", "idmap"]).refused(&["mounts[6]", "idmap"]);
        skip!("the runtime does not map ids on mounts, and says so");
    }
    let (source, _mounts) = host_tree(&bundle, MsFlags::empty());
    fs::write(format!("{source}/file"), "").unwrap();
    fs::write(format!("{source}/sub/file"), "").unwrap();
    for (option, sub) in [("idmap", "0:0"), ("ridmap", "2000:3000")] {
        bundle.config["mounts"].as_array_mut().unwrap().truncate(6);
        bundle.push("/mounts", json!({"destination": "/data", "source": source, "options": ["rbind", option], "uidMappings": mapping(2000), "gidMappings": mapping(3000)}));
        let output = bundle.run();
        if output.code != 0 && output.stderr.contains("invalid argument") {
            skip!("this kernel does not map ids on tmpfs: {}", output.stderr);
        }
        assert_eq!(output.success().stdout, format!("2000:3000\n{sub}\n"));
    }
}

/// MNT-79: without mappings of its own, the mount has those of the container's user namespace.
#[test]
fn idmapped_by_the_user_namespace() {
    let mut bundle = Bundle::with_script("stat -c %u:%g /data; echo new > /data/new");
    if !can_map_ids(&bundle) {
        bundle.mount("/data", "bind", "/etc", &["bind", "idmap"]).refused(&["mounts[6]", "idmap"]);
        skip!("the runtime does not map ids on mounts, and says so");
    }
    let source = bundle.file("source");
    fs::create_dir(&source).unwrap();
    bundle.user_namespace(100_000, 65536).mount("/data", "bind", source.to_str().unwrap(), &["bind", "idmap"]);
    assert_eq!(bundle.output(), "0:0\n");
    assert_eq!(fs::metadata(source.join("new")).unwrap().uid(), 0);
}

/// MNT-80, MNT-83, MNT-84: no mappings at all, or half of them.
#[test]
fn bad_idmaps() {
    let mut bundle = Bundle::new();
    bundle.mount("/data", "bind", "/etc", &["bind", "idmap"]);
    bundle.refused(&["mounts[6]"]);
    for key in ["uidMappings", "gidMappings"] {
        bundle.config["mounts"][6] =
            json!({"destination": "/data", "source": "/etc", "options": ["bind", "idmap"], key: mapping(1)});
        bundle.refused(&["mounts[6]", "Mappings"]);
        bundle.config["mounts"][6] =
            json!({"destination": "/data", "source": "/etc", "options": ["bind"], key: mapping(1)});
        bundle.refused(&["mounts[6]", "Mappings"]);
    }
}

/// MNT-74: in a user namespace, flags that the host has locked are kept, not an error.
#[test]
fn locked_flags() {
    let mut bundle = Bundle::new();
    let (source, _mounts) = host_tree(&bundle, MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC);
    bundle.user_namespace(100_000, 65536).mount("/data", "bind", &source, &["bind", "ro"]);
    let table = table(&mut bundle);
    for flag in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(at(&table, "/data").has(flag), "{flag}");
    }
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
