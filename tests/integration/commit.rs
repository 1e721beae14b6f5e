//! `commit`: a container and what it has changed as an image (docs/images.md).

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::harness::image::Fixture;
use crate::harness::{Container, Output, Value, json};

/// An image `base` of busybox with files to change, and a bundle of it that runs `script`.
fn fixture(script: &str) -> Fixture {
    let mut fixture = Fixture::new();
    for dir in ["opt/sub", "srv"] {
        fs::create_dir_all(fixture.bundle.rootfs(dir)).unwrap();
    }
    for name in ["etc/base", "etc/gone", "opt/bottom", "opt/sub/x", "srv/file"] {
        fs::write(fixture.bundle.rootfs(name), "base\n").unwrap();
    }
    fixture.import_busybox("base");
    fixture.bundle(&["base", "--", "/bin/sh", "-c", script]);
    fixture
}

fn commit(fixture: &Fixture, container: &Container, args: &[&str]) -> Output {
    let store = fixture.store.to_str().unwrap();
    let mut command =
        fixture.bundle.prepare(&[&["commit", "--store", store], &args[1..], &[&container.id, args[0]]].concat());
    command.env("SOURCE_DATE_EPOCH", "86400");
    fixture.bundle.finish(command)
}

fn inspect(fixture: &Fixture, name: &str) -> Value {
    serde_json::from_str(&fixture.image(&["inspect", name]).success().stdout).unwrap()
}

/// The upper directory of a container.
fn upper(fixture: &Fixture, container: &Container) -> PathBuf {
    fixture.bundle.state_root().join(&container.id).join("overlay/upper")
}

/// A running container of the image, made of a bundle of its own.
fn run(fixture: &mut Fixture, image: &str) -> Container {
    fs::remove_file(fixture.dir().join("config.json")).unwrap();
    fixture.bundle(&[image, "--", "/bin/sh", "-c", "echo up; exec sleep 1000"]);
    let container = fixture.bundle.create();
    container.start().wait_output("up");
    container
}

/// All that a container sees of its own root file system, with everything about it but the change time.
fn seen(container: &Container) -> BTreeMap<String, String> {
    let root = PathBuf::from(format!("/proc/{}/root/", container.pid()));
    let device = fs::metadata(&root).unwrap().dev();
    let mut seen = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let look = fs::symlink_metadata(&path).unwrap();
            if look.is_dir() && look.dev() != device {
                continue;
            }
            let about = (look.mode(), look.uid(), look.gid(), look.mtime(), look.mtime_nsec(), look.rdev());
            let links = if look.is_dir() { 0 } else { look.nlink() };
            let content = if look.is_file() { digest(&path) } else { String::new() };
            let target = fs::read_link(&path).unwrap_or_default();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            seen.insert(name, format!("{about:?} {links} {content} {target:?}"));
            if look.is_dir() {
                open.push(path);
            }
        }
    }
    seen
}

fn digest(file: &Path) -> String {
    crate::harness::image::digest(&fs::read(file).unwrap())
}

const CHANGES: &str =
    "echo more >> /etc/base; rm /etc/gone; mkdir -p /new/dir; echo x > /new/file; ln /new/file /new/hard;
    ln -s ../etc/base /new/link; mkfifo /new/fifo; chmod 4711 /new/file; chown 7:8 /new/dir; chmod 1777 /new/dir;
    rm -r /opt; mkdir /opt; echo top > /opt/bottom; rm -r /srv; echo > /srv; chmod 711 /etc;
    touch -d @1000000000 /new/dir";

