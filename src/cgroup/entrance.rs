//! The way into the cgroup of a container that runs already, for `exec`.
//!
//! Runs in: parent · cgroups(7), clone3(2)
//!
//! v2: the process is born there. v1: it writes "0" to each hierarchy's `tasks`, as init did.
//! `--cgroup` names a cgroup below the container's own; that it is below is for the kernel to say
//! (RESOLVE_BENEATH), as a comparison of texts has been fooled before.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, ResolveFlag};

use super::path::{PROPERTY, STANDARD};
use super::{Cgroup, Group, Version, file};
use crate::error::{Error, On as _, Result};
use crate::sys;

/// Opened before the clone.
#[derive(Debug, Default)]
pub(crate) struct Entrance {
    /// What CLONE_INTO_CGROUP takes.
    pub(crate) birth: Option<OwnedFd>,
    pub(crate) doors: Vec<OwnedFd>,
}

/// `--cgroup [CONTROLLER[,CONTROLLER…]:]PATH`; without controllers it is about all of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sub {
    controllers: Option<String>,
    path: String,
}

impl Sub {
    pub(crate) fn parse(written: &[String]) -> Result<Vec<Self>> {
        let subs: Vec<_> = written.iter().map(|text| Self::parse_one(text)).collect::<Result<_>>()?;
        match subs.iter().position(|sub| sub.controllers.is_none()) {
            Some(index) if subs.len() > 1 => {
                Err(invalid(&written[index], "several of them need a controller each: CONTROLLER:PATH"))
            }
            _ => Ok(subs),
        }
    }

    fn parse_one(text: &str) -> Result<Self> {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => (Some(controllers.to_owned()), path),
            None => (None, text),
        };
        if path.contains(':') || controllers.as_ref().is_some_and(String::is_empty) {
            return Err(invalid(text, "is not of the form [CONTROLLER:]PATH"));
        }
        Ok(Self { controllers, path: path.to_owned() })
    }

    fn is_about(&self, group: &Group) -> bool {
        self.controllers.as_ref().is_none_or(|names| names.split(',').any(|name| group.controls(name)))
    }
}

fn invalid(text: &str, problem: &str) -> Error {
    Error::other(format!("--cgroup {text:?}: {problem}"))
}

impl Cgroup {
    /// Into the container's own cgroup, or those below it that are named.
    pub(crate) fn entrance(&self, subs: &[Sub]) -> Result<Entrance> {
        self.check(subs)?;
        let mut entrance = Entrance::default();
        for group in &self.groups {
            let sub = subs.iter().find(|sub| sub.is_about(group));
            let dir = open_below(group, sub.map_or("", |sub| sub.path.as_str()))?;
            match group.version {
                Version::V2 => entrance.birth = Some(dir),
                Version::V1 => {
                    let door = file::open(&dir, Path::new("tasks"), OFlag::O_WRONLY);
                    entrance.doors.push(door.on(group.dir.join("tasks").display())?);
                }
            }
        }
        Ok(entrance)
    }

    /// v2: where init is now, if that still is below the container's own cgroup, which takes in no
    /// processes once it passes controllers on to cgroups below it.
    pub(crate) fn entrance_beside(&self, init: i32) -> Result<Entrance> {
        let Some(group) = self.groups.first() else { return Ok(Entrance::default()) };
        let table = file::read_path(&PathBuf::from(format!("/proc/{init}/cgroup")))?;
        let own = table.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        let below = Path::new(STANDARD).join(own);
        match below.strip_prefix(&group.dir) {
            Ok(below) => {
                let birth = Some(open_below(group, &below.to_string_lossy())?);
                Ok(Entrance { birth, doors: Vec::new() })
            }
            Err(_) => {
                let (own, dir) = (below.display(), group.dir.display());
                Err(PROPERTY.invalid(format!("{dir} takes no processes, and the container's first one is in {own}")))
            }
        }
    }

    fn check(&self, subs: &[Sub]) -> Result<()> {
        for sub in subs {
            let unified = self.groups.first().is_some_and(|group| group.version == Version::V2);
            let Some(names) = &sub.controllers else { continue };
            if unified {
                return Err(invalid(&sub.path, "cgroups of version 2 have no controllers of their own"));
            }
            let unknown = |name: &&str| !self.groups.iter().any(|group| group.controls(name));
            if let Some(name) = names.split(',').find(unknown) {
                return Err(invalid(&sub.path, &format!("the container has no cgroup of controller {name:?}")));
            }
        }
        match subs.first() {
            Some(sub) if self.groups.is_empty() => Err(invalid(&sub.path, "the container has no cgroup of its own")),
            _ => Ok(()),
        }
    }
}

fn open_below(group: &Group, path: &str) -> Result<OwnedFd> {
    let dir = file::open_path(&group.dir, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return Ok(dir);
    }
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    sys::c_string(path)
        .and_then(|path| sys::path::openat2(dir.as_fd(), &path, OFlag::O_PATH | OFlag::O_DIRECTORY, resolve))
        .on(format_args!("{} below {}", path, group.dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(written: &[&str]) -> Result<Vec<Sub>> {
        Sub::parse(&written.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn one_path_or_one_per_controller() {
        let sub = |controllers: Option<&str>, path: &str| Sub {
            controllers: controllers.map(str::to_owned),
            path: path.to_owned(),
        };
        assert_eq!(parse(&["a/b"]).unwrap(), [sub(None, "a/b")]);
        assert_eq!(
            parse(&["memory:/a", "cpu,cpuacct:b"]).unwrap(),
            [sub(Some("memory"), "/a"), sub(Some("cpu,cpuacct"), "b")]
        );
        for bad in [&["a", "memory:b"][..], &["memory:a:b"], &[":a"]] {
            assert!(parse(bad).unwrap_err().to_string().starts_with("--cgroup "), "{bad:?}");
        }
    }

    /// The escape that a comparison of texts lets pass: a sibling whose name begins with ours.
    #[test]
    fn nothing_above_is_reached() {
        let scratch = std::env::temp_dir().join(format!("orlop-entrance-{}", std::process::id()));
        for dir in ["box/a/b", "box-2"] {
            std::fs::create_dir_all(scratch.join(dir)).unwrap();
        }
        std::os::unix::fs::symlink("../box-2", scratch.join("box/link")).unwrap();
        let group = Group { version: Version::V2, controllers: String::new(), dir: scratch.join("box"), made: 0 };
        for good in ["", "/", "a", "/a/b", "a/../a", "a/b/.."] {
            assert!(open_below(&group, good).is_ok(), "{good}");
        }
        for bad in ["..", "../box-2", "a/../../box-2", "link", "/../box", "missing"] {
            assert!(open_below(&group, bad).is_err(), "{bad}");
        }
        std::fs::remove_dir_all(scratch).unwrap();
    }
}
