//! A layer store whose commands are killed: garbage, never loss (docs/images.md).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::image::{Fixture, Tar, digest, layout};
use crate::harness::{Value, json};
use crate::rollback::kill_points;

/// Everything below a directory, with what is in it.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let content = if kind.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.push((path.display().to_string(), content));
        if kind.is_dir() {
            found.extend(contents(&path));
        }
    }
    found.sort();
    found
}

/// A layer of many files.
fn layer(seed: &str) -> Vec<u8> {
    (0..60).fold(Tar::default(), |tar, number| tar.file(&format!("{seed}/{number}"), &seed.repeat(500))).end()
}

struct Store {
    fixture: Fixture,
    layers: [Vec<u8>; 3],
}

impl Store {
    /// With the image `kept`; `new` shares its first layer.
    fn new() -> Self {
        let store = Self { fixture: Fixture::new(), layers: ["base", "own", "more"].map(layer) };
        let [base, own, more] = &store.layers;
        layout(&store.fixture.bundle.file("kept"), "kept", std::slice::from_ref(base), json!({}));
        layout(&store.fixture.bundle.file("new"), "new", &[base.clone(), own.clone(), more.clone()], json!({}));
        store.run(&["import", store.fixture.bundle.file("kept").to_str().unwrap()]);
        store
    }

    fn run(&self, args: &[&str]) -> String {
        self.fixture.image(args).success().stdout
    }

    fn all(&self) -> Vec<(String, Vec<u8>)> {
        contents(&self.fixture.store)
    }

    fn import(&self) -> Vec<String> {
        vec!["import".to_owned(), self.fixture.bundle.file("new").display().to_string()]
    }

    fn kill_after(&self, time: Duration, args: &[String]) {
        let store = self.fixture.store.to_str().unwrap();
        let args = [&["image", "--store", store][..], &args.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let mut running = self.fixture.bundle.spawn(&args);
        std::thread::sleep(time);
        let _ = running.child.kill();
        let _ = running.child.wait();
    }

    /// What has a name is whole: its documents, its blobs, and each of its layers.
    fn assert_sound(&self, names: &[&str]) {
        self.run(&["verify"]);
        let listed: Value = serde_json::from_str(&self.run(&["list", "--format", "json"])).unwrap();
        let listed = listed.as_array().unwrap();
        assert!(listed.iter().any(|image| image["name"] == "kept:latest"), "{listed:?}");
        for image in listed {
            let inspected = self.run(&["inspect", image["name"].as_str().unwrap()]);
            let inspected: Value = serde_json::from_str(&inspected).unwrap();
            for layer in inspected["config"]["rootfs"]["diff_ids"].as_array().unwrap() {
                self.assert_whole(layer.as_str().unwrap());
            }
        }
        for name in names {
            assert!(listed.iter().any(|image| image["name"] == format!("{name}:latest")), "{name}: {listed:?}");
        }
    }

    fn assert_whole(&self, diff_id: &str) {
        let seed = ["base", "own", "more"][self.layers.iter().position(|layer| digest(layer) == diff_id).unwrap()];
        let dir = self.fixture.store.join("layers/sha256").join(&diff_id[7..]).join(seed);
        for number in 0..60 {
            assert_eq!(fs::read_to_string(dir.join(number.to_string())).unwrap(), seed.repeat(500));
        }
    }
}

/// Killed at any time, an import has given no name or a whole image; a prune has taken nothing that is in
/// use; and the next ones make the store what it would have been.
#[test]
fn killed_at_any_time() {
    let store = Store::new();
    let before = store.all();
    let timed = |args: &[String]| {
        let started = Instant::now();
        store.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        started.elapsed()
    };
    let prune = ["prune".to_owned()];
    let import = store.import();
    let importing = timed(&import);
    let imported = store.all();
    store.run(&["remove", "new"]);
    let pruning = timed(&prune);
    assert_eq!(store.all(), before);

    let points = kill_points() / 2;
    for point in 0..points {
        store.kill_after(importing * point / (points - 1), &import);
        store.assert_sound(&[]);
        store.run(&["import", &import[1]]);
        store.assert_sound(&["new"]);
        store.run(&["prune"]);
        assert_eq!(store.all(), imported, "import, point {point}");

        store.run(&["remove", "new"]);
        store.kill_after(pruning * point / (points - 1), &prune);
        store.assert_sound(&[]);
        store.run(&["prune"]);
        assert_eq!(store.all(), before, "prune, point {point}");
    }
}
