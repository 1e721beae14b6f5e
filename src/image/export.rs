//! `image export`: an image as an OCI layout, its blobs byte for byte as they came.
//!
//! Runs in: parent · image-spec image-layout.md · docs/images.md

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::digest::Hashing;
use super::{Descriptor, Digest, Found, Index, LAYOUT, Store, document};
use crate::error::{Error, On as _, Result};
use crate::sys::{Call as _, tty};

/// To standard output (`-`) or a file `*.tar`, else to a directory, which may hold a layout already.
pub(crate) fn export(store: &Store, name: &str, to: &Path) -> Result<()> {
    // Nobody prunes meanwhile.
    let _held = store.change()?;
    let found = store.find(name)?;
    if to == Path::new("-") {
        let stdout = std::io::stdout();
        if tty::is_terminal(stdout.as_fd()) {
            return Err(Error::other("standard output is a terminal, and a tar nothing to look at"));
        }
        let out = stdout.as_fd().try_clone_to_owned().call("dup").on("standard output")?;
        return write_tar(File::from(out), store, &found);
    }
    let mut made = Made::default();
    if to.extension().is_some_and(|extension| extension == "tar") {
        let file = File::create_new(to).call("open").on(to.display())?;
        made.0.push(to.to_owned());
        write_tar(file, store, &found).map_err(|error| error.within(to.display()))?;
    } else {
        write_directory(to, store, &found, &mut made)?;
    }
    made.keep();
    Ok(())
}

fn write_tar(out: File, store: &Store, found: &Found) -> Result<()> {
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 16, out));
    let mut index = Index::default();
    index.name(found.descriptor.clone(), &found.name);
    for (name, text) in [("oci-layout", LAYOUT.as_bytes().to_vec()), ("index.json", json(&index)?)] {
        append(&mut tar, name, text.len() as u64, text.as_slice())?;
    }
    for digest in blobs(found) {
        let file = store.open_blob(&digest)?;
        let length = file.metadata().call("fstat").on(&digest)?.len();
        let mut content = Hashing::new(file);
        append(&mut tar, &format!("blobs/sha256/{}", digest.hex()), length, (&mut content).take(length))?;
        check(content, &digest)?;
    }
    let mut out = tar.into_inner().call("write")?;
    Ok(out.flush().call("write")?)
}

/// Nothing of this machine, so that the same image is the same tar.
fn append(tar: &mut tar::Builder<impl Write>, name: &str, length: u64, content: impl Read) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(length);
    tar.append_data(&mut header, name, content).call("write").on(name)
}

fn write_directory(dir: &Path, store: &Store, found: &Found, made: &mut Made) -> Result<()> {
    let layout = dir.join("oci-layout");
    if !layout.exists() && fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::other(format!("{}: is neither empty nor an OCI layout", dir.display())));
    }
    let blobs_dir = dir.join("blobs/sha256");
    for dir in [dir, &dir.join("blobs"), &blobs_dir] {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made_it => {
                made_it.call("mkdir").on(dir.display())?;
                made.0.push(dir.to_owned());
            }
        }
    }
    for digest in blobs(found) {
        let path = blobs_dir.join(digest.hex());
        let mut content = Hashing::new(store.open_blob(&digest)?);
        replace(&path, made, |file| std::io::copy(&mut content, file).map(drop))?;
        check(content, &digest)?;
    }
    let path = dir.join("index.json");
    let mut index = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Index::default(),
        text => {
            document::parse(&text.call("read").on(path.display())?).map_err(|error| error.within(path.display()))?
        }
    };
    index.name(found.descriptor.clone(), &found.name);
    let text = json(&index)?;
    if !layout.exists() {
        replace(&layout, made, |file| file.write_all(LAYOUT.as_bytes()))?;
    }
    replace(&path, made, |file| file.write_all(&text))
}

/// Whole or not at all: written beside it, and renamed.
fn replace(path: &Path, made: &mut Made, write: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    let new = path.with_extension("new");
    let is_new = !path.exists();
    let mut file = File::create(&new).call("open").on(new.display())?;
    let written = write(&mut file).call("write").and_then(|()| fs::rename(&new, path).call("rename"));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    } else if is_new {
        made.0.push(path.to_owned());
    }
    written.on(path.display())
}

/// Manifest, configuration, layers; each once.
fn blobs(found: &Found) -> Vec<Digest> {
    let mut digests: Vec<Digest> = Vec::new();
    let documents = [&found.descriptor, &found.manifest.config];
    for Descriptor { digest, .. } in documents.into_iter().chain(&found.manifest.layers) {
        if !digests.contains(digest) {
            digests.push(digest.clone());
        }
    }
    digests
}

fn check(content: Hashing<File>, digest: &Digest) -> Result<()> {
    match content.finish().call("read").on(digest)?.0 {
        real if real == *digest => Ok(()),
        real => Err(Error::other(format!("blob {digest} of the store is damaged: its content has digest {real}"))),
    }
}

fn json(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| Error::other(error.to_string()))
}

/// What this export has made, which goes if it fails; what was there before stays.
#[derive(Debug, Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}
