//! Idmapped mounts: options idmap and ridmap, mounts[].uidMappings and gidMappings (config.md).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use nix::mount::MsFlags;

use crate::harness::host::HostMount;
use crate::harness::mountinfo::host_tree;
use crate::harness::{Bundle, Value, json};

/// Whether the runtime says that it can map ids on mounts.
fn can_map_ids(bundle: &Bundle) -> bool {
    let features: Value = serde_json::from_str(&bundle.command(&["features"]).success().stdout).unwrap();
    features["linux"]["mountExtensions"]["idmap"]["enabled"] == true
}

fn mapping(host: u32) -> Value {
    json!([{"containerID": 0, "hostID": host, "size": 65536}])
}

/// MNT-67, MNT-68, MNT-75, MNT-76, MNT-78, MNT-82: owners on an idmapped bind are shifted by exactly the mount's
/// mappings, also where they are given without an option.
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
    for (option, sub) in [("idmap", "0:0"), ("ridmap", "2000:3000"), ("rw", "0:0")] {
        bundle.config["mounts"].as_array_mut().unwrap().truncate(6);
        bundle.push("/mounts", json!({"destination": "/data", "source": source, "options": ["rbind", option], "uidMappings": mapping(2000), "gidMappings": mapping(3000)}));
        let output = bundle.run();
        if output.code != 0 && output.stderr.contains("cannot map") {
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

/// A directory with a file, both of root, on the host's own file system.
fn source(bundle: &Bundle) -> String {
    let source = bundle.file("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    source.to_str().unwrap().to_owned()
}

/// MNT-78: a mount's own mappings go before those of the user namespace.
#[test]
fn own_mappings_in_a_user_namespace() {
    let mut bundle = Bundle::with_script("stat -c %u:%g /data/file; touch /data/new");
    bundle.user_namespace(100_000, 65536);
    let source = source(&bundle);
    chown(&source, Some(7), Some(7)).unwrap();
    let map = |inside: u32, host: u32| json!([{"containerID": inside, "hostID": host, "size": 1}]);
    bundle.push(
        "/mounts",
        json!({"destination": "/data", "source": source, "options": ["bind", "idmap"],
               "uidMappings": [map(0, 100_005)[0], map(7, 100_000)[0]], "gidMappings": [map(0, 100_006)[0], map(7, 100_000)[0]]}),
    );
    assert_eq!(bundle.output(), "5:6\n");
    let new = fs::metadata(format!("{source}/new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (7, 7));
}

/// MNT-86: the user namespace whose mappings are taken may be a joined one.
#[test]
fn mappings_of_a_joined_user_namespace() {
    let mut owner = Bundle::with_script("exec sleep 1000");
    owner.user_namespace(100_000, 65536);
    let other = owner.create();
    other.start();
    let mut bundle = Bundle::with_script("stat -c %u:%g /data/file");
    bundle.user_namespace(100_000, 65536).remove("/linux/uidMappings").remove("/linux/gidMappings");
    bundle.join("user", &format!("/proc/{}/ns/user", other.pid()));
    let source = source(&bundle);
    bundle.mount("/data", "bind", &source, &["bind", "idmap"]);
    assert_eq!(bundle.output(), "0:0\n");
}

/// MNT-67, MNT-77, MNT-78: a new file system has the ids that it was given, mapped.
#[test]
fn idmapped_tmpfs() {
    let mut bundle = Bundle::with_script("stat -c %u:%g:%a /data; touch /data/new; stat -c %u:%g /data/new");
    bundle.push(
        "/mounts",
        json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["idmap", "mode=750", "uid=5"],
               "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}, {"containerID": 5, "hostID": 2000, "size": 1}],
               "gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}),
    );
    bundle.capabilities(&["CAP_DAC_OVERRIDE"]);
    assert_eq!(bundle.output(), "2000:0:750\n0:0\n");
}

/// MNT-67: without a mode it looks like the directory that it covers, as any tmpfs; also if it is read-only.
#[test]
fn idmapped_tmpfs_has_the_mode_of_what_it_covers() {
    for options in [&["idmap"][..], &["idmap", "ro"]] {
        let mut bundle = Bundle::with_script("stat -c %a /data; touch /data/new 2>/dev/null; ls /data");
        fs::create_dir(bundle.rootfs("data")).unwrap();
        fs::set_permissions(bundle.rootfs("data"), fs::Permissions::from_mode(0o2711)).unwrap();
        bundle.user_namespace(100_000, 65536).mount("/data", "tmpfs", "tmpfs", options);
        assert_eq!(bundle.output(), if options.len() == 1 { "2711\nnew\n" } else { "2711\n" });
    }
}

/// MNT-79: the same with the ids of the container's user namespace: made by root, it belongs to root inside.
#[test]
fn idmapped_tmpfs_in_a_user_namespace() {
    let mut bundle = Bundle::with_script("stat -c %u:%g /data; touch /data/new; stat -c %u:%g /data/new");
    bundle.user_namespace(100_000, 65536).mount("/data", "tmpfs", "tmpfs", &["idmap", "mode=755"]);
    assert_eq!(bundle.output(), "0:0\n0:0\n");
}

/// MNT-75: an overlay has layers whose ids can be mapped, but not those of its own mount.
#[test]
fn an_overlay_cannot() {
    let mut bundle = Bundle::new();
    let lower = format!("lowerdir={}:{}", source(&bundle), bundle.rootfs("etc").display());
    bundle.user_namespace(100_000, 65536).mount("/data", "overlay", "overlay", &["idmap", &lower]);
    bundle.refused(&["mounts[6]: not supported: overlay cannot map the ids of a mount"]);
}

/// MNT-75: what cannot be mapped is no plain mount; the message names the file system.
#[test]
fn file_systems_that_cannot() {
    let mut bundle = Bundle::new();
    bundle.push("/mounts", Value::Null);
    for (kind, origin, options, name) in [
        ("bind", "/proc", &["bind", "idmap"][..], "proc (/proc) cannot map"),
        ("bind", "/proc/self/fdinfo", &["rbind", "ridmap"], "proc (/proc) cannot map"),
        ("proc", "proc", &["idmap"], "proc cannot map"),
        ("sysfs", "sysfs", &["idmap"], "sysfs cannot map"),
    ] {
        bundle.config["mounts"][6] = json!({"destination": "/data", "type": kind, "source": origin, "options": options,
                                            "uidMappings": mapping(2000), "gidMappings": mapping(3000)});
        bundle.refused(&["mounts[6]: not supported: ", name]);
    }
}

/// MNT-76: with ridmap the one that cannot may be a mount below.
#[test]
fn a_mount_below_that_cannot() {
    let mut bundle = Bundle::new();
    let source = source(&bundle);
    let below = Path::new(&source).join("below");
    let _mount = HostMount::of("ramfs", &below);
    bundle.push(
        "/mounts",
        json!({"destination": "/data", "source": source, "options": ["rbind", "ridmap"],
               "uidMappings": mapping(2000), "gidMappings": mapping(3000)}),
    );
    bundle.run().failure(&["mounts[6]: not supported: ", &format!("ramfs ({}) cannot map", below.display())]);
    // idmap alone leaves it as it is.
    bundle.set("/mounts/6/options", json!(["rbind", "idmap"])).script("stat -c %u:%g /data/file /data/below");
    assert_eq!(bundle.output(), "2000:3000\n0:0\n");
}

/// MNT-75, MNT-85: neither for cgroup mounts nor for remounts, and mappings are checked as those of a user
/// namespace are.
#[test]
fn refusals() {
    let mut bundle = Bundle::new();
    bundle.push("/mounts", Value::Null);
    for (kind, options, uids, words) in [
        ("cgroup", &["idmap"][..], mapping(1), ["mounts[6].options", "idmap"]),
        ("none", &["remount", "bind", "idmap"], mapping(1), ["mounts[6].options", "idmap"]),
        (
            "bind",
            &["bind", "idmap"],
            json!([{"containerID": 0, "hostID": 1, "size": 2}, {"containerID": 1, "hostID": 5, "size": 2}]),
            ["mounts[6].uidMappings", "overlap"],
        ),
        (
            "bind",
            &["bind", "idmap"],
            (0..341).map(|n| json!({"containerID": n, "hostID": 1000 + n, "size": 1})).collect(),
            ["mounts[6].uidMappings", "340"],
        ),
    ] {
        bundle.config["mounts"][6] = json!({"destination": "/dev", "type": kind, "source": "/etc", "options": options,
                                            "uidMappings": uids, "gidMappings": mapping(1)});
        bundle.refused(&words);
    }
}
