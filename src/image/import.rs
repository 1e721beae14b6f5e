//! `image import`: from an archive or a directory into the store, verified and unpacked.
//!
//! Runs in: parent · docs/images.md

use std::path::Path;

use super::digest::Hashing;
use super::draft::Draft;
use super::offer::{self, Offer};
use super::progress::Progress;
use super::source::{Kind, Source};
use super::{Changing, Digest, Store, document};
use crate::error::{Error, Result};
use crate::namespace::idmap;
use crate::rootfs::overlay::changes::{Changes, Marks};

/// Imports what `source` offers; the names under which it is known from now on.
pub(crate) fn import(store: &Store, source: &Path, name: Option<&str>) -> Result<Vec<String>> {
    let changing = store.change()?;
    if source.is_dir() && !source.join("oci-layout").exists() {
        return directory(source, name.ok_or_else(no_name)?, &changing);
    }
    let source = Source::open(source, &changing)?;
    let mut offers = offer::offers(&source, &changing)?;
    rename(&mut offers, name)?;
    let mut given = Vec::new();
    for offer in offers {
        given.extend(take(offer, &source, &changing)?);
    }
    Ok(given)
}

/// What the images are going to be called.
fn rename(offers: &mut [Offer], name: Option<&str>) -> Result<()> {
    match (name, &mut *offers) {
        (_, []) => return Err(Error::other("there is no image for this machine in it")),
        (Some(name), [offer]) => offer.names = vec![name.to_owned()],
        (Some(_), offers) => return Err(Error::other(format!("{} images, and one name for them", offers.len()))),
        (None, _) => {}
    }
    if offers.iter().any(|offer| offer.names.is_empty()) {
        return Err(no_name());
    }
    Ok(())
}

fn no_name() -> Error {
    Error::other("the image has no name of its own: give it one")
}

/// A root file system in a directory, as the one layer of a new image.
fn directory(dir: &Path, name: &str, changing: &Changing<'_>) -> Result<Vec<String>> {
    let mut draft = Draft::scratch()?;
    draft.add(changing.pack(&Changes::open(dir, &[], Marks::Trusted)?, &idmap::Plan::default())?);
    draft.note("orlop image import", None, true);
    let name = document::full_name(name);
    draft.save(changing, Some(&name))?;
    Ok(vec![name])
}

/// Fetches every layer, and only then gives names: what has a name is whole.
fn take(mut offer: Offer, source: &Source, changing: &Changing<'_>) -> Result<Vec<String>> {
    let names = std::mem::take(&mut offer.names);
    let progress = Progress::new(offer.layers.iter().map(|layer| source.length(&layer.name)).sum());
    let open = |name: &str| if source.kind == Kind::Rootfs { source.whole() } else { source.read(name) };
    let fetched = changing.fetch(&offer.layers, &open, &progress);
    progress.finish();
    let descriptor = offer.finish(fetched?, changing)?;
    let names: Vec<String> = names.iter().map(|name| document::full_name(name)).collect();
    for name in &names {
        changing.name(descriptor.clone(), name)?;
    }
    Ok(names)
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
