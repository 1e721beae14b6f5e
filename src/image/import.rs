//! `image import`: from an archive or a directory into the store, verified and unpacked.
//!
//! Runs in: parent · docs/images.md

use std::fs::File;
use std::path::Path;

use super::digest::Hashing;
use super::draft::{Draft, Layer};
use super::source::{self, Kind, Offered};
use super::{Changing, Descriptor, Digest, Store, document};
use crate::error::{Error, Result};

/// Imports what `source` offers; the names under which it is known from now on.
pub(crate) fn import(store: &Store, source: &Path, name: Option<&str>) -> Result<Vec<String>> {
    let changing = store.change()?;
    let offered = if source.is_dir() {
        if !source.join("oci-layout").exists() {
            return Err(Error::other(format!(
                "{}: is no OCI layout; `tar -c -C DIR . | orlop image import - NAME` takes a plain directory",
                source.display()
            )));
        }
        source::layout_directory(source, &changing)?
    } else {
        let file = source::tar(source, &changing)?;
        match source::kind(&file)? {
            Kind::Layout => source::layout_tar(&file, &changing)?,
            Kind::Docker => source::docker_tar(&file, &changing)?,
            Kind::Rootfs => rootfs(&file, &changing)?,
        }
    };
    take(offered, name, &changing)
}

/// Unpacks every layer, and only then gives names: what has a name is whole.
fn take(offered: Offered, name: Option<&str>, changing: &Changing<'_>) -> Result<Vec<String>> {
    if offered.0.is_empty() {
        return Err(Error::other("there is no image for this machine in it"));
    }
    if name.is_some() && offered.0.len() > 1 {
        return Err(Error::other(format!("{} images, and one name for them", offered.0.len())));
    }
    let mut given = Vec::new();
    for (descriptor, own_names) in offered.0 {
        let found = changing.store.load(&descriptor)?;
        for (layer, diff_id) in found.manifest.layers.iter().zip(&found.image.rootfs.diff_ids) {
            changing.add_layer(&layer.digest, diff_id)?;
        }
        let names: Vec<String> = match name {
            Some(name) => vec![document::full_name(name)],
            None => own_names.iter().map(|name| document::full_name(name)).collect(),
        };
        if names.is_empty() {
            return Err(Error::other("the image has no name of its own: give it one"));
        }
        for name in &names {
            changing.name(descriptor.clone(), name)?;
        }
        given.extend(names);
    }
    Ok(given)
}

/// A root file system as the one layer of a new image.
fn rootfs(file: &File, changing: &Changing<'_>) -> Result<Offered> {
    let layer = changing.add_blob(source::reread(file)?, None)?;
    let mut draft = Draft::scratch()?;
    draft.add(Layer { diff_id: layer.0.clone(), blob: Descriptor::new(document::LAYER, layer) });
    draft.note("orlop image import", None, true);
    Ok(Offered(vec![(draft.save(changing, None)?, Vec::new())]))
}

/// Reads every blob and says which are not what their names say.
pub(crate) fn verify(store: &Store) -> Result<Vec<Digest>> {
    let _held = store.change()?;
    let mut broken = Vec::new();
    for digest in store.blobs()? {
        let content = Hashing::new(store.open_blob(&digest)?);
        match content.finish() {
            Ok((found, _)) if found == digest => {}
            _ => broken.push(digest),
        }
    }
    Ok(broken)
}
