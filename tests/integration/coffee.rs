//! `bundles/coffee`: containers over one layer, each with changes of its own, and what that takes on disk
//! (docs/overlay.md).

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::harness::image::Fixture;
use crate::harness::{Bundle, Container, eventually, host, json};

/// The bundles as they are in the checkout.
const BUNDLES: [(&str, &str); 3] = [
    ("change", include_str!("../../bundles/coffee/change/config.json")),
    ("delete", include_str!("../../bundles/coffee/delete/config.json")),
    ("add", include_str!("../../bundles/coffee/add/config.json")),
];

/// Names, kinds, owners, lengths, times and contents.
fn snapshot(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let look = entry.metadata().unwrap();
        let content = if look.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
        let (mode, owner, time) = (look.mode(), (look.uid(), look.gid()), (look.mtime(), look.ctime()));
        found.push(format!("{:?} {mode:o} {owner:?} {time:?} {}", entry.path(), content.len()));
        if look.is_dir() {
            found.extend(snapshot(&entry.path()));
        }
    }
    found.sort();
    found
}

/// What a tree takes on disk, in bytes.
fn allocated(dir: &Path) -> u64 {
    let own = fs::symlink_metadata(dir).unwrap();
    let below = || fs::read_dir(dir).unwrap().flatten().map(|entry| allocated(&entry.path())).sum::<u64>();
    own.blocks() * 512 + if own.is_dir() { below() } else { 0 }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A container's root, as it sees it itself.
fn root(container: &Container) -> PathBuf {
    format!("/proc/{}/root", container.pid()).into()
}

/// All three run at once. Copy-up, whiteout and new file are in the upper directory of whoever made them,
/// the others see the base, and the base is as it was.
#[test]
fn three_containers_over_one_layer() {
    let mut bundle = Bundle::new();
    let coffee = bundle.file("coffee");
    fs::create_dir(&coffee).unwrap();
    let base = coffee.join("base");
    fs::rename(bundle.dir.join("rootfs"), &base).unwrap();
    fs::create_dir(base.join("srv")).unwrap();
    fs::write(base.join("srv/menu"), "espresso\nlungo\n").unwrap();
    fs::write(base.join("srv/sugar"), "two lumps\n").unwrap();
    let before = snapshot(&base);

    let mut containers: Vec<Container> = Vec::new();
    for (name, config) in BUNDLES {
        bundle.dir = coffee.join(name);
        fs::create_dir(&bundle.dir).unwrap();
        bundle.config = serde_json::from_str(config).unwrap();
        let script = bundle.config["process"]["args"][2].as_str().unwrap().to_owned();
        bundle.set("/process/args/2", json!(format!("{script}; echo up; exec sleep 1000")));
        bundle.set("/linux/cgroupsPath", json!(format!("/{}-{name}", bundle.tag()))).write();
        containers.push(bundle.create_as(&format!("{}-{name}", bundle.id), &[]));
    }
    for container in &containers {
        container.start().wait_output("up");
    }
    let upper = |name: &str| coffee.join(name).join("upper/srv");
    assert_eq!(fs::read_to_string(upper("change").join("menu")).unwrap(), "espresso\nlungo\nlatte\n");
    let whiteout = fs::symlink_metadata(upper("delete").join("sugar")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    assert_eq!(fs::read_to_string(upper("add").join("cake")).unwrap(), "muffin\n");
    for ((name, _), changed) in BUNDLES.iter().zip(["menu", "sugar", "cake"]) {
        assert_eq!(names(&upper(name)), [changed]);
        assert!(allocated(&coffee.join(name)) < allocated(&base) / 10);
    }
    let seen = |container: &Container| names(&root(container).join("srv"));
    assert_eq!(
        containers.iter().map(seen).collect::<Vec<_>>(),
        [vec!["menu", "sugar"], vec!["menu"], vec!["cake", "menu", "sugar"],]
    );
    for container in &containers[1..] {
        assert_eq!(fs::read_to_string(root(container).join("srv/menu")).unwrap(), "espresso\nlungo\n");
    }
    assert_eq!(snapshot(&base), before);
    assert_eq!(host::mounts(bundle.tag()), Vec::<String>::new());
    for container in containers {
        container.stop();
        container.delete();
    }
    // What was written outlives its container, because the bundles name the directory.
    assert!(upper("add").join("cake").exists());
    assert_eq!(snapshot(&base), before);
}

/// A hundred containers of one image, all there at the same time, take what the image takes and what each
/// has changed.
#[test]
fn a_hundred_containers_of_one_image() {
    const CONTAINERS: u64 = 100;
    let mut fixture = Fixture::new();
    fixture.import_busybox("box");
    fixture.bundle(&["box", "--", "/bin/sh", "-c", "exec sleep 1000"]);
    fixture.bundle.remove("/linux/cgroupsPath");
    fixture.bundle.script("echo mine > /etc/mine; exec sleep 1000").write();
    let image = allocated(&fixture.store.join("layers"));
    assert!(image > 1 << 20, "busybox alone is larger than {image}");

    let ids: Vec<String> = (0..CONTAINERS).map(|number| format!("{}-{number}", fixture.bundle.id)).collect();
    let containers: Vec<Container> = ids.iter().map(|id| fixture.bundle.create_as(id, &[])).collect();
    for container in &containers {
        container.start();
        let mine = fixture.bundle.state_root().join(&container.id).join("overlay/upper/etc/mine");
        eventually("nothing written", || fs::read(&mine).ok().filter(|text| text == b"mine\n"));
    }
    assert_eq!(allocated(&fixture.store.join("layers")), image);
    let each = allocated(&fixture.bundle.state_root()) / CONTAINERS;
    assert!(each < 64 << 10, "{each} bytes for each container, and {image} for the image");
}
