//! Images: a store of the test's own, and tars and OCI layouts with every field as the test wants it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Bundle, Output, Value, json};

/// A store of this test's own, and what goes into it.
pub(crate) struct Fixture {
    pub(crate) bundle: Bundle,
    pub(crate) store: PathBuf,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let bundle = Bundle::new();
        let store = bundle.file("store");
        Self { bundle, store }
    }

    pub(crate) fn image(&self, args: &[&str]) -> Output {
        self.bundle.command(&[&["image", "--store", self.store.to_str().unwrap()], args].concat())
    }

    /// The root file system of the test's bundle as an image.
    pub(crate) fn import_busybox(&self, name: &str) {
        let tar = self.bundle.file("busybox.tar");
        let mut builder = tar::Builder::new(fs::File::create(&tar).unwrap());
        builder.follow_symlinks(false);
        builder.append_dir_all(".", self.bundle.dir.join("rootfs")).unwrap();
        builder.finish().unwrap();
        self.image(&["import", tar.to_str().unwrap(), name]).success();
    }

    /// `bundle` to a directory of its own, which becomes the one that containers are made of.
    pub(crate) fn bundle(&mut self, args: &[&str]) {
        self.try_bundle(args).success();
        self.bundle.config = serde_json::from_slice(&fs::read(self.dir().join("config.json")).unwrap()).unwrap();
        // What a container of the tests is recognised by.
        let cgroup = format!("/{}", self.bundle.tag());
        self.bundle.set("/linux/cgroupsPath", json!(cgroup));
        self.bundle.dir = self.dir();
    }

    pub(crate) fn try_bundle(&self, args: &[&str]) -> Output {
        let dir = self.dir();
        let (image, rest) = args.split_first().unwrap();
        let (flags, command) = match rest.iter().position(|arg| *arg == "--") {
            Some(index) => rest.split_at(index),
            None => (rest, &[][..]),
        };
        let store = self.store.to_str().unwrap();
        let args = [&["bundle", "--store", store], flags, &[image, dir.to_str().unwrap()], command].concat();
        self.bundle.command(&args)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.bundle.file("made")
    }

    /// Directories of the layers.
    pub(crate) fn layers(&self) -> Vec<PathBuf> {
        fs::read_dir(self.store.join("layers/sha256")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn count(&self, dir: &str) -> usize {
        fs::read_dir(self.store.join(dir)).unwrap().count()
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A tar of our own making: every field as given.
#[derive(Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn entry(self, name: &str, kind: u8, link: &str, content: &[u8]) -> Self {
        self.raw(name, b"0000644\0", kind, link, content)
    }

    pub(crate) fn program(self, name: &str, content: &[u8]) -> Self {
        self.raw(name, b"0000755\0", b'0', "", content)
    }

    pub(crate) fn raw(mut self, name: &str, mode: &[u8], kind: u8, link: &str, content: &[u8]) -> Self {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, mode);
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", content.len()).as_bytes());
        put(136, b"14000000000\0        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\0");
        put(263, b"00");
        put(329, b"0000000\x000000000\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(name, b'0', "", content.as_bytes())
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.raw(name, b"0000755\0", b'5', "", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, b'2', target, b"")
    }

    pub(crate) fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut body = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| length.to_string().len() + rest == *length).unwrap();
            body += &format!("{length} {key}={value}\n");
        }
        self.entry("pax", b'x', "", body.as_bytes())
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An OCI layout with one image of these layers, compressed.
pub(crate) fn layout(dir: &Path, name: &str, layers: &[Vec<u8>], defaults: Value) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8], kind: &str| {
        fs::write(blobs.join(&digest(bytes)[7..]), bytes).unwrap();
        json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()})
    };
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
        "config": defaults, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let layers: Vec<Value> =
        layers.iter().map(|layer| put(&gzip(layer), "application/vnd.oci.image.layer.v1.tar+gzip")).collect();
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
    let mut entry = put(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    fs::write(dir.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}
