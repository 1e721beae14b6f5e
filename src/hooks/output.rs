//! Where hooks print, if an engine wants to have that: crun's annotations.
//!
//! Runs in: both (opened by the parent) · docs/annotations.md

use std::fs::OpenOptions;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{For as _, On as _, Property, Result};
use crate::spec::map::Map;
use crate::sys::Call as _;

pub(crate) const STDOUT: &str = "run.oci.hooks.stdout";
pub(crate) const STDERR: &str = "run.oci.hooks.stderr";

/// Files, which are made if need be, and appended to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Output {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdout: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stderr: Option<PathBuf>,
}

/// The same, opened. What has no file goes into our messages.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Output {
    /// Relative paths begin where the host's hooks do, in the bundle.
    pub(super) fn compile(annotations: &Map<String>, bundle: &Path) -> Result<Self> {
        let path = |name: &'static str| match annotations.get(name).map(String::as_str) {
            Some(value) if value.is_empty() || value.contains('\0') => {
                Err(annotation(name).invalid(format!("{value:?} is not the path of a file")))
            }
            value => Ok(value.map(|value| bundle.join(value))),
        };
        Ok(Self { stdout: path(STDOUT)?, stderr: path(STDERR)? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    pub(crate) fn open(&self) -> Result<Streams> {
        Ok(Streams { stdout: open(STDOUT, self.stdout.as_deref())?, stderr: open(STDERR, self.stderr.as_deref())? })
    }

    /// For hooks that run whatever else fails.
    pub(crate) fn open_or_warn(&self) -> Streams {
        self.open().unwrap_or_else(|error| {
            log::warn!("{error}");
            Streams::default()
        })
    }

    /// Init: from the descriptors that `start` has sent.
    pub(crate) fn received(&self, fds: Vec<OwnedFd>) -> Streams {
        let mut fds = fds.into_iter();
        let mut next = |path: &Option<PathBuf>| path.as_ref().and_then(|_| fds.next());
        Streams { stdout: next(&self.stdout), stderr: next(&self.stderr) }
    }
}

impl Streams {
    pub(super) fn stdout(&self) -> Option<BorrowedFd<'_>> {
        self.stdout.as_ref().map(OwnedFd::as_fd)
    }

    pub(super) fn stderr(&self) -> Option<BorrowedFd<'_>> {
        self.stderr.as_ref().map(OwnedFd::as_fd)
    }

    /// `start`: as `received` takes them.
    pub(crate) fn into_fds(self) -> Vec<OwnedFd> {
        self.stdout.into_iter().chain(self.stderr).collect()
    }
}

const fn annotation(name: &'static str) -> Property {
    Property::of("annotations").field(name)
}

fn open(name: &'static str, path: Option<&Path>) -> Result<Option<OwnedFd>> {
    let Some(path) = path else { return Ok(None) };
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOCTTY).open(path);
    let file = file.call("openat").on(path.display()).property(annotation(name))?;
    Ok(Some(file.into()))
}
