//! `process.user`: the ids, groups and umask of the container's process, and who owns its stdio.
//!
//! Runs in: both (compile in parent, apply in init) · config.md "POSIX-platform User" (CFG-42 … CFG-45)
//!
//! Ids are numbers from the configuration; nothing in the image is asked about them (CVE-2016-3697).

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::stat::SFlag;

use crate::error::{Error, For as _, Property, Result};
use crate::namespace::idmap;
use crate::spec::config;
use crate::sys::{self, Call as _, ids, prctl};

const PROPERTY: Property = Property::of("process.user");

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) umask: Option<u32>,
    caller_is_root: bool,
    /// Those of the caller stay: through them a plain user's container has rights to files that no id in
    /// it stands for.
    pub(super) keep_groups: bool,
}

/// crun's annotation, which podman sets for `--group-add keep-groups`; its value is of no importance.
pub(crate) const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// (id_t)-1 means "leave unchanged" to setresuid(2), so it can be nobody's id.
const NO_ID: u32 = u32::MAX;

impl Plan {
    pub(crate) fn compile(user: &config::User, ids: &idmap::Plan, caller_is_root: bool) -> Result<Self> {
        let fields = [("uid", user.uid), ("gid", user.gid)];
        if let Some((field, _)) = fields.into_iter().find(|(_, id)| *id == NO_ID) {
            return Err(PROPERTY.field(field).invalid(format!("{NO_ID} is not an id")));
        }
        if user.additional_gids.contains(&NO_ID) {
            return Err(PROPERTY.field("additionalGids").invalid(format!("{NO_ID} is not an id")));
        }
        if !ids.maps_user(user.uid) {
            return Err(unmapped("uid", user.uid));
        }
        if !ids.maps_group(user.gid) {
            return Err(unmapped("gid", user.gid));
        }
        if let Some(group) = user.additional_gids.iter().find(|group| !ids.maps_group(**group)) {
            return Err(unmapped("additionalGids", *group));
        }
        if let Some(umask) = user.umask.filter(|mask| *mask > 0o777) {
            return Err(PROPERTY.field("umask").invalid(format!("{umask} is above 0777 (511)")));
        }
        Ok(Self {
            uid: user.uid,
            gid: user.gid,
            groups: user.additional_gids.clone(),
            umask: user.umask,
            caller_is_root,
            keep_groups: false,
        })
    }

    /// Becomes the user; permitted capabilities survive until the caller sets the final ones.
    pub(super) fn become_user(&self) -> Result<()> {
        if !self.keep_groups {
            self.set_groups()?;
        }
        set_id("gid", self.gid, ids::setresgid)?;
        if self.uid != 0 {
            prctl::keep_capabilities().property(PROPERTY.field("uid"))?;
        }
        set_id("uid", self.uid, ids::setresuid)?;
        if (self.uid, self.gid) == (0, 0) {
            return Ok(());
        }
        // New ids set it back to the machine's default, fs.suid_dumpable.
        prctl::set_dumpable(false).property(PROPERTY)
    }

    fn set_groups(&self) -> Result<()> {
        match ids::setgroups(&self.groups) {
            Err(error) if error.errno == Errno::EPERM && self.groups.is_empty() && self.groups_are_fixed() => Ok(()),
            Err(error) if error.errno == Errno::EINVAL => {
                Err(PROPERTY.field("additionalGids").invalid("one of them is not mapped in the user namespace"))
            }
            result => result.property(PROPERTY.field("additionalGids")),
        }
    }

    /// A user namespace that a plain user made forbids setgroups, and so do those below it: their
    /// processes keep the caller's groups, whatever is configured.
    fn groups_are_fixed(&self) -> bool {
        !self.caller_is_root || std::fs::read("/proc/self/setgroups").is_ok_and(|text| text == b"deny\n")
    }

    /// Makes the pipes that an engine gave as stdio the user's, so that `/dev/stdout` can be opened
    /// again, as programs in images do. Other files are left alone: giving the caller's log file or
    /// terminal to a container's user would change the host.
    pub(super) fn own_stdio(&self, stdio: [BorrowedFd; 3]) -> Result<()> {
        for fd in stdio {
            let stat = nix::sys::stat::fstat(fd).call("fstat").property(PROPERTY)?;
            let is_pipe = stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits();
            if is_pipe && stat.st_uid != self.uid {
                ids::fchown_user(fd, self.uid).or_else(tolerate_foreign_owner).property(PROPERTY)?;
            }
        }
        Ok(())
    }
}

/// In a user namespace that was joined only the kernel knows which ids there are.
fn set_id(field: &'static str, id: u32, call: fn(u32) -> sys::Result<()>) -> Result<()> {
    match call(id) {
        Err(error) if error.errno == Errno::EINVAL => Err(unmapped(field, id)),
        result => result.property(PROPERTY.field(field)),
    }
}

fn unmapped(field: &'static str, id: u32) -> Error {
    PROPERTY.field(field).invalid(format!("{id} is not mapped in the user namespace"))
}

/// A pipe whose owner is not mapped in our user namespace cannot be given away; reading and writing
/// it work all the same, so that is no reason to fail.
fn tolerate_foreign_owner(error: sys::Error) -> sys::Result<()> {
    match error.errno {
        Errno::EPERM | Errno::EINVAL | Errno::EROFS => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(json: &str) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap(), &idmap::Plan::default(), true)
    }

    /// CFG-42, CFG-43, CFG-45
    #[test]
    fn ids_are_taken_as_written() {
        let plan = user(r#"{"uid": 1000, "gid": 100, "additionalGids": [5, 10]}"#).unwrap();
        assert_eq!((plan.uid, plan.gid, plan.groups, plan.umask), (1000, 100, vec![5, 10], None));
    }

    /// CFG-44
    #[test]
    fn the_umask_has_nine_bits() {
        assert_eq!(user(r#"{"uid": 0, "gid": 0, "umask": 511}"#).unwrap().umask, Some(0o777));
        let error = user(r#"{"uid": 0, "gid": 0, "umask": 512}"#).unwrap_err().to_string();
        assert_eq!(error, "process.user.umask: 512 is above 0777 (511)");
    }

    #[test]
    fn minus_one_is_nobody() {
        for (json, property) in [
            (r#"{"uid": 4294967295, "gid": 0}"#, "process.user.uid"),
            (r#"{"uid": 0, "gid": 4294967295}"#, "process.user.gid"),
            (r#"{"uid": 0, "gid": 0, "additionalGids": [1, 4294967295]}"#, "process.user.additionalGids"),
        ] {
            assert!(user(json).unwrap_err().to_string().starts_with(property), "{json}");
        }
    }
}
