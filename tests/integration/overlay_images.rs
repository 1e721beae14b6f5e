//! Annotations `org.orlop.overlay.image` and `.options`: a root file system of an image's layers, and how
//! overlayfs is to treat them (docs/overlay.md).

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown, symlink};

use crate::harness::image::{Fixture, Tar, layout};
use crate::harness::{Bundle, Value, eventually, json};

/// The test's bundle, made of this image of the store.
fn use_image(fixture: &mut Fixture, image: &str, more: &[(&str, &str)]) {
    let store = fixture.store.to_str().unwrap().to_owned();
    annotate(&mut fixture.bundle, &[&[("image", image), ("store", &store)], more].concat());
}

fn annotate(bundle: &mut Bundle, annotations: &[(&str, &str)]) {
    let pairs = annotations.iter().map(|(key, value)| (format!("org.orlop.overlay.{key}"), json!(value)));
    bundle.set("/root/path", json!("")).set("/annotations", Value::Object(pairs.collect()));
}

/// By name, by digest and by the beginning of one: what the container writes is its own.
#[test]
fn an_image_by_name_and_by_digest() {
    let mut fixture = Fixture::new();
    fs::write(fixture.bundle.rootfs("etc/base"), "base\n").unwrap();
    fixture.import_busybox("box:1");
    let inspected: Value = serde_json::from_str(&fixture.image(&["inspect", "box:1"]).success().stdout).unwrap();
    let digest = inspected["digest"].as_str().unwrap().to_owned();
    fixture.bundle.script("cat /etc/base; echo mine > /etc/base; cat /etc/base");
    for image in ["box:1", &digest, &digest[7..19]] {
        use_image(&mut fixture, image, &[]);
        assert_eq!(fixture.bundle.output(), "base\nmine\n", "{image}");
    }
    use_image(&mut fixture, "box:1", &[("upper", "tmpfs")]);
    assert_eq!(fixture.bundle.output(), "base\nmine\n");
}

/// In a user namespace the stored copy is root's still, and the container's root has it.
#[test]
fn an_image_in_a_user_namespace() {
    let mut fixture = Fixture::new();
    fixture.import_busybox("box");
    use_image(&mut fixture, "box", &[]);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    fixture.bundle.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    fixture.bundle.script("stat -c '%u %g' /bin/busybox; echo > /new; stat -c %u /new");
    assert_eq!(fixture.bundle.output(), "0 0\n0\n");
}

/// What a layer hides of those below it is hidden in user namespaces, too.
#[test]
fn opaque_directories_in_a_user_namespace() {
    let mut fixture = Fixture::new();
    let program = fs::read(fixture.bundle.rootfs("bin/busybox")).unwrap();
    let base = Tar::default().program("bin/busybox", &program).dir("proc").dir("dev").dir("sys");
    let base = base.file("opt/a", "").file("etc/gone", "").file("srv/a", "").end();
    let top = Tar::default().file("opt/.wh..wh..opq", "").file("opt/b", "").file("etc/.wh.gone", "");
    let top = top.file(".wh.srv", "").dir("srv/").file("srv/b", "").end();
    let source = fixture.bundle.file("layout");
    layout(&source, "two", &[base, top], json!({}));
    fixture.image(&["import", source.to_str().unwrap()]).success();
    use_image(&mut fixture, "two", &[]);
    fixture.bundle.args(&["/bin/busybox", "ls", "/opt", "/etc", "/srv"]);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    for user in [false, true] {
        if user {
            fixture.bundle.namespace("user");
            fixture.bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map.clone());
        }
        assert_eq!(fixture.bundle.output(), "/etc:\n\n/opt:\nb\n\n/srv:\nb\n");
    }
}

/// A container made of an image keeps its layers though the image's name is gone, and its configuration
/// does not list them; whichever way the store was written.
#[test]
fn prune_leaves_the_layers_of_a_container() {
    let mut fixture = Fixture::new();
    fixture.import_busybox("box");
    let elsewhere = fixture.bundle.file("link-to-store");
    symlink(&fixture.store, &elsewhere).unwrap();
    annotate(&mut fixture.bundle, &[("image", "box"), ("store", elsewhere.to_str().unwrap())]);
    fixture.bundle.script("echo up; exec sleep 1000");
    let container = fixture.bundle.create();
    fixture.image(&["remove", "box"]).success();
    let pruned = fixture.image(&["prune"]).success().stdout;
    assert!(pruned.starts_with("0 layers and 3 blobs"), "{pruned}");
    container.start().wait_output("up");
    assert_eq!(container.exec(&[], &["/bin/cat", "/proc/1/comm"]).success().stdout, "sleep\n");
    container.stop();
    container.delete();
    fixture.image(&["prune"]).success();
    assert_eq!(fixture.count("layers/sha256"), 0);
}

