//! `image prune`: what nothing leads to any more, found by walking from everything that is a root.
//!
//! Runs in: parent · docs/images.md
//!
//! Roots are the names in index.json, the bundles that were made of images, and the containers that run
//! from layers, whose bundles may be gone. The store's lock is held, and a create of an image holds that of
//! the layers, so nothing comes to be in use meanwhile.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Digest, Index, Manifest, Store, build, bundle};
use crate::error::{On as _, Result};
use crate::sys::{self, Call as _};
use crate::tree;

/// What a prune has done.
#[derive(Debug, Default)]
pub(crate) struct Pruned {
    pub(crate) blobs: usize,
    pub(crate) layers: usize,
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
struct Marked {
    blobs: BTreeSet<Digest>,
    layers: BTreeSet<Digest>,
}

/// `state` is where the containers are.
pub(crate) fn prune(store: &Store, state: &Path) -> Result<Pruned> {
    let changing = store.change()?;
    let in_use = store.lock_layers(File::lock)?;
    let mut marked = Marked::default();
    mark_index(store, &store.index()?, &mut marked);
    mark_containers(store, state, &mut marked);
    let mut pruned = Pruned::default();
    for digest in store.blobs()?.into_iter().filter(|digest| !marked.blobs.contains(digest)) {
        let path = store.blob(&digest);
        pruned.bytes += fs::metadata(&path).map_or(0, |look| look.len());
        fs::remove_file(&path).call("unlink").on(path.display())?;
        pruned.blobs += 1;
    }
    for digest in store.layers()?.into_iter().filter(|digest| !marked.layers.contains(digest)) {
        pruned.bytes += disk_usage(&store.layer(&digest));
        // Out of its place first: half a layer must never have the name of a whole one.
        let aside = changing.temporary();
        fs::rename(store.layer(&digest), &aside).call("rename").on(aside.display())?;
        pruned.layers += 1;
    }
    drop(in_use);
    sweep_unfinished(store)?;
    build::cache::sweep(store)?;
    Ok(pruned)
}

impl Store {
    /// An image's layers, the topmost first, and a lock that has `prune` wait: until they are on record
    /// as a container's.
    pub(crate) fn hold_layers(&self, image: &str) -> Result<(Vec<PathBuf>, File)> {
        let held = self.lock_layers(File::lock_shared)?;
        let found = self.find(image)?;
        Ok((found.image.rootfs.diff_ids.iter().rev().map(|layer| self.layer(layer)).collect(), held))
    }

    fn lock_layers(&self, lock: fn(&File) -> std::io::Result<()>) -> Result<File> {
        let path = self.root.join("layers/sha256");
        let dir = File::open(&path).call("open").on(path.display())?;
        lock(&dir).call("flock").on(path.display())?;
        Ok(dir)
    }
}

/// Whatever is in tmp/ was left by somebody who did not come to an end, or by us just now.
fn sweep_unfinished(store: &Store) -> Result<()> {
    let dir = store.directory("tmp")?;
    for name in names(&store.root.join("tmp"))? {
        tree::remove(dir.as_fd(), &sys::c_string(&name)?).on(name)?;
    }
    Ok(())
}

fn mark_index(store: &Store, index: &Index, marked: &mut Marked) {
    for entry in &index.manifests {
        mark_manifest(store, &entry.digest, marked);
    }
}

/// Layers that containers are made of, by the record that each has in its state directory, and those of
/// bundles that `bundle` has written and nobody has removed.
fn mark_containers(store: &Store, state: &Path, marked: &mut Marked) {
    for dir in fs::read_dir(state).into_iter().flatten().flatten().map(|entry| entry.path()) {
        mark_container(store, &dir, &layers_of_container(&dir), marked);
    }
    for dir in store.bundles().unwrap_or_default() {
        mark_container(store, &dir, &bundle::layers_of(&dir), marked);
    }
}

/// By the bundle, or the state directory, and those of its layers that are the store's.
fn mark_container(store: &Store, dir: &Path, layers: &[PathBuf], marked: &mut Marked) {
    marked.layers.extend(bundle::digests_of(store, layers).into_iter().flatten());
    // For `commit`, which makes a new image of the old one.
    if let Some(image) = bundle::image_of(dir) {
        mark_manifest(store, &image, marked);
    }
}

fn layers_of_container(dir: &Path) -> Vec<PathBuf> {
    let record = fs::read(dir.join("state.json")).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    record.and_then(|mut record| serde_json::from_value(record["layers"].take()).ok()).unwrap_or_default()
}

/// What cannot be read leads nowhere; it is kept itself.
fn mark_manifest(store: &Store, digest: &Digest, marked: &mut Marked) {
    if !marked.blobs.insert(digest.clone()) {
        return;
    }
    let Ok(manifest) = store.document::<Manifest>(digest) else { return };
    marked.blobs.insert(manifest.config.digest.clone());
    marked.blobs.extend(manifest.layers.iter().map(|layer| layer.digest.clone()));
    if let Ok(image) = store.document::<super::Image>(&manifest.config.digest) {
        marked.layers.extend(image.rootfs.diff_ids);
    }
}

/// The names in a directory.
pub(super) fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).call("open").on(dir.display())?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry.call("getdents64").on(dir.display())?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// Bytes that a tree takes, each hard-linked file once.
pub(crate) fn disk_usage(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut seen = BTreeSet::new();
    let mut open = vec![dir.to_owned()];
    let mut bytes = 0;
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(look) = entry.metadata() else { continue };
            if look.is_dir() {
                open.push(entry.path());
            }
            if look.nlink() < 2 || look.is_dir() || seen.insert(look.ino()) {
                bytes += look.blocks() * 512;
            }
        }
    }
    bytes
}
