//! The documents of the image-spec, with what is unknown in them kept.
//!
//! Runs in: parent · image-spec descriptor.md, image-index.md, manifest.md, config.md

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Digest;
use crate::error::{Error, Result};

/// The annotation of an index entry that names the image.
const NAME: &str = "org.opencontainers.image.ref.name";

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// The configuration of an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default)]
    pub(crate) config: Defaults,
    pub(crate) rootfs: Layers,
    #[serde(default)]
    pub(crate) history: Vec<Value>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Layers {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<Digest>,
}

/// How a container of the image is to be run unless told otherwise. Docker writes null for what is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Defaults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exposed_ports: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volumes: Option<Map<String, Value>>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        let media_type = Some(INDEX.to_owned());
        Self { schema_version: 2, media_type, manifests: Vec::new(), rest: Map::new() }
    }
}

impl Index {
    /// The name is this manifest's from now on.
    pub(crate) fn name(&mut self, mut descriptor: Descriptor, name: &str) {
        self.manifests.retain(|entry| entry.name() != Some(name));
        descriptor.annotations.insert(NAME.to_owned(), name.to_owned());
        self.manifests.push(descriptor);
    }
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, (digest, size): (Digest, u64)) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: BTreeMap::new() }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.annotations.get(NAME).map(String::as_str)
    }

    /// Whether it names further manifests, for several platforms.
    pub(crate) fn is_index(&self) -> bool {
        self.media_type == INDEX || self.media_type == DOCKER_LIST
    }
}

/// Docker's name of a layer's type in the words of the image-spec: manifests do not mix them.
pub(crate) fn oci_type(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar" => LAYER,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => LAYER_GZIP,
        other => other,
    }
}

/// A document that could be read as a manifest and as an index is neither (CVE-2021-41190).
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct Both {
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let broken = |error: serde_json::Error| Error::other(error.to_string());
    let both: Both = serde_json::from_slice(text).map_err(broken)?;
    if both.manifests.is_some() && both.layers.is_some() {
        return Err(Error::other("it has both manifests and layers"));
    }
    serde_json::from_slice(text).map_err(broken)
}

/// A document that is a list, as docker's manifest.json is.
pub(super) fn parse_any<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| Error::other(error.to_string()))
}

/// A name with its tag: without one it is `latest`.
pub(crate) fn full_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_tags() {
        assert_eq!(full_name("busybox"), "busybox:latest");
        assert_eq!(full_name("host:5000/busybox"), "host:5000/busybox:latest");
        assert_eq!(full_name("a/b:1"), "a/b:1");
    }

    #[test]
    fn no_document_is_two_things() {
        assert!(parse::<Index>(br#"{"schemaVersion": 2, "manifests": []}"#).is_ok());
        let both = br#"{"schemaVersion": 2, "manifests": [], "layers": []}"#;
        assert!(parse::<Index>(both).unwrap_err().to_string().contains("both"));
    }

    #[test]
    fn unknown_members_are_kept() {
        let text = r#"{"schemaVersion":2,"manifests":[],"annotations":{"a":"b"}}"#;
        assert_eq!(serde_json::to_string(&parse::<Index>(text.as_bytes()).unwrap()).unwrap(), text);
    }
}
