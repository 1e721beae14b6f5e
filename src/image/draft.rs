//! An image that is being made: what it is based on, and what came on top.
//!
//! Runs in: parent · image-spec config.md, manifest.md

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, json};

use super::digest::Hashing;
use super::document::{self, Layers};
use super::layer::pack::Pack;
use super::{Changing, Defaults, Descriptor, Digest, Found, Image, Manifest};
use crate::clock::Utc;
use crate::error::{Error, On as _, Result};
use crate::namespace::idmap;
use crate::rootfs::overlay::Changes;
use crate::sys::Call as _;

#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) image: Image,
    layers: Vec<Descriptor>,
    author: Option<String>,
    /// One time for all that is noted.
    now: String,
}

/// A layer that is in the store: compressed, and unpacked under its diff id.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Layer {
    pub(crate) blob: Descriptor,
    pub(crate) diff_id: Digest,
}

impl Draft {
    /// Of nothing.
    pub(crate) fn scratch() -> Result<Self> {
        let image = Image {
            architecture: super::architecture().to_owned(),
            os: "linux".to_owned(),
            created: None,
            config: Defaults::default(),
            rootfs: Layers { kind: "layers".to_owned(), diff_ids: Vec::new() },
            history: Vec::new(),
            rest: Map::new(),
        };
        Ok(Self { image, layers: Vec::new(), author: None, now: now()? })
    }

    pub(crate) fn on(base: Found) -> Result<Self> {
        let mut layers = base.manifest.layers;
        for layer in &mut layers {
            layer.media_type = document::oci_type(&layer.media_type).to_owned();
        }
        Ok(Self { image: base.image, layers, author: None, now: now()? })
    }

    pub(crate) fn add(&mut self, layer: Layer) {
        self.layers.push(layer.blob);
        self.image.rootfs.diff_ids.push(layer.diff_id);
    }

    /// Who makes it, for what is noted from now on.
    pub(crate) fn set_author(&mut self, author: &str) {
        self.image.rest.insert("author".to_owned(), json!(author));
        self.author = Some(author.to_owned());
    }

    /// An entry of its history; `with_layer` if it is about the last layer.
    pub(crate) fn note(&mut self, created_by: &str, comment: Option<&str>, with_layer: bool) {
        let mut entry = json!({"created": self.now, "created_by": created_by});
        if let Some(author) = &self.author {
            entry["author"] = json!(author);
        }
        if let Some(comment) = comment {
            entry["comment"] = json!(comment);
        }
        if !with_layer {
            entry["empty_layer"] = json!(true);
        }
        self.image.history.push(entry);
    }

    /// Writes its documents and gives it its name, if it has one.
    pub(crate) fn save(mut self, changing: &Changing<'_>, name: Option<&str>) -> Result<Descriptor> {
        self.image.created = Some(self.now);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(document::MANIFEST.to_owned()),
            config: Descriptor::new(document::CONFIG, changing.add_document(&self.image)?),
            layers: self.layers,
            rest: Map::new(),
        };
        let descriptor = Descriptor::new(document::MANIFEST, changing.add_document(&manifest)?);
        if let Some(name) = name {
            changing.name(descriptor.clone(), &document::full_name(name))?;
        }
        Ok(descriptor)
    }
}

/// The moment that an image says it was made at: $SOURCE_DATE_EPOCH where that is set, so that it can be
/// made again as the same (reproducible-builds.org/specs/source-date-epoch).
fn now() -> Result<String> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    match std::env::var(VARIABLE).ok().filter(|value| !value.is_empty()) {
        None => Ok(Utc::now().to_string()),
        Some(value) => match value.parse() {
            Ok(seconds) => Ok(Utc::at(seconds).to_string()),
            Err(_) => Err(Error::other(format!("{VARIABLE}: {value:?} is no number of seconds"))),
        },
    }
}

impl Changing<'_> {
    /// What has been changed as a layer of the store.
    pub(crate) fn pack(&self, changes: &Changes, ids: &idmap::Plan) -> Result<Layer> {
        let path = self.temporary();
        let packed = self.write_layer(&path, changes, ids);
        if packed.is_err() {
            let _ = fs::remove_file(&path);
        }
        let layer = packed?;
        // Read again from the blob, with all that is checked of any layer.
        self.add_layer(&layer.blob.digest, &layer.diff_id)?;
        Ok(layer)
    }

    fn write_layer(&self, path: &Path, changes: &Changes, ids: &idmap::Plan) -> Result<Layer> {
        let file = File::create_new(path).call("open").on(path.display())?;
        let compressed = GzEncoder::new(Hashing::new(BufWriter::new(file)), Compression::fast());
        let mut plain = BufWriter::with_capacity(1 << 16, Hashing::new(compressed));
        Pack::new(&mut plain, ids).write(changes)?;
        let plain = plain.into_inner().map_err(std::io::IntoInnerError::into_error).call("write").on(path.display())?;
        let (encoder, (diff_id, _)) = plain.written();
        let (mut out, blob) = encoder.finish().call("write").on(path.display())?.written();
        out.flush().and_then(|()| out.get_ref().sync_data()).call("write").on(path.display())?;
        fs::rename(path, self.store.blob(&blob.0)).call("rename").on(path.display())?;
        Ok(Layer { blob: Descriptor::new(document::LAYER_GZIP, blob), diff_id })
    }
}
