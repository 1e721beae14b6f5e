//! Annotations `org.orlop.landlock.*`: the only files that the container's processes get at.
//!
//! Runs in: both (compile in parent, the rest in init) · docs/security.md, landlock(7)
//!
//! One more layer, below the mounts: it holds as well for what a process gets to see by mistake. Who asks
//! for it gets it, or no container.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::SFlag;

use crate::error::{For as _, On as _, Property, Result};
use crate::rootfs::overlay::split;
use crate::spec::map::Map;
use crate::sys::landlock::{self as api, Access};
use crate::sys::{self, path};

/// What all of them begin with.
const PREFIX: &str = "org.orlop.landlock.";
const READ: &str = "org.orlop.landlock.read";
const EXECUTE: &str = "org.orlop.landlock.execute";
const WRITE: &str = "org.orlop.landlock.write";

/// The annotations that this file reads; for `features`.
pub(crate) const ANNOTATIONS: &[&str] = &[READ, EXECUTE, WRITE];

#[derive(Debug)]
pub(super) struct Plan {
    handled: Access,
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    key: &'static str,
    path: CString,
    allowed: Access,
}

impl Plan {
    /// Without any of them nothing is forbidden.
    pub(super) fn compile(
        annotations: &Map<String>,
        version: impl FnOnce() -> sys::Result<i64>,
    ) -> Result<Option<Self>> {
        let known = |key: &str| ANNOTATIONS.contains(&key);
        if let Some((key, _)) = annotations.iter().find(|(key, _)| key.starts_with(PREFIX) && !known(key)) {
            return Err(Property::of("annotations").invalid(format!("{key} is none that orlop knows")));
        }
        let read = Access::READ_FILE | Access::READ_DIR;
        let mut rules = Vec::new();
        for (key, allowed) in
            [(READ, read), (EXECUTE, read | Access::EXECUTE), (WRITE, Access::all() - Access::EXECUTE)]
        {
            let Some(written) = annotations.get(key) else { continue };
            for path in split(written) {
                if !path.starts_with('/') {
                    return Err(annotation(key).invalid(format!("{path:?} is not an absolute path")));
                }
                let path = sys::c_string(&path).map_err(|_| annotation(key).invalid("has a NUL byte"))?;
                rules.push(Rule { key, path, allowed });
            }
        }
        let Some(first) = rules.first() else { return Ok(None) };
        match version() {
            Ok(version) => Ok(Some(Self { handled: Access::known(version), rules })),
            Err(error) if matches!(error.errno, Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                Err(annotation(first.key).unsupported("Landlock is not enabled in this kernel"))
            }
            Err(error) => Err(error.on("").property(annotation(first.key))),
        }
    }

    /// Init, inside `root`, with rights to look everything up. What is not there needs no rule.
    pub(super) fn prepare(&self, root: BorrowedFd<'_>) -> Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let ruleset = api::create_ruleset(self.handled).property(Property::of("annotations"))?;
        for Rule { key, path, allowed } in &self.rules {
            let name = path.to_string_lossy();
            let found = match path::openat2(root, path, OFlag::O_PATH, resolve) {
                Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => continue,
                found => found.on(&name).property(annotation(key))?,
            };
            let stat = sys::fd::fstat(found.as_fd()).on(&name).property(annotation(key))?;
            let is_directory = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
            let possible = if is_directory { self.handled } else { self.handled & Access::OF_FILES };
            api::allow(ruleset.as_fd(), found.as_fd(), *allowed & possible).on(&name).property(annotation(key))?;
        }
        Ok(ruleset)
    }
}

/// Init, when it needs no other files any more than its program.
pub(super) fn restrict(ruleset: &OwnedFd) -> Result<()> {
    api::restrict_self(ruleset.as_fd()).property(Property::of("annotations"))
}

fn annotation(key: &'static str) -> Property {
    Property::of("annotations").field(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str, version: sys::Result<i64>) -> Result<Option<Plan>> {
        Plan::compile(&serde_json::from_str(json).unwrap(), || version)
    }

    const NONE: sys::Result<i64> = Err(sys::Error { call: "landlock_create_ruleset", errno: Errno::ENOSYS });

    #[test]
    fn paths_and_what_they_are_for() {
        assert!(compile(r#"{"org.example": "/x"}"#, NONE).unwrap().is_none());
        let json = r#"{"org.orlop.landlock.read": "/", "org.orlop.landlock.write": "/tmp:/a\\:b"}"#;
        let plan = compile(json, Ok(1)).unwrap().unwrap();
        let paths: Vec<_> = plan.rules.iter().map(|rule| (rule.key, rule.path.to_str().unwrap())).collect();
        assert_eq!(paths, [(READ, "/"), (WRITE, "/tmp"), (WRITE, "/a:b")]);
        assert!(!plan.rules.iter().any(|rule| rule.allowed.contains(Access::EXECUTE)));
        assert_eq!(plan.handled, Access::all() - Access::REFER - Access::TRUNCATE - Access::IOCTL_DEV);
        assert_eq!(compile(json, Ok(7)).unwrap().unwrap().handled, Access::all());
    }

    #[test]
    fn refusals_name_the_annotation() {
        for (json, text) in [
            (r#"{"org.orlop.landlock.read": "tmp"}"#, r#"annotations.org.orlop.landlock.read: "tmp" is not"#),
            (r#"{"org.orlop.landlock.write": ""}"#, r#"annotations.org.orlop.landlock.write: "" is not"#),
            (r#"{"org.orlop.landlock.exec": "/"}"#, "annotations: org.orlop.landlock.exec is none that orlop knows"),
        ] {
            let error = compile(json, Ok(7)).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
        let error = compile(r#"{"org.orlop.landlock.read": "/"}"#, NONE).unwrap_err().to_string();
        assert!(error.ends_with("not supported: Landlock is not enabled in this kernel"), "{error}");
    }
}
