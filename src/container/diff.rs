//! `diff`: what a container has changed of the layers that its root file system is made of.
//!
//! Runs in: parent · docs/images.md

use std::path::PathBuf;

use serde::Serialize;

use super::Container;
use crate::error::{Error, Result};
use crate::image::list::printable;
use crate::rootfs::overlay::changes::{Change, Found, join};
use crate::rootfs::overlay::{self, Changes};

/// Absolute paths, in their order.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Diff {
    changed: Vec<String>,
    added: Vec<String>,
    deleted: Vec<String>,
}

impl Container {
    /// What it has written, whether or not it runs; nothing if its root file system is read-only.
    pub(crate) fn changes(&self) -> Result<Option<Changes>> {
        overlay::changes_of(&self.config()?, &self.record.bundle, self.dir.path(), self.lower()?)
    }

    /// The directories below them, the topmost first.
    pub(crate) fn lower(&self) -> Result<&[PathBuf]> {
        if self.record.layers.is_empty() {
            let problem = format!("its root file system is not made of layers ({})", overlay::LOWER);
            return Err(Error::state(&self.record.id, problem));
        }
        Ok(&self.record.layers)
    }
}

pub(crate) fn diff(container: &Container) -> Result<Diff> {
    let mut diff = Diff::default();
    if let Some(changes) = container.changes()? {
        changes.visit(|found| {
            diff.note(found);
            Ok(())
        })?;
    }
    for list in [&mut diff.changed, &mut diff.added, &mut diff.deleted] {
        list.sort_unstable();
    }
    Ok(diff)
}

impl Diff {
    fn note(&mut self, found: &Found<'_>) {
        // The root is there in any case.
        if found.path == b"." {
            return;
        }
        let list = match found.change {
            Change::Added => &mut self.added,
            Change::Changed => &mut self.changed,
            Change::Deleted => &mut self.deleted,
        };
        list.push(absolute(found.path));
        self.deleted.extend(found.hidden.iter().map(|name| absolute(&join(found.path, name))));
    }

    /// As podman and docker print them: a letter and a path on each line, in the order of the paths.
    pub(crate) fn lines(&self) -> String {
        let lists = [('C', &self.changed), ('A', &self.added), ('D', &self.deleted)];
        let mut entries: Vec<(&str, char)> = Vec::new();
        for (letter, paths) in lists {
            entries.extend(paths.iter().map(|path| (path.as_str(), letter)));
        }
        entries.sort_unstable();
        entries.iter().map(|(path, letter)| format!("{letter} {}\n", printable(path))).collect()
    }
}

fn absolute(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_the_order_of_paths() {
        let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let diff = Diff { changed: list(&["/etc"]), added: list(&["/a\n\u{1b}[1m", "/etc/x"]), deleted: list(&["/b"]) };
        assert_eq!(diff.lines(), "A /a\\n\\u{1b}[1m\nD /b\nC /etc\nA /etc/x\n");
    }
}
