//! `linux.cgroupsPath` as `slice:prefix:name`: the scope, the slice it is in, and its directory.
//!
//! Runs in: parent · config-linux.md#cgroups-path (LNX-51), systemd.slice(5), systemd.unit(5)

use std::path::PathBuf;

use crate::cgroup::path::PROPERTY;
use crate::error::{Error, Result};

const SLICE: &str = ".slice";
/// The root of all slices.
const ROOT: &str = "-.slice";
/// What the scope's name begins with where the configuration says nothing.
const PREFIX: &str = "orlop";
/// UNIT_NAME_MAX
const LONGEST: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) slice: String,
}

impl Unit {
    /// `session`: of a user's service manager, which has no `system.slice`.
    pub(super) fn compile(value: Option<&str>, id: &str, session: bool) -> Result<Self> {
        let value = value.unwrap_or_default();
        let mut parts = value.split(':');
        let (slice, prefix, name) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(""), None, ..) => ("", PREFIX, id),
            (Some(slice), Some(prefix), Some(name), None) => (slice, prefix, name),
            _ => return Err(invalid(value, "is not of the form slice:prefix:name, which systemd needs")),
        };
        let slice = match slice {
            "" if session => "user.slice",
            "" => "system.slice",
            "-" => ROOT,
            slice => slice,
        };
        let name = if name.is_empty() { id } else { name };
        if name.ends_with(SLICE) {
            return Err(invalid(value, "names a slice: a container's processes can only be in a scope"));
        }
        let unit = Self { name: format!("{prefix}-{name}.scope"), slice: slice.to_owned() };
        for name in [&unit.name, &unit.slice] {
            check_name(value, name)?;
        }
        check_slice(value, slice)?;
        Ok(unit)
    }

    /// Below the service manager's own cgroup: `a-b.slice` is in `a.slice`.
    pub(super) fn directory(&self) -> PathBuf {
        let mut directory = PathBuf::new();
        let stem = self.slice.strip_suffix(SLICE).unwrap_or_default();
        if self.slice != ROOT {
            let dashes = stem.match_indices('-').map(|(at, _)| at);
            directory.extend(dashes.chain([stem.len()]).map(|end| format!("{}{SLICE}", &stem[..end])));
        }
        directory.join(&self.name)
    }
}

/// Of what systemd allows in the names of units.
fn check_name(value: &str, name: &str) -> Result<()> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ":-_.\\@".contains(character);
    if name.len() > LONGEST {
        return Err(invalid(value, "makes a unit's name of more than 255 bytes"));
    }
    match name.chars().find(|character| !is_allowed(*character)) {
        Some(character) => Err(invalid(value, &format!("holds {character:?}, which no unit's name can"))),
        None => Ok(()),
    }
}

fn check_slice(value: &str, slice: &str) -> Result<()> {
    let stem = slice.strip_suffix(SLICE).filter(|stem| !stem.is_empty());
    match stem {
        Some("-") => Ok(()),
        Some(stem) if !stem.split('-').any(str::is_empty) => Ok(()),
        _ => Err(invalid(value, &format!("names no slice: {slice:?} should be like a-b.slice"))),
    }
}

fn invalid(value: &str, reason: &str) -> Error {
    PROPERTY.invalid(format!("{value:?} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(value: Option<&str>, session: bool) -> (String, String) {
        let unit = Unit::compile(value, "c1", session).unwrap();
        (unit.slice.clone(), unit.directory().display().to_string())
    }

    /// LNX-51, LNX-53
    #[test]
    fn slice_prefix_and_name() {
        for (value, session, slice, directory) in [
            (Some("machine.slice:libpod:4f"), false, "machine.slice", "machine.slice/libpod-4f.scope"),
            (Some("a-b-c.slice:cri:x"), false, "a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice/cri-x.scope"),
            (Some(":p:n"), false, "system.slice", "system.slice/p-n.scope"),
            (Some(":p:n"), true, "user.slice", "user.slice/p-n.scope"),
            (Some("-.slice:p:n"), false, "-.slice", "p-n.scope"),
            (Some("-:p:n"), true, "-.slice", "p-n.scope"),
            (Some("::"), false, "system.slice", "system.slice/-c1.scope"),
            (Some(""), true, "user.slice", "user.slice/orlop-c1.scope"),
            (None, false, "system.slice", "system.slice/orlop-c1.scope"),
        ] {
            assert_eq!(unit(value, session), (slice.to_owned(), directory.to_owned()), "{value:?}");
        }
    }

    /// LNX-54
    #[test]
    fn other_forms_are_refused() {
        let long = format!("a.slice:p:{}", "n".repeat(250));
        for (value, reason) in [
            ("/a/b", "slice:prefix:name"),
            ("name", "slice:prefix:name"),
            ("a.slice:p", "slice:prefix:name"),
            ("a.slice:p:n:m", "slice:prefix:name"),
            ("a:p:n", "names no slice"),
            (".slice:p:n", "names no slice"),
            ("a--b.slice:p:n", "names no slice"),
            ("-a.slice:p:n", "names no slice"),
            ("a.slice/b.slice:p:n", "'/'"),
            ("a.slice:p:../n", "'/'"),
            ("a.slice:p:n n", "' '"),
            ("a.slice:p:n.slice", "names a slice"),
            (&long, "255"),
        ] {
            let error = Unit::compile(Some(value), "c1", false).unwrap_err().to_string();
            assert!(error.starts_with("linux.cgroupsPath: ") && error.contains(reason), "{error}");
        }
    }
}
