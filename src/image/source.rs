//! What an image is imported from, and what kind of archive it is.
//!
//! Runs in: parent · image-spec image-layout.md; `docker save`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek as _, Write as _};
use std::path::Path;

use serde::Deserialize;

use super::{Changing, Descriptor, Digest, Index, LONGEST_DOCUMENT, compression, document};
use crate::error::{Error, On as _, Result};
use crate::sys::Call as _;

/// Manifests to choose from, by the names the source gives them; their blobs are in the store already.
#[derive(Debug, Default)]
pub(super) struct Offered(pub(super) Vec<(Descriptor, Vec<String>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Layout,
    Docker,
    Rootfs,
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

/// A tar from a file or from standard input, which is put aside: it is read twice.
pub(super) fn tar(source: &Path, changing: &Changing<'_>) -> Result<File> {
    if source != Path::new("-") {
        return File::open(source).call("open").on(source.display());
    }
    let path = changing.temporary();
    let mut file =
        File::options().create_new(true).read(true).write(true).open(&path).call("open").on(path.display())?;
    // Nobody else needs a name for it.
    std::fs::remove_file(&path).call("unlink").on(path.display())?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file).call("read").on("standard input")?;
    file.flush().and_then(|()| file.rewind()).call("lseek").on("standard input")?;
    Ok(file)
}

/// From the beginning again, and not compressed any more.
pub(super) fn reread(mut file: &File) -> Result<Box<dyn Read + '_>> {
    file.rewind().call("lseek").on("archive")?;
    compression::open(BufReader::with_capacity(1 << 16, file))
}

/// By what is in it: a layout may be a docker archive as well, and is better read as a layout.
pub(super) fn kind(file: &File) -> Result<Kind> {
    let mut kind = Kind::Rootfs;
    let mut any = false;
    for entry in tar::Archive::new(reread(file)?).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        any = true;
        match entry.path_bytes().strip_prefix(b"./").unwrap_or(&entry.path_bytes()) {
            b"oci-layout" => return Ok(Kind::Layout),
            b"manifest.json" => kind = Kind::Docker,
            _ => {}
        }
    }
    if any { Ok(kind) } else { Err(Error::other("the archive is empty, or no tar")) }
}

/// A layout in a directory: what is referred to is copied.
pub(super) fn layout_directory(dir: &Path, changing: &Changing<'_>) -> Result<Offered> {
    let path = dir.join("index.json");
    let text = std::fs::read(&path).call("read").on(path.display())?;
    let index: Index = document::parse(&text).map_err(|error| error.within(path.display()))?;
    let mut fetch = |digest: &Digest| {
        let path = dir.join("blobs/sha256").join(digest.hex());
        let file = File::open(&path).call("open").on(path.display())?;
        changing.add_blob(file, Some(digest)).map(drop)
    };
    offer(index, changing, &mut fetch)
}

/// A layout in a tar: its blobs are taken as they come, and are in the store then.
pub(super) fn layout_tar(file: &File, changing: &Changing<'_>) -> Result<Offered> {
    let mut index = None;
    for entry in tar::Archive::new(reread(file)?).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path_bytes().into_owned();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        if path == b"index.json" {
            index = Some(read_document(entry, document::parse)?);
        } else if let Some(digest) = path.strip_prefix(b"blobs/sha256/").and_then(|name| std::str::from_utf8(name).ok())
            && let Some(digest) = Digest::parse(digest)
        {
            changing.add_blob(entry, Some(&digest))?;
        }
    }
    let index = index.ok_or_else(|| Error::other("the archive has no index.json"))?;
    let mut fetch = |digest: &Digest| match changing.store.blob(digest).exists() {
        true => Ok(()),
        false => Err(Error::other(format!("the archive has no blob {digest}"))),
    };
    offer(index, changing, &mut fetch)
}

