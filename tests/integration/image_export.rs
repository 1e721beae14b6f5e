//! `image export` and `image history` (docs/images.md).

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::harness::image::{Fixture, Tar, digest, gzip, layout};
use crate::harness::{Value, json};

/// Every file below a directory with its content.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else {
                let name = entry.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(&entry).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// An image of two layers, imported from a layout of its own.
fn imported(fixture: &Fixture, name: &str) -> std::path::PathBuf {
    let source = fixture.bundle.file(&format!("source-{name}"));
    let layers = [Tar::default().file("a", "a").end(), Tar::default().file("b", name).end()];
    layout(&source, name, &layers, json!({"Cmd": ["/a"]}));
    fixture.image(&["import", source.to_str().unwrap()]).success();
    source
}

/// What comes out is what went in, byte for byte: in a directory, in a file, on standard output; and it
/// goes in again.
#[test]
fn what_goes_in_comes_out() {
    let fixture = Fixture::new();
    let source = imported(&fixture, "app");
    let dir = fixture.bundle.file("exported");
    let file = fixture.bundle.file("exported.tar");
    let (dir, file) = (dir.to_str().unwrap(), file.to_str().unwrap());
    fixture.image(&["export", "app", dir]).success();
    fixture.image(&["export", "app", file]).success();
    let stdout = fixture.bundle.file("stdout.tar");
    let mut command =
        fixture.bundle.prepare(&["image", "--store", fixture.store.to_str().unwrap(), "export", "app", "-"]);
    command.stdout(Stdio::from(fs::File::create(&stdout).unwrap()));
    assert!(command.status().unwrap().success());
    assert!(fs::read(&stdout).unwrap() == fs::read(file).unwrap(), "the file and standard output differ");

    let blobs = |dir: &Path| files(&dir.join("blobs"));
    assert!(blobs(dir.as_ref()) == blobs(&source), "blobs differ");
    let unpacked = fixture.bundle.file("unpacked");
    tar::Archive::new(fs::File::open(file).unwrap()).unpack(&unpacked).unwrap();
    assert!(files(&unpacked) == files(dir.as_ref()), "tar and directory differ");
    let index: Value = serde_json::from_slice(&fs::read(unpacked.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], json!("app:latest"));
    for source in [dir, file] {
        assert_eq!(fixture.image(&["import", source]).success().stdout, "app:latest\n");
    }
}

/// A second image joins the first in a layout; exported again, it is there once.
#[test]
fn a_layout_takes_several_images() {
    let fixture = Fixture::new();
    imported(&fixture, "one");
    imported(&fixture, "two");
    let dir = fixture.bundle.file("both");
    for name in ["one", "two", "one"] {
        fixture.image(&["export", name, dir.to_str().unwrap()]).success();
    }
    let index: Value = serde_json::from_slice(&fs::read(dir.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "{index}");
    // Two manifests and configurations, two layers of their own, one of both.
    assert_eq!(fs::read_dir(dir.join("blobs/sha256")).unwrap().count(), 7);
}

/// An export that fails leaves nothing, and nothing is written over.
#[test]
fn failures_leave_nothing() {
    let fixture = Fixture::new();
    imported(&fixture, "app");
    let foreign = fixture.bundle.file("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("file"), "").unwrap();
    fixture.image(&["export", "app", foreign.to_str().unwrap()]).failure(&["neither empty nor an OCI layout"]);
    let file = fixture.bundle.file("there.tar");
    fs::write(&file, "mine").unwrap();
    fixture.image(&["export", "app", file.to_str().unwrap()]).failure(&["file exists"]);
    assert_eq!(fs::read(&file).unwrap(), b"mine");

    let layer = gzip(&Tar::default().file("b", "app").end());
    let blob = fixture.store.join("blobs/sha256").join(&digest(&layer)[7..]);
    fs::write(blob, "spoiled").unwrap();
    for name in ["new", "new.tar"] {
        let new = fixture.bundle.file(name);
        fixture.image(&["export", "app", new.to_str().unwrap()]).failure(&["damaged", &digest(&layer)]);
        assert!(!new.exists(), "{name}");
    }
}

/// Newest first, with the layer that each step made and its size; what would steer a terminal is shown.
#[test]
fn history() {
    let fixture = Fixture::new();
    let source = fixture.bundle.file("rootfs.tar");
    fs::write(&source, Tar::default().file("a", "content").end()).unwrap();
    fixture.image(&["import", source.to_str().unwrap(), "app"]).success();
    let output = fixture.image(&["history", "app", "--format", "json"]).success().stdout;
    let history: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert_eq!(history[0]["createdBy"], json!("orlop image import"));
    assert_eq!(history[0]["layer"], json!(digest(&fs::read(&source).unwrap())));
    assert!(history[0]["size"].as_u64().unwrap() > 0, "{history}");
    let table = fixture.image(&["history", "app"]).success().stdout;
    assert_eq!(table.lines().count(), 2);
    assert!(table.lines().nth(1).unwrap().ends_with("B  orlop image import"), "{table}");
}
