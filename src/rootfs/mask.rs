//! linux.maskedPaths and linux.readonlyPaths.
//!
//! Runs in: parent (compile), init (apply) · config-linux.md#masked-paths, #readonly-paths,
//! LNX-145, LNX-146
//!
//! Only a missing *target* is no error. The sources of masks are the runtime's own: the host's
//! /dev/null, checked, and an empty tmpfs; the image's /dev/null may be a link to anything
//! (CVE-2025-31133).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, makedev};

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::sys;
use crate::sys::mount::{self as api, Attr};

use super::resolve::{InRoot, Kind};
use super::root::Builder;

pub(super) const MASKED: &str = "linux.maskedPaths";
pub(super) const READONLY: &str = "linux.readonlyPaths";

/// Both lists, in the order written.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(super) masked: Vec<InRoot>,
    pub(super) readonly: Vec<InRoot>,
}

impl Plan {
    pub(crate) fn compile(masked: &[String], readonly: &[String]) -> Result<Self> {
        Ok(Self { masked: paths(MASKED, masked)?, readonly: paths(READONLY, readonly)? })
    }

    /// Read-only first: a mask below a read-only path is one more mount on top of it.
    pub(crate) fn apply(&self, builder: &Builder<'_>) -> Result<()> {
        for (index, path) in self.readonly.iter().enumerate() {
            make_readonly(builder, path).property(Property::at(READONLY, index))?;
        }
        let mut masks = Masks::default();
        for (index, path) in self.masked.iter().enumerate() {
            masks.mask(builder, path).property(Property::at(MASKED, index))?;
        }
        Ok(())
    }
}

fn paths(list: &'static str, written: &[String]) -> Result<Vec<InRoot>> {
    let absolute = |(index, path): (usize, &String)| {
        let property = Property::at(list, index);
        if path.starts_with('/') {
            InRoot::new(path, property)
        } else {
            Err(property.invalid(format!("{path:?} is not absolute")))
        }
    };
    written.iter().enumerate().map(absolute).collect()
}

fn make_readonly(builder: &Builder<'_>, path: &InRoot) -> Result<()> {
    let Some(target) = builder.root().find(path).on(path)? else {
        return Ok(());
    };
    let tree = api::open_tree(target.as_fd(), sys::EMPTY, true).on(path)?;
    api::mount_setattr(tree.as_fd(), Attr::RDONLY, Attr::empty(), false).on(path)?;
    api::move_mount(tree.as_fd(), target.as_fd()).on(path)
}

/// What is laid over masked files and directories; made when first needed.
#[derive(Default)]
struct Masks {
    file: Option<OwnedFd>,
    /// The first masked directory's cover: it has to be attached before it can be cloned.
    directory: Option<OwnedFd>,
}

impl Masks {
    fn mask(&mut self, builder: &Builder<'_>, path: &InRoot) -> Result<()> {
        let Some(target) = builder.root().find(path).on(path)? else {
            return Ok(());
        };
        match Kind::of(target.as_fd()).on(path)? {
            Kind::Directory => self.cover_directory(target.as_fd()).on(path),
            Kind::Other => {
                let file = match &self.file {
                    Some(file) => file,
                    None => self.file.insert(host_null()?),
                };
                let tree = api::open_tree(file.as_fd(), sys::EMPTY, false).on(path)?;
                api::move_mount(tree.as_fd(), target.as_fd()).on(path)
            }
        }
    }

    fn cover_directory(&mut self, target: BorrowedFd<'_>) -> sys::Result<()> {
        if let Some(cover) = &self.directory {
            let tree = api::open_tree(cover.as_fd(), sys::EMPTY, false)?;
            return api::move_mount(tree.as_fd(), target);
        }
        let context = api::fsopen(c"tmpfs")?;
        api::fsconfig_set(context.as_fd(), c"source", Some(c"tmpfs"))?;
        api::fsconfig_set(context.as_fd(), c"mode", Some(c"755"))?;
        api::fsconfig_create(context.as_fd())?;
        let cover = api::fsmount(context.as_fd(), Attr::RDONLY | Attr::NOSUID | Attr::NODEV | Attr::NOEXEC)?;
        api::move_mount(cover.as_fd(), target)?;
        self.directory = Some(cover);
        Ok(())
    }
}

/// The host's /dev/null, if it is that.
fn host_null() -> Result<OwnedFd> {
    let null = sys::path::open(c"/dev/null", OFlag::O_PATH | OFlag::O_NOFOLLOW).on("/dev/null of the host")?;
    let stat = sys::fd::fstat(null.as_fd()).on("/dev/null of the host")?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFCHR || stat.st_rdev != makedev(1, 3) {
        return Err(Error::other("the host's /dev/null is not the null device"));
    }
    Ok(null)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LNX-145, LNX-146
    #[test]
    fn relative_paths_are_refused() {
        let one = |path: &str| vec![path.to_owned()];
        assert!(Plan::compile(&one("/proc/kcore"), &one("/proc/sys")).is_ok());
        let error = Plan::compile(&one("proc/kcore"), &[]).unwrap_err().to_string();
        assert!(error.starts_with("linux.maskedPaths[0]: "), "{error}");
        let error = Plan::compile(&[], &one("")).unwrap_err().to_string();
        assert!(error.starts_with("linux.readonlyPaths[0]: "), "{error}");
    }
}
