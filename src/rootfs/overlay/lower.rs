//! Which directories an overlay is made of: those listed, or the layers of an image of the store.
//!
//! Runs in: parent · docs/overlay.md

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Property, Result};
use crate::image::Store;

use super::annotations::{IMAGE, LOWER, STORE, annotation};

/// OVL_MAX_STACK of the kernel.
const MOST_LAYERS: usize = 500;

#[derive(Debug)]
pub(crate) struct Lower {
    /// The topmost first.
    pub(crate) dirs: Vec<PathBuf>,
    /// The annotation that names them.
    pub(super) property: Property,
    /// Keeps `image prune` from an image's layers.
    held: Option<File>,
}

impl Lower {
    /// Nothing without an annotation that names layers.
    pub(super) fn compile<'a>(get: impl Fn(&str) -> Option<&'a str>, bundle: &Path) -> Result<Option<Self>> {
        let (property, dirs, held) = match (get(LOWER), get(IMAGE)) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(annotation(IMAGE).invalid(format!("{LOWER} names layers already"))),
            (Some(written), None) => (annotation(LOWER), directories(written, bundle)?, None),
            (None, Some(image)) => {
                let (dirs, held) = layers(image, get(STORE), bundle)?;
                (annotation(IMAGE), dirs, Some(held))
            }
        };
        if held.is_none() && get(STORE).is_some() {
            return Err(annotation(STORE).invalid(format!("needs {IMAGE}")));
        }
        let lower = Self { property, held, ..Self::of(dirs) };
        if lower.dirs.len() > MOST_LAYERS {
            return Err(property.invalid(format!("{} layers, and Linux takes {MOST_LAYERS}", lower.dirs.len())));
        }
        Ok(Some(lower))
    }

    /// Directories that somebody else has chosen, the topmost first.
    pub(super) fn of(mut dirs: Vec<PathBuf>) -> Self {
        // What a layer holds is there, or hidden, wherever it comes again further down; overlayfs refuses it.
        let mut seen = HashSet::with_capacity(dirs.len());
        dirs.retain(|dir| seen.insert(dir.clone()));
        Self { dirs, property: annotation(LOWER), held: None }
    }

    /// They are on record as the container's: `image prune` leaves them alone from now on.
    pub(crate) fn recorded(&mut self) {
        self.held = None;
    }
}

fn layers(image: &str, store: Option<&str>, bundle: &Path) -> Result<(Vec<PathBuf>, File)> {
    let root = match store {
        Some(root) => bundle.join(root),
        None => Store::default_root().map_err(|error| annotation(IMAGE).invalid(error.to_string()))?,
    };
    let held = Store::at(&root).and_then(|store| store.hold_layers(image));
    held.map_err(|error| annotation(IMAGE).invalid(error.to_string()))
}

fn directories(written: &str, bundle: &Path) -> Result<Vec<PathBuf>> {
    let directory = |name: &String| {
        let path = bundle.join(name);
        match std::fs::metadata(&path) {
            _ if name.is_empty() => Err(annotation(LOWER).invalid("a name is empty")),
            Ok(metadata) if metadata.is_dir() => Ok(path),
            Ok(_) => Err(annotation(LOWER).invalid(format!("{} is not a directory", path.display()))),
            Err(error) => {
                Err(annotation(LOWER).invalid(format!("{}: {}", path.display(), crate::error::io_meaning(&error))))
            }
        }
    };
    split(written).iter().map(directory).collect()
}

/// As overlayfs itself would read the list: a colon between directories, a backslash before one that is
/// part of a name.
pub(crate) fn split(written: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut letters = written.chars();
    while let Some(letter) = letters.next() {
        match (letter, names.last_mut()) {
            (':', _) => names.push(String::new()),
            ('\\', Some(name)) => name.extend(letters.next()),
            (_, Some(name)) => name.push(letter),
            (_, None) => {}
        }
    }
    names
}

/// What `split` takes apart.
pub(crate) fn join(names: &[String]) -> String {
    let quoted = names.iter().map(|name| name.replace('\\', "\\\\").replace(':', "\\:"));
    quoted.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lower(key: &str, value: &str) -> Result<Option<Lower>> {
        Lower::compile(|wanted| (wanted == key).then_some(value), Path::new("/"))
    }

    #[test]
    fn lists_can_hold_any_name() {
        assert_eq!(split("/pr\\oc\\:a:\\\\b"), ["/proc:a", "\\b"]);
        let names = ["a:b".to_owned(), "c\\".to_owned(), String::new()];
        assert_eq!(split(&join(&names)), names);
    }

    #[test]
    fn a_layer_counts_once() {
        assert_eq!(lower(LOWER, "dev:proc:dev").unwrap().unwrap().dirs, [Path::new("/dev"), Path::new("/proc")]);
        assert!(lower(LOWER, &["dev"; 501].join(":")).is_ok());
    }

    #[test]
    fn no_store_no_image() {
        let get = |key: &str| [(IMAGE, "none"), (STORE, "no/such/store")].into_iter().find(|(k, _)| *k == key);
        let error = Lower::compile(|key| get(key).map(|(_, value)| value), Path::new("/")).unwrap_err().to_string();
        assert!(error.starts_with("annotations.org.orlop.overlay.image: /no/such/store"), "{error}");
        assert!(lower(STORE, "/").unwrap().is_none());
    }
}
