//! Annotations `org.orlop.overlay.*`: root file systems made of shared layers (docs/overlay.md).

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::harness::{Bundle, host, json};

/// A bundle whose root is made of layers, the topmost first; `rootfs` is busybox.
fn layered(layers: &[&str], script: &str) -> Bundle {
    let mut bundle = Bundle::with_script(script);
    for layer in layers.iter().filter(|layer| **layer != "rootfs") {
        fs::create_dir_all(bundle.dir.join(layer)).unwrap();
    }
    bundle.set("/root/path", json!(""));
    annotate(&mut bundle, "lower", &layers.join(":"));
    bundle
}

fn annotate(bundle: &mut Bundle, key: &str, value: &str) {
    let mut annotations = bundle.config["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert(format!("org.orlop.overlay.{key}"), json!(value));
    bundle.set("/annotations", json!(annotations));
}

/// What a tree holds: names, kinds, modes, owners, sizes.
fn snapshot(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let look = entry.metadata().unwrap();
            let (mode, uid, gid, size) = (look.mode(), look.uid(), look.gid(), look.size());
            found.push(format!("{:?} {mode:o} {uid} {gid} {size}", entry.path()));
            if look.is_dir() {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn state_of(bundle: &Bundle, name: &str) -> PathBuf {
    bundle.state_root().join(&bundle.id).join(name)
}

/// Copy-up and whiteout end up in the upper directory in the state directory; the layers are as before,
/// the host sees no mount of it, and `delete` leaves nothing.
#[test]
fn changes_stay_in_the_upper_directory() {
    let bundle = {
        let bundle = layered(
            &["app", "rootfs"],
            "echo more >> /etc/base; rm /etc/app; echo new > /etc/new; chmod 700 /etc/mode; cat /etc/base; ls /etc; exec sleep 1000",
        );
        fs::create_dir(bundle.dir.join("app/etc")).unwrap();
        fs::write(bundle.dir.join("app/etc/app"), "app\n").unwrap();
        for name in ["base", "mode"] {
            fs::write(bundle.rootfs("etc").join(name), "base\n").unwrap();
        }
        bundle
    };
    let before = [snapshot(&bundle.dir.join("app")), snapshot(&bundle.dir.join("rootfs"))];
    let container = bundle.create();
    assert_eq!(container.state()["rootfs"], json!(state_of(&bundle, "rootfs")));
    container.start().wait_output("new");
    assert!(container.stdout().starts_with("base\nmore\nbase\nmode\nnew\n"), "{}", container.stdout());
    let upper = state_of(&bundle, "overlay/upper");
    assert_eq!(fs::read_to_string(upper.join("etc/base")).unwrap(), "base\nmore\n");
    assert_eq!(fs::metadata(upper.join("etc/mode")).unwrap().permissions().mode() & 0o777, 0o700);
    let whiteout = fs::symlink_metadata(upper.join("etc/app")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert_eq!(before, [snapshot(&bundle.dir.join("app")), snapshot(&bundle.dir.join("rootfs"))]);
    assert_eq!(host::mounts(bundle.tag()), Vec::<String>::new());
    container.stop();
    container.delete();
    assert_eq!(fs::read_dir(bundle.state_root()).unwrap().count(), 0);
}

/// The topmost layer wins, and hides what it has whiteouts and opaque directories for: what one container
/// wrote is the next one's layer.
#[test]
fn the_topmost_layer_wins() {
    let mut bundle = layered(
        &["rootfs"],
        "rm /etc/hidden; rm -r /opt; mkdir /opt; echo top > /etc/who; echo > /opt/top; chmod 751 /",
    );
    fs::create_dir_all(bundle.rootfs("opt")).unwrap();
    for name in ["etc/hidden", "etc/who", "opt/bottom"] {
        fs::write(bundle.rootfs(name), "bottom\n").unwrap();
    }
    annotate(&mut bundle, "upper", "top");
    assert_eq!(bundle.output(), "");
    annotate(&mut bundle, "lower", "top:middle:rootfs");
    annotate(&mut bundle, "upper", "state");
    for name in ["etc/who", "etc/middle", "opt/middle"] {
        let path = bundle.dir.join("middle").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "middle\n").unwrap();
    }
    bundle.script("cat /etc/who; ls -A /etc /opt; stat -c %a /");
    assert_eq!(bundle.output(), "top\n/etc:\nmiddle\nwho\n\n/opt:\ntop\n751\n");
}

/// An upper directory in memory has the size asked for and leaves nothing, not even while it is there.
#[test]
fn upper_in_memory() {
    let mut bundle = layered(
        &["rootfs"],
        "dd if=/dev/zero of=/big bs=1024 count=2048 2>/dev/null; stat -c %s /big; rm /big; echo x > /etc/x; cat /etc/x",
    );
    annotate(&mut bundle, "upper", "tmpfs");
    annotate(&mut bundle, "size", "1m");
    let output = bundle.output();
    let (size, rest) = output.split_once('\n').unwrap();
    assert!(size.parse::<u64>().unwrap() <= 1 << 20, "{size}");
    assert_eq!(rest, "x\n");
    assert!(!bundle.rootfs("etc/x").exists());
    let container = bundle.create();
    assert!(!state_of(&bundle, "overlay").exists());
    drop(container);
}

/// A directory of the caller's is made if it is not there, stays, and is used again.
#[test]
fn kept_upper_directory() {
    let mut bundle = layered(&["rootfs"], "cat /count 2>/dev/null; echo again >> /count");
    let upper = bundle.file("changes");
    annotate(&mut bundle, "upper", upper.to_str().unwrap());
    assert_eq!(bundle.output(), "");
    assert_eq!(bundle.output(), "again\n");
    assert_eq!(fs::read_to_string(upper.join("count")).unwrap(), "again\nagain\n");
    assert!(bundle.file("changes.work").exists());
    let elsewhere = bundle.file("elsewhere");
    annotate(&mut bundle, "work", elsewhere.to_str().unwrap());
    assert_eq!(bundle.output(), "again\nagain\n");
    assert!(elsewhere.join("work").exists() && !bundle.rootfs("count").exists());
}

/// `root.readonly` needs no upper directory, whatever the number of layers.
#[test]
fn readonly() {
    for layers in [&["rootfs"][..], &["extra", "rootfs"]] {
        let mut bundle = layered(layers, "echo x > /new; cat /etc/from 2>/dev/null; echo done");
        bundle.set("/root/readonly", json!(true));
        if layers.len() > 1 {
            fs::create_dir(bundle.dir.join("extra/etc")).unwrap();
            fs::write(bundle.dir.join("extra/etc/from"), "extra\n").unwrap();
        }
        let output = bundle.run();
        assert_eq!(output.stdout, if layers.len() > 1 { "extra\ndone\n" } else { "done\n" });
        assert!(output.stderr.contains("Read-only file system"), "{output:?}");
        assert!(!bundle.rootfs("new").exists());
    }
}

/// One stored copy serves every mapping: in the container root owns the layer's files, on the host they
/// stay root's, and what the container writes belongs to the ids it is mapped to.
#[test]
fn user_namespaces_share_layers() {
    for first in [100_000, 300_000] {
        let mut bundle =
            layered(&["rootfs"], "stat -c '%u %g' /etc/base /etc/user; echo x >> /etc/base; echo up; exec sleep 1000");
        fs::write(bundle.rootfs("etc/base"), "").unwrap();
        fs::write(bundle.rootfs("etc/user"), "").unwrap();
        chown(bundle.rootfs("etc/user"), Some(1000), Some(1000)).unwrap();
        let map = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
        bundle.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
        let before = snapshot(&bundle.dir.join("rootfs"));
        let container = bundle.create();
        container.start().wait_output("up");
        assert_eq!(container.stdout(), "0 0\n1000 1000\nup\n", "{}", container.stderr());
        let copied = fs::metadata(state_of(&bundle, "overlay/upper/etc/base")).unwrap();
        assert_eq!((copied.uid(), copied.gid(), copied.size()), (first, first, 2));
        assert_eq!(before, snapshot(&bundle.dir.join("rootfs")));
        container.stop();
        container.delete();
        assert_eq!(fs::read_dir(bundle.state_root()).unwrap().count(), 0);
    }
}

/// Without idmapping the layer's files belong to whom they belong on the host.
#[test]
fn user_namespace_as_it_is() {
    let mut bundle = layered(&["rootfs"], "stat -c '%u' /etc/base /etc/mapped");
    fs::write(bundle.rootfs("etc/base"), "").unwrap();
    fs::write(bundle.rootfs("etc/mapped"), "").unwrap();
    bundle.user_namespace(100_000, 65536);
    chown(bundle.rootfs("etc/mapped"), Some(100_007), Some(100_007)).unwrap();
    annotate(&mut bundle, "idmap", "false");
    assert_eq!(bundle.output(), "65534\n7\n");
}

/// Neither colons, commas and backslashes in names nor the number of layers are in the way.
#[test]
fn names_and_numbers() {
    let odd = "a:b,c\\d e=f";
    let mut bundle = layered(&["rootfs"], "cat /etc/odd");
    fs::create_dir_all(bundle.dir.join(odd).join("etc")).unwrap();
    fs::write(bundle.dir.join(odd).join("etc/odd"), "odd\n").unwrap();
    annotate(&mut bundle, "lower", "a\\:b,c\\\\d e=f:rootfs");
    assert_eq!(bundle.output(), "odd\n");

    let many: Vec<String> = (0..499).map(|index| format!("layers/{index:0>60}")).collect();
    for (index, layer) in many.iter().enumerate() {
        fs::create_dir_all(bundle.dir.join(layer)).unwrap();
        fs::write(bundle.dir.join(layer).join(format!("f{index}")), "").unwrap();
    }
    annotate(&mut bundle, "lower", &format!("{}:rootfs", many.join(":")));
    bundle.script("ls -d /f* | wc -l");
    assert_eq!(bundle.output(), "499\n");
    fs::create_dir(bundle.dir.join("one-more")).unwrap();
    annotate(&mut bundle, "lower", &format!("one-more:{}:rootfs", many.join(":")));
    bundle.refused(&["annotations.org.orlop.overlay.lower", "501", "500"]);
}

/// Annotations, and words of the error.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

/// What is wrong is named, and leaves nothing.
#[test]
fn refusals() {
    let cases: &[Case] = &[
        (&[("lower", "rootfs:missing")], &["overlay.lower", "missing", "no such file or directory"]),
        (&[("lower", "config.json")], &["overlay.lower", "config.json", "not a directory"]),
        (&[("lower", "rootfs::rootfs")], &["overlay.lower", "empty"]),
        (&[("lowers", "rootfs")], &["org.orlop.overlay.lowers"]),
        (&[("upper", "")], &["overlay.upper", "empty"]),
        (&[("upper", "no/such/directory")], &["overlay.upper", "no such file or directory"]),
        (&[("upper", "up"), ("work", "up/work")], &["overlay.work", "contain"]),
        (&[("work", "somewhere")], &["overlay.work", "needs"]),
        (&[("size", "1m")], &["overlay.size", "tmpfs"]),
        (&[("upper", "tmpfs"), ("size", "much")], &["overlay.size", "much"]),
        (&[("idmap", "true")], &["overlay.idmap", "user namespace"]),
        (&[("idmap", "maybe")], &["overlay.idmap", "maybe"]),
        (&[("options", "lowerdir=/etc")], &["overlay.options", "lowerdir"]),
        (&[("options", "redirect_dir=perhaps")], &["overlay", "redirect_dir"]),
    ];
    for (annotations, words) in cases {
        let mut bundle = layered(&["rootfs"], "true");
        for (key, value) in *annotations {
            annotate(&mut bundle, key, value);
        }
        bundle.refused(words);
    }
    let mut bundle = layered(&["rootfs"], "true");
    bundle.set("/annotations", json!({"org.orlop.overlay.upper": "tmpfs"}));
    bundle.refused(&["overlay.upper", "needs", "overlay.lower"]);
    let mut bundle = layered(&["rootfs"], "true");
    bundle.share("mount");
    bundle.refused(&["overlay.lower", "mount namespace"]);
}

/// A create that fails late takes the upper directory with it, and the id is free.
#[test]
fn a_failed_create_leaves_nothing() {
    let mut bundle = layered(&["rootfs"], "true");
    bundle.hook("createContainer", "exit 3");
    bundle.refused(&["createContainer"]);
    assert_eq!(fs::read_dir(bundle.state_root()).map_or(0, Iterator::count), 0);
}

/// However deep a container nests its directories, `delete` removes them.
#[test]
fn a_deep_tree_can_be_deleted() {
    let script = r#"mkdir /d; cd /d; p=$(printf 'd/%.0s' $(seq 100))
        for i in $(seq 30); do mkdir -p $p && cd -P $p || exit; done; echo up; exec sleep 1000"#;
    let bundle = layered(&["rootfs"], script);
    let container = bundle.create();
    container.start().wait_output("up");
    container.stop();
    container.delete();
    assert_eq!(fs::read_dir(bundle.state_root()).unwrap().count(), 0);
}

/// Containers of one layer do not see each other's changes.
#[test]
fn containers_are_apart() {
    let mut bundle = layered(&["rootfs"], "echo mine >> /etc/shared; echo up; exec sleep 1000");
    bundle.remove("/linux/cgroupsPath").write();
    let other = format!("{}-2", bundle.id);
    let containers = [bundle.create_as(&bundle.id, &[]), bundle.create_as(&other, &[])];
    for container in &containers {
        container.start().wait_output("up");
        let seen = fs::read_to_string(format!("/proc/{}/root/etc/shared", container.pid())).unwrap();
        assert_eq!(seen.lines().count(), 1, "{seen}");
    }
    assert!(!bundle.rootfs("etc/shared").exists());
}
