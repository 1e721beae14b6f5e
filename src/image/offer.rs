//! Which images a source offers, and what each is made of.
//!
//! Runs in: parent · image-spec image-layout.md; `docker save`

use serde::Deserialize;
use serde_json::Map;

use super::draft::{Draft, Layer};
use super::fetch::{Fetched, Wanted};
use super::source::{Kind, Source, blob_name};
use super::{Changing, Descriptor, Digest, Image, Index, Manifest, document};
use crate::error::{Error, Result};

/// An image whose layers are still to be fetched; its documents are in the store.
#[derive(Debug)]
pub(super) struct Offer {
    /// Those that the source gives it.
    pub(super) names: Vec<String>,
    pub(super) layers: Vec<Wanted>,
    documents: Documents,
}

#[derive(Debug)]
enum Documents {
    Manifest(Descriptor),
    Config(Descriptor),
    Nothing,
}

/// `manifest.json` of docker save.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn offers(source: &Source, changing: &Changing<'_>) -> Result<Vec<Offer>> {
    match source.kind {
        Kind::Layout => of_layout(source, changing),
        Kind::Docker => of_docker(source, changing),
        Kind::Rootfs => {
            let layer = Wanted { name: "archive".to_owned(), digest: None, diff_id: None };
            Ok(vec![Offer { names: Vec::new(), layers: vec![layer], documents: Documents::Nothing }])
        }
    }
}

impl Offer {
    /// Its manifest, with those documents that it came without.
    pub(super) fn finish(self, fetched: Vec<Fetched>, changing: &Changing<'_>) -> Result<Descriptor> {
        match self.documents {
            Documents::Manifest(descriptor) => Ok(descriptor),
            Documents::Config(config) => {
                let manifest = Manifest {
                    schema_version: 2,
                    media_type: Some(document::MANIFEST.to_owned()),
                    config,
                    layers: fetched.into_iter().map(|layer| Descriptor::new(document::LAYER, layer.blob)).collect(),
                    rest: Map::new(),
                };
                Ok(Descriptor::new(document::MANIFEST, changing.add_document(&manifest)?))
            }
            Documents::Nothing => {
                let mut draft = Draft::scratch()?;
                for layer in fetched {
                    let blob = Descriptor::new(document::LAYER, layer.blob);
                    draft.add(Layer { blob, diff_id: layer.diff_id });
                }
                draft.note("orlop image import", None, true);
                draft.save(changing, None)
            }
        }
    }
}

/// The manifests of the index, or of those it leads to, that are for this machine.
fn of_layout(source: &Source, changing: &Changing<'_>) -> Result<Vec<Offer>> {
    let index: Index = source.document("index.json", document::parse)?;
    let mut offers = Vec::new();
    for entry in index.manifests {
        let names = entry.name().map(str::to_owned).into_iter().collect();
        let Some(descriptor) = choose(entry, source, changing, 4)? else { continue };
        let manifest: Manifest = changing.store.document(&descriptor.digest)?;
        add(&manifest.config.digest, source, changing)?;
        let image: Image = changing.store.document(&manifest.config.digest)?;
        let diff_ids = image.rootfs.diff_ids;
        same_number(&manifest.layers, &diff_ids)?;
        let layers = manifest.layers.into_iter().zip(diff_ids).map(|(layer, diff_id)| Wanted {
            name: blob_name(&layer.digest),
            digest: Some(layer.digest),
            diff_id: Some(diff_id),
        });
        offers.push(Offer { names, layers: layers.collect(), documents: Documents::Manifest(descriptor) });
    }
    Ok(offers)
}

/// The manifest for this machine, through indexes of indexes down to a depth.
fn choose(entry: Descriptor, source: &Source, changing: &Changing<'_>, depth: u32) -> Result<Option<Descriptor>> {
    if entry.platform.as_ref().is_some_and(|platform| !super::is_for_this_machine(platform)) {
        return Ok(None);
    }
    add(&entry.digest, source, changing)?;
    if !entry.is_index() {
        return Ok(Some(entry));
    }
    if depth == 0 {
        return Err(Error::other("indexes of indexes, too deep"));
    }
    let inner: Index = changing.store.document(&entry.digest)?;
    for manifest in inner.manifests {
        if let Some(chosen) = choose(manifest, source, changing, depth - 1)? {
            return Ok(Some(chosen));
        }
    }
    Ok(None)
}

/// A document of a layout to the store.
fn add(digest: &Digest, source: &Source, changing: &Changing<'_>) -> Result<()> {
    if changing.store.blob(digest).exists() {
        return Ok(());
    }
    changing.add_blob(source.read(&blob_name(digest))?, Some(digest)).map(drop)
}

/// docker save before it wrote layouts, and podman's docker-archive.
fn of_docker(source: &Source, changing: &Changing<'_>) -> Result<Vec<Offer>> {
    let saved: Vec<Saved> = source.document("manifest.json", document::parse_any)?;
    let offer = |image: Saved| {
        let config = Descriptor::new(document::CONFIG, changing.add_blob(source.read(&image.config)?, None)?);
        let diff_ids = changing.store.document::<Image>(&config.digest)?.rootfs.diff_ids;
        same_number(&image.layers, &diff_ids)?;
        let layers = image.layers.into_iter().zip(diff_ids);
        let layers = layers.map(|(name, diff_id)| Wanted { name, digest: None, diff_id: Some(diff_id) });
        let names = image.repo_tags.unwrap_or_default();
        Ok(Offer { names, layers: layers.collect(), documents: Documents::Config(config) })
    };
    saved.into_iter().map(offer).collect()
}

pub(super) fn same_number<T>(layers: &[T], diff_ids: &[Digest]) -> Result<()> {
    if layers.len() == diff_ids.len() {
        return Ok(());
    }
    Err(Error::other("the image's configuration and manifest have different numbers of layers"))
}
