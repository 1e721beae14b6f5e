//! `image list`: what is in the store, and what it takes there.
//!
//! Runs in: parent · docs/images.md

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{Digest, Store, gc};
use crate::error::Result;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    name: String,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// Bytes that its layers take, unpacked.
    size: u64,
    /// Those of them that are another image's as well.
    shared: u64,
    layers: Vec<Digest>,
}

pub(crate) fn images(store: &Store) -> Result<Vec<Listed>> {
    let index = store.index()?;
    let mut listed = Vec::new();
    let mut sizes: BTreeMap<Digest, u64> = BTreeMap::new();
    let mut users: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
    for entry in &index.manifests {
        let found = store.load(entry)?;
        for layer in &found.image.rootfs.diff_ids {
            sizes.entry(layer.clone()).or_insert_with(|| gc::disk_usage(&store.layer(layer)));
            let users = users.entry(layer.clone()).or_default();
            if !users.contains(&entry.digest) {
                users.push(entry.digest.clone());
            }
        }
        listed.push((found.name, entry.digest.clone(), found.image));
    }
    let size = |layer: &Digest| sizes.get(layer).copied().unwrap_or(0);
    let is_shared = |layer: &&Digest| users.get(*layer).is_some_and(|users| users.len() > 1);
    let list = |(name, digest, image): (String, Digest, super::Image)| Listed {
        size: image.rootfs.diff_ids.iter().map(size).sum(),
        shared: image.rootfs.diff_ids.iter().filter(is_shared).map(size).sum(),
        layers: image.rootfs.diff_ids,
        created: image.created,
        name,
        digest,
    };
    Ok(listed.into_iter().map(list).collect())
}

pub(crate) fn table(images: &[Listed]) -> String {
    let names: Vec<String> = images.iter().map(|image| printable(&image.name)).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0).max("NAME".len());
    let mut text = format!("{:width$}  {:12}  {:>6}  {:>10}  {:>10}\n", "NAME", "DIGEST", "LAYERS", "SIZE", "SHARED");
    for (name, image) in names.iter().zip(images) {
        let (digest, layers) = (image.digest.short(), image.layers.len());
        let (size, shared) = (human(image.size), human(image.shared));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:width$}  {digest}  {layers:>6}  {size:>10}  {shared:>10}");
    }
    text
}

/// Names are the image's, and a terminal obeys what it is told.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { safe.extend(character.escape_default()) } else { safe.push(character) }
    }
    safe
}

/// `1.5 MiB`
pub(super) fn human(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}