/// Every manifest of the index, or of those it leads to, with all its blobs in the store.
fn offer(index: Index, changing: &Changing<'_>, fetch: &mut dyn FnMut(&Digest) -> Result<()>) -> Result<Offered> {
    let mut offered = Offered::default();
    for entry in index.manifests {
        let names = entry.name().map(str::to_owned).into_iter().collect::<Vec<_>>();
        let Some(manifest) = choose(entry, changing, fetch, 4)? else { continue };
        let content: super::Manifest = changing.store.document(&manifest.digest)?;
        for blob in std::iter::once(&content.config).chain(&content.layers) {
            fetch(&blob.digest)?;
        }
        offered.0.push((manifest, names));
    }
    Ok(offered)
}

/// The manifest for this machine, through indexes of indexes down to a depth.
fn choose(
    entry: Descriptor,
    changing: &Changing<'_>,
    fetch: &mut dyn FnMut(&Digest) -> Result<()>,
    depth: u32,
) -> Result<Option<Descriptor>> {
    if entry.platform.as_ref().is_some_and(|platform| !super::is_for_this_machine(platform)) {
        return Ok(None);
    }
    fetch(&entry.digest)?;
    if !entry.is_index() {
        return Ok(Some(entry));
    }
    if depth == 0 {
        return Err(Error::other("indexes of indexes, too deep"));
    }
    let inner: Index = changing.store.document(&entry.digest)?;
    for manifest in inner.manifests {
        if let Some(chosen) = choose(manifest, changing, fetch, depth - 1)? {
            return Ok(Some(chosen));
        }
    }
    Ok(None)
}

/// docker save before it wrote layouts, and podman's docker-archive.
pub(super) fn docker_tar(file: &File, changing: &Changing<'_>) -> Result<Offered> {
    let mut blobs: BTreeMap<Vec<u8>, (Digest, u64)> = BTreeMap::new();
    let mut links: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut saved: Vec<Saved> = Vec::new();
    for entry in tar::Archive::new(reread(file)?).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path_bytes().into_owned();
        if path == b"manifest.json" {
            saved = read_document(entry, document::parse_any)?;
        } else if let Some(target) = entry.link_name_bytes() {
            links.insert(path, target.into_owned());
        } else if entry.header().entry_type().is_file() {
            let name = String::from_utf8_lossy(&path).into_owned();
            blobs.insert(path, changing.add_blob(entry, None).map_err(|error| error.within(name))?);
        }
    }
    let mut offered = Offered::default();
    for image in saved {
        let find = |name: &str| {
            let name = name.as_bytes();
            // A layer that several images share is a link, `../ID/layer.tar`.
            let target = links.get(name).map_or(name, |target| target.strip_prefix(b"../").unwrap_or(target));
            let missing = || Error::other(format!("the archive has no {}", String::from_utf8_lossy(name)));
            blobs.get(target).cloned().ok_or_else(missing)
        };
        let layers = image.layers.iter().map(|name| Ok(Descriptor::new(document::LAYER, find(name)?)));
        let manifest = super::Manifest {
            schema_version: 2,
            media_type: Some(document::MANIFEST.to_owned()),
            config: Descriptor::new(document::CONFIG, find(&image.config)?),
            layers: layers.collect::<Result<_>>()?,
            rest: serde_json::Map::new(),
        };
        let descriptor = Descriptor::new(document::MANIFEST, changing.add_document(&manifest)?);
        offered.0.push((descriptor, image.repo_tags.unwrap_or_default()));
    }
    Ok(offered)
}

fn read_document<T>(entry: impl Read, parse: fn(&[u8]) -> Result<T>) -> Result<T> {
    let mut text = Vec::new();
    entry.take(LONGEST_DOCUMENT).read_to_end(&mut text).map_err(unreadable)?;
    parse(&text)
}

fn unreadable(error: std::io::Error) -> Error {
    Error::other(format!("the archive cannot be read: {error}"))
}
