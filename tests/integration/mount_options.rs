//! `mounts[].options` (config.md): flags, recursive flags, propagation, remount.

use std::fs;

use nix::mount::MsFlags;

use crate::harness::Bundle;
use crate::harness::host::HostMount;
use crate::harness::mountinfo::{at, host_tree, parse, table};

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