/// A container of the new image sees what the first one saw, whatever it is; what was deleted stays so.
#[test]
fn round_trip() {
    let mut fixture = fixture(&format!("{CHANGES}; echo up; exec sleep 1000"));
    let container = fixture.bundle.create();
    container.start().wait_output("up");
    let upper = upper(&fixture, &container);
    let long = "n".repeat(200);
    fs::write(upper.join("new").join(&long), "long").unwrap();
    std::os::unix::fs::symlink(format!("/{long}"), upper.join("new/far")).unwrap();
    mknod(&upper.join("new/null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, 3)).unwrap();
    let sparse = fs::File::create(upper.join("new/sparse")).unwrap();
    sparse.set_len(16 << 20).unwrap();
    sparse.write_at(b"end", (16 << 20) - 3).unwrap();
    let attributes = [("user.note", &b"kept\0\n"[..]), ("trusted.overlay.origin", b"not kept")];
    for (name, value) in attributes {
        set_attribute(&upper.join("new/file"), name, value);
    }
    let before = seen(&container);
    let made = commit(&fixture, &container, &["new"]).success().stdout;
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();

    let layers = inspect(&fixture, "new")["config"]["rootfs"]["diff_ids"].as_array().unwrap().clone();
    assert_eq!((layers.len(), inspect(&fixture, "new")["digest"].as_str()), (2, Some(made.trim())));
    let container = run(&mut fixture, "new");
    let after = seen(&container);
    for (name, about) in &before {
        assert_eq!(after.get(name), Some(about), "{name}");
    }
    assert_eq!(before.len(), after.len());
    let layer = fixture.store.join("layers/sha256").join(&layers[1].as_str().unwrap()[7..]);
    assert_eq!(attribute(&layer.join("new/file"), "user.note").as_deref(), Some(&b"kept\0\n"[..]));
    assert_eq!(attribute(&layer.join("new/file"), "trusted.overlay.origin"), None);
    assert!(fs::metadata(layer.join("new/sparse")).unwrap().blocks() < 1000);
    assert_eq!(container.command(&["diff", &container.id]).success().stdout, "");
}

#[allow(unsafe_code)]
fn set_attribute(file: &Path, name: &str, value: &[u8]) {
    let (file, name) = (CString::new(file.to_str().unwrap()).unwrap(), CString::new(name).unwrap());
    // SAFETY: two NUL-terminated strings, and a buffer with its length.
    let result = unsafe { libc::lsetxattr(file.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(result, 0, "{name:?}");
}

#[allow(unsafe_code)]
fn attribute(file: &Path, name: &str) -> Option<Vec<u8>> {
    let (file, name) = (CString::new(file.to_str().unwrap()).unwrap(), CString::new(name).unwrap());
    let mut value = vec![0_u8; 64];
    // SAFETY: two NUL-terminated strings, and a buffer with its length.
    let length = unsafe { libc::lgetxattr(file.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(usize::try_from(length).ok()?);
    Some(value)
}

/// What the image says of itself, and that the same changes make the same image; on top of another commit.
#[test]
fn configuration_and_history() {
    let mut fixture = fixture("echo x > /x");
    let container = fixture.bundle.create();
    container.start().wait();
    let changes =
        ["-c", "ENV A=b PATH=$PATH:/x", "--change", "CMD [\"/x\"]", "-c", "label a.b=\"c d\"", "-c", "EXPOSE 80"];
    let args = [&["one", "--author", "ada", "--message", "first"][..], &changes].concat();
    commit(&fixture, &container, &args).success();
    commit(&fixture, &container, &[&["same"], &args[1..]].concat()).success();
    let one = inspect(&fixture, "one");
    assert_eq!(one["digest"], inspect(&fixture, "same")["digest"]);
    assert_eq!(
        one["config"]["config"],
        json!({"Env": ["A=b", "PATH=:/x"], "Cmd": ["/x"], "Labels": {"a.b": "c d"}, "ExposedPorts": {"80/tcp": {}}})
    );
    let created = "1970-01-02T00:00:00.000000000Z";
    let entry =
        json!({"created": created, "created_by": "/bin/sh -c echo x > /x", "author": "ada", "comment": "first"});
    assert_eq!((&one["config"]["history"][1], &one["config"]["created"]), (&entry, &json!(created)));
    assert_eq!(one["config"]["author"], json!("ada"));
    container.delete();

    let container = run(&mut fixture, "one");
    container.exec_script(&[], "rm /x; echo y > /y");
    // The base has no name any more, and still is one.
    for name in ["one", "same"] {
        fixture.image(&["remove", name]).success();
    }
    fixture.image(&["prune"]).success();
    commit(&fixture, &container, &["two", "--pause=false"]).success();
    let two = inspect(&fixture, "two");
    assert_eq!(two["config"]["config"], one["config"]["config"]);
    assert_eq!(two["config"]["rootfs"]["diff_ids"].as_array().unwrap().len(), 3);
    drop(container);
    let container = run(&mut fixture, "two");
    assert_eq!(container.exec_script(&[], "ls -d /x /y 2>/dev/null || true"), "/y\n");
}

/// In a user namespace the layer has the ids that the container saw.
#[test]
fn ids_are_mapped_back() {
    let mut fixture = fixture(
        "echo > /etc/root; echo > /etc/user; chown 1000:1001 /etc/user; rm -r /opt; mkdir /opt; echo up; exec sleep 1000",
    );
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    fixture.bundle.namespace("user").set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    fixture.bundle.set("/process/capabilities/effective", json!(["CAP_CHOWN"]));
    fixture.bundle.set("/process/capabilities/permitted", json!(["CAP_CHOWN"]));
    fixture.bundle.set("/process/capabilities/bounding", json!(["CAP_CHOWN"]));
    let container = fixture.bundle.create();
    container.start().wait_output("up");
    commit(&fixture, &container, &["new"]).success();
    container.stop();
    container.delete();
    let container = run(&mut fixture, "new");
    assert_eq!(container.exec_script(&[], "stat -c '%u %g' /etc/root /etc/user; ls -A /opt"), "0 0\n1000 1001\n");
}

/// What cannot be is said, leaves nothing, and lets the container go on.
#[test]
fn refusals() {
    let mut fixture = fixture("echo up; exec sleep 1000");
    let container = fixture.bundle.create();
    container.start().wait_output("up");
    let blobs = fixture.count("blobs/sha256");
    for (args, words) in [
        (&["new", "--change", "RUN true"][..], &["RUN true", "only ENV"][..]),
        (&["new", "--change", "ENV A"], &["ENV A", "needs a value"]),
        (&["new", "--change", "EXPOSE http"], &["http"]),
    ] {
        commit(&fixture, &container, args).failure(words);
    }
    let moved = upper(&fixture, &container).join("moved");
    fs::create_dir(&moved).unwrap();
    set_attribute(&moved, "trusted.overlay.redirect", b"/opt");
    commit(&fixture, &container, &["new"]).failure(&["moved", "redirect_dir"]);
    fs::remove_dir(&moved).unwrap();
    let whiteout = upper(&fixture, &container).join("etc/.wh.passwd");
    fs::create_dir(whiteout.parent().unwrap()).unwrap();
    fs::write(&whiteout, "").unwrap();
    commit(&fixture, &container, &["new"]).failure(&["etc/.wh.passwd", "deleted"]);
    fs::remove_file(&whiteout).unwrap();
    assert_eq!(container.status(), "running");
    fixture.image(&["inspect", "new"]).failure(&["does not exist"]);
    assert_eq!((fixture.count("tmp"), fixture.count("blobs/sha256")), (0, blobs));
    container.stop();
    container.delete();
    let rootfs = fixture.bundle.file("bundle/rootfs");
    fixture.bundle.set("/annotations", json!({"org.orlop.overlay.lower": rootfs}));
    let container = fixture.bundle.create();
    commit(&fixture, &container, &["new"]).failure(&["not made of an image of this store"]);
}