/// Between the look at the image and the record of what it is used for, a prune waits.
#[test]
fn prune_waits_for_a_create() {
    let fixture = Fixture::new();
    fixture.import_busybox("box");
    fixture.image(&["remove", "box"]).success();
    let layers = File::open(fixture.store.join("layers/sha256")).unwrap();
    layers.lock_shared().unwrap();
    let prune = fixture.bundle.spawn(&["image", "--store", fixture.store.to_str().unwrap(), "prune"]);
    let inode = format!(":{} ", layers.metadata().unwrap().ino());
    eventually("prune did not wait", || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("->") && line.contains(&inode)).then_some(())
    });
    assert_eq!(fixture.count("layers/sha256"), 1);
    layers.unlock().unwrap();
    prune.finish().success();
    assert_eq!(fixture.count("layers/sha256"), 0);
}

/// Images have the same, mostly empty, layer more than once; overlayfs takes each directory once.
#[test]
fn a_layer_that_comes_again() {
    let mut fixture = Fixture::new();
    let program = fs::read(fixture.bundle.rootfs("bin/busybox")).unwrap();
    let base = Tar::default().program("bin/busybox", &program).dir("proc").dir("dev").dir("sys").end();
    let twice = Tar::default().file("etc/a", "again\n").file("etc/.wh.b", "").end();
    let between = Tar::default().file("etc/a", "between\n").file("etc/b", "").file("etc/c", "").end();
    let source = fixture.bundle.file("layout");
    layout(&source, "again", &[base, twice.clone(), between, twice], json!({}));
    fixture.image(&["import", source.to_str().unwrap()]).success();
    let script = "/bin/busybox cat /etc/a; /bin/busybox ls /etc";
    fixture.bundle.args(&["/bin/busybox", "sh", "-c", script]);
    use_image(&mut fixture, "again", &[]);
    assert_eq!(fixture.bundle.output(), "again\na\nc\n");
    fixture.bundle(&["again", "--", "/bin/busybox", "sh", "-c", script]);
    assert_eq!(fixture.bundle.output(), "again\na\nc\n");
}

/// Hundreds of layers, each with the container's ids.
#[test]
fn many_layers_in_a_user_namespace() {
    let mut bundle = Bundle::with_script("ls -d /f* | wc -l; for f in /f*; do stat -c %u $f; done | sort -u");
    let names: Vec<String> = (0..499).map(|index| format!("layers/{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        fs::create_dir_all(bundle.dir.join(name)).unwrap();
        let file = bundle.dir.join(name).join(format!("f{index}"));
        fs::write(&file, "").unwrap();
        chown(file, Some(7), Some(7)).unwrap();
    }
    annotate(&mut bundle, &[("lower", &format!("{}:rootfs", names.join(":")))]);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    assert_eq!(bundle.output(), "499\n7\n");
}

/// The kernel is told, and says so itself.
#[test]
fn options() {
    let show = "grep ' / / ' /proc/self/mountinfo | sed 's/.* - overlay //'";
    for upper in ["state", "tmpfs"] {
        let options = "volatile,metacopy=on,redirect_dir=on,index=on,xino=on";
        let mut bundle = Bundle::with_script(show);
        annotate(&mut bundle, &[("lower", "rootfs"), ("upper", upper), ("options", options)]);
        let shown = bundle.output();
        for option in options.split(',') {
            // Where a file system's inode numbers are short, xino=on is what it is anyway.
            assert!(shown.contains(option) || option == "xino=on", "{option}: {shown}");
        }
    }
    let mut bundle = Bundle::with_script(show);
    annotate(&mut bundle, &[("lower", "rootfs"), ("options", "userxattr")]);
    assert!(bundle.output().contains("userxattr"));
}

/// Annotations, and words of the error.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// What is wrong is named, and leaves nothing.
#[test]
fn refusals() {
    let mut fixture = Fixture::new();
    fixture.import_busybox("box");
    let store = fixture.store.to_str().unwrap().to_owned();
    let cases: &[Case<'_>] = &[
        (&[("image", "none"), ("store", &store)], &["overlay.image", "\"none\" does not exist"]),
        (&[("image", "box"), ("store", "no/such")], &["overlay.image", "no/such", "no such file or directory"]),
        (&[("image", "box"), ("store", &store), ("lower", "rootfs")], &["overlay.image", "overlay.lower"]),
        (&[("lower", "rootfs"), ("store", &store)], &["overlay.store", "needs", "overlay.image"]),
        (&[("store", &store)], &["overlay.store", "needs", "overlay.image"]),
        (&[("lower", "rootfs"), ("options", "userxattr,metacopy=on")], &["overlay.options", "metacopy=off"]),
    ];
    for (annotations, words) in cases {
        annotate(&mut fixture.bundle, annotations);
        fixture.bundle.refused(words);
    }
    use_image(&mut fixture, "box", &[]);
    fixture.bundle.share("mount").refused(&["overlay.image", "mount namespace"]);
}
