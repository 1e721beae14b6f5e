//! What steps have made before: from all that a step depends on to its layer.
//!
//! Runs in: parent · docs/images.md
//!
//! An entry is a hint: it counts as long as its layer is in the store.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, On as _, Result};
use crate::image::draft::Layer;
use crate::image::{Changing, Digest, Store, gc};
use crate::sys::Call as _;

/// A step that changed nothing has no layer.
#[derive(Debug, Serialize, Deserialize)]
struct Cached {
    layer: Option<Layer>,
}

/// Of the layers below, and the step as JSON.
pub(super) fn key(below: &[Digest], step: &impl Serialize) -> Result<Digest> {
    let text = serde_json::to_vec(&(below, step)).map_err(|error| Error::other(error.to_string()))?;
    Ok(Digest::of(&text))
}

pub(super) fn find(store: &Store, key: &Digest) -> Option<Option<Layer>> {
    let cached: Cached = serde_json::from_slice(&fs::read(path(store, key)).ok()?).ok()?;
    cached.is_whole(store).then_some(cached.layer)
}

pub(super) fn keep(changing: &Changing<'_>, key: &Digest, layer: Option<&Layer>) -> Result<()> {
    let path = path(changing.store, key);
    let dir = directory(changing.store);
    fs::create_dir_all(&dir).call("mkdir").on(dir.display())?;
    let text =
        serde_json::to_vec(&Cached { layer: layer.cloned() }).map_err(|error| Error::other(error.to_string()))?;
    let new = changing.temporary();
    fs::write(&new, text).call("write").on(new.display())?;
    fs::rename(&new, &path).call("rename").on(path.display())
}

impl Cached {
    fn is_whole(&self, store: &Store) -> bool {
        let is_there = |layer: &Layer| store.blob(&layer.blob.digest).exists() && store.layer(&layer.diff_id).exists();
        self.layer.as_ref().is_none_or(is_there)
    }
}

/// Forgets what led to layers that are gone.
pub(crate) fn sweep(store: &Store) -> Result<()> {
    let dir = directory(store);
    if !dir.exists() {
        return Ok(());
    }
    for name in gc::names(&dir)? {
        let path = dir.join(name);
        let cached: Option<Cached> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if !cached.is_some_and(|cached| cached.layer.is_some() && cached.is_whole(store)) {
            fs::remove_file(&path).call("unlink").on(path.display())?;
        }
    }
    Ok(())
}

fn directory(store: &Store) -> PathBuf {
    store.root.join("cache")
}

fn path(store: &Store, key: &Digest) -> PathBuf {
    directory(store).join(key.hex())
}
