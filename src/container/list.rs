//! Every container below a root directory.
//!
//! Runs in: parent

use std::fmt::Write as _;
use std::path::Path;

use nix::errno::Errno;

use super::record::Document;
use super::{Container, ContainerId, Record, Status};
use crate::error::{On as _, Result};
use crate::sys::Call as _;

/// A container with the status it had when it was looked at. Its directory is not kept open: there may
/// be more containers than this process may have descriptors.
#[derive(Debug)]
pub(crate) struct Listed {
    record: Record,
    status: Status,
    pid: Option<i32>,
}

impl Listed {
    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    pub(crate) fn document(&self) -> Document<'_> {
        self.record.state(self.status, self.pid)
    }
}

/// In the order of their ids. What cannot be read is left out with a warning: one broken container
/// must not hide the others.
pub(crate) fn containers(root: &Path) -> Result<Vec<Listed>> {
    let entries = match std::fs::read_dir(root).call("open") {
        Ok(entries) => entries,
        Err(error) if error.errno == Errno::ENOENT => return Ok(Vec::new()),
        Err(error) => return Err(error.on(root.display())),
    };
    let mut listed = Vec::new();
    for entry in entries {
        let name = entry.call("readdir").on(root.display())?.file_name();
        let Some(Ok(id)) = name.to_str().map(ContainerId::new) else { continue };
        match look(root, &id) {
            Ok(found) => listed.extend(found),
            Err(error) => log::warn!("container {:?} left out: {error}", id.as_str()),
        }
    }
    listed.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    Ok(listed)
}

fn look(root: &Path, id: &ContainerId) -> Result<Option<Listed>> {
    let Some(container) = Container::lookup(root, id)? else { return Ok(None) };
    let status = container.status()?;
    let pid = container.pid(status);
    Ok(Some(Listed { record: container.record, status, pid }))
}

const HEADER: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

/// Columns as wide as their widest cell.
pub(crate) fn table(containers: &[Listed]) -> String {
    let rows: Vec<_> = containers.iter().map(|listed| cells(&listed.document())).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0).max(HEADER[column].len());
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(HEADER.map(String::from)).chain(rows.iter().cloned()) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cells(document: &Document<'_>) -> [String; 6] {
    [
        document.id.to_owned(),
        document.pid.to_string(),
        document.status.to_string(),
        document.bundle.display().to_string(),
        document.created.to_owned(),
        document.owner.to_owned(),
    ]
}
