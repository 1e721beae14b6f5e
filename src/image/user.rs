//! The user of an image, by name or number, from the image's own files.
//!
//! Runs in: parent · image-spec config.md (User), passwd(5), group(5)

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::SFlag;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::sys;

/// Longer files of users than this are not looked at.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// Of a file that is the user's.
    pub(super) fn ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut user = json!({"uid": self.uid, "gid": self.gid});
        if !self.groups.is_empty() {
            user["additionalGids"] = json!(self.groups);
        }
        user
    }
}

/// `user`, `uid`, `user:group`, `uid:gid` and mixtures, or nothing for root. Without a group it is that of
/// /etc/passwd, with those of /etc/group.
pub(super) fn find(written: &str, layers: &[PathBuf]) -> Result<User> {
    let (name, group) = match written.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (written, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let passwd = read(layers, c"etc/passwd").unwrap_or_default();
    let groups = read(layers, c"etc/group").unwrap_or_default();
    let number: Option<u32> = name.parse().ok();
    let line = lines(&passwd).find(|line| {
        line.first() == Some(&name) || (number.is_some() && line.get(2).and_then(|uid| uid.parse().ok()) == number)
    });
    let field = |index: usize| line.as_ref().and_then(|line| line.get(index)?.parse::<u32>().ok());
    let unknown = || Error::other(format!("user {name:?} is not in the image's /etc/passwd"));
    let uid = number.or_else(|| field(2)).ok_or_else(unknown)?;
    if let Some(group) = group {
        let line = lines(&groups).find(|line| line.first() == Some(&group));
        let gid = group.parse().ok().or_else(|| line?.get(2)?.parse().ok());
        let unknown = || Error::other(format!("group {group:?} is not in the image's /etc/group"));
        return Ok(User { uid, gid: gid.ok_or_else(unknown)?, groups: Vec::new() });
    }
    let login = line.as_ref().and_then(|line| line.first().copied()).unwrap_or(name);
    let member = |line: &Vec<&str>| line.get(3).is_some_and(|members| members.split(',').any(|one| one == login));
    let groups = lines(&groups).filter(member).filter_map(|line| line.get(2)?.parse().ok()).collect();
    Ok(User { uid, gid: field(3).unwrap_or(0), groups })
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// A file of the image: the topmost layer that says something about it decides.
fn read(layers: &[PathBuf], name: &std::ffi::CStr) -> Option<String> {
    layers.iter().find_map(|layer| look(layer, name)).flatten()
}

/// What one layer says: nothing, or the file, or that there is none.
fn look(layer: &Path, name: &std::ffi::CStr) -> Option<Option<String>> {
    let root: OwnedFd = File::open(layer).ok()?.into();
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let found = sys::path::openat2(root.as_fd(), name, OFlag::O_PATH, resolve).ok()?;
    let kind = SFlag::from_bits_truncate(sys::fd::fstat(found.as_fd()).ok()?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFREG {
        return Some(None);
    }
    let file = sys::path::openat2(root.as_fd(), name, OFlag::O_RDONLY | OFlag::O_NONBLOCK, resolve).ok()?;
    let mut text = Vec::new();
    File::from(file).take(LONGEST).read_to_end(&mut text).ok()?;
    Some(Some(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let layer = std::env::temp_dir().join(format!("orlop-image-user-{}", std::process::id()));
        std::fs::create_dir_all(layer.join("etc")).unwrap();
        std::fs::write(layer.join("etc/passwd"), "root:x:0:0::/:\nweb:x:33:34::/:\n").unwrap();
        std::fs::write(layer.join("etc/group"), "root:x:0:\nlog:x:4:web,other\nweb:x:34:\n").unwrap();
        let find = |written: &str| find(written, std::slice::from_ref(&layer));
        let user = |uid, gid, groups: &[u32]| User { uid, gid, groups: groups.to_vec() };
        for (written, expected) in [
            ("", user(0, 0, &[])),
            ("web", user(33, 34, &[4])),
            ("33", user(33, 34, &[4])),
            ("web:log", user(33, 4, &[])),
            ("77", user(77, 0, &[])),
            ("77:88", user(77, 88, &[])),
        ] {
            assert_eq!(find(written).unwrap(), expected, "{written}");
        }
        assert!(find("nobody").unwrap_err().to_string().contains("/etc/passwd"));
        assert!(find("web:none").unwrap_err().to_string().contains("/etc/group"));
        std::fs::remove_dir_all(layer).unwrap();
    }
}
