//! `process.capabilities`: the five sets, each exactly as listed.
//!
//! Runs in: both (compile in parent, apply in init) · config.md "Linux Process" (CFG-25 … CFG-27)
//!
//! A name that is unknown, or a capability that cannot be granted, is a warning and left out. A set
//! that is not configured is empty: inheritable and ambient must never be filled by accident
//! (CVE-2022-29162).

use std::str::FromStr as _;

use caps::Capability;
use nix::errno::Errno;

use crate::error::{For as _, Property, Result};
use crate::spec::config::Capabilities;
use crate::sys::ids::{self, CapabilitySets};
use crate::sys::prctl;

const PROPERTY: Property = Property::of("process.capabilities");

/// A set of capabilities: bit n is capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(u64);

impl Set {
    pub(crate) const EMPTY: Self = Self(0);
    /// The kernel ignores bits of capabilities that it does not know.
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// What loading a seccomp filter needs where noNewPrivileges is off.
    const SYS_ADMIN: Self = Self(1 << Capability::CAP_SYS_ADMIN as u8);

    pub(crate) fn contains(self, capability: u8) -> bool {
        self.0 >> capability & 1 == 1
    }

    fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn insert(&mut self, capability: Capability) {
        self.0 |= capability.bitmask();
    }

    fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |capability| self.contains(*capability))
    }
}

/// How long CAP_SYS_ADMIN is kept for a filter that is loaded later: without noNewPrivileges it cannot be
/// loaded without. It ends with an execve, which makes the new permitted set of the bounding, inheritable
/// and ambient ones (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    No,
    /// The next execve is the program's.
    ToExecve,
    /// The program's is the one after the next: `until_filtered` is for in between.
    AcrossExecve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    bounding: Set,
    permitted: Set,
    effective: Set,
    inheritable: Set,
    ambient: Set,
    /// What init holds before it gives the rest up.
    held: Set,
}

/// All that there are, for `doctor`.
pub(crate) fn names() -> impl Iterator<Item = (String, u8)> {
    caps::all().into_iter().map(|capability| (capability.to_string(), capability as u8))
}

/// What init will hold: everything in a user namespace of the container's own, else what we have.
pub(crate) fn held(own_user_namespace: bool) -> Result<Set> {
    if own_user_namespace {
        return Ok(Set::ALL);
    }
    ids::capget().map(|sets| Set(sets.permitted)).property(PROPERTY)
}

impl Plan {
    pub(crate) fn compile(capabilities: Option<&Capabilities>, held: Set) -> Self {
        let (plan, warnings) = Self::resolve(capabilities, held);
        for warning in warnings {
            log::warn!("{warning}");
        }
        plan
    }

    fn resolve(capabilities: Option<&Capabilities>, held: Set) -> (Self, Vec<String>) {
        let none = Capabilities::default();
        let written = capabilities.unwrap_or(&none);
        let mut warnings = Vec::new();
        let mut read = |field, names: &[String], limit: Set, needs: &str| {
            let (set, mut ungranted) = read_set(PROPERTY.field(field), names, limit, needs);
            warnings.append(&mut ungranted);
            set
        };
        let bounding = read("bounding", &written.bounding, held, "orlop does not hold it");
        let permitted = read("permitted", &written.permitted, held, "orlop does not hold it");
        let inheritable = read("inheritable", &written.inheritable, held, "orlop does not hold it");
        let effective = read("effective", &written.effective, permitted, "not in the permitted set");
        let both = permitted.and(inheritable);
        let ambient = read("ambient", &written.ambient, both, "not both permitted and inheritable");
        (Self { bounding, permitted, effective, inheritable, ambient, held }, warnings)
    }

    /// Shrinks the bounding set. Needs CAP_SETPCAP, so it comes before the ids change.
    pub(super) fn limit(&self, keep: Keep) -> Result<()> {
        // The inheritable set may not gain what the bounding set has lost, so such a one goes first.
        let inheritable = self.inheritable.or(self.across(keep));
        if !inheritable.is_subset_of(self.bounding) {
            set(self.held, self.held, inheritable)?;
        }
        let property = PROPERTY.field("bounding");
        for capability in 0..64 {
            if self.bounding.contains(capability) {
                continue;
            }
            match prctl::drop_from_bounding_set(capability) {
                Ok(()) => {}
                // Beyond the last capability of this kernel.
                Err(error) if error.errno == Errno::EINVAL => break,
                // Without CAP_SETPCAP nothing can be dropped, which is fine where nothing is left.
                Err(error) if error.errno == Errno::EPERM => {
                    if prctl::is_in_bounding_set(capability).property(property)? {
                        return Err(error).property(property);
                    }
                }
                Err(error) => return Err(error).property(property),
            }
        }
        Ok(())
    }

    /// Gives up everything else, after the ids changed.
    pub(super) fn assume(&self, keep: Keep) -> Result<()> {
        let extra = if keep == Keep::No { Set::EMPTY } else { self.for_filter() };
        let (permitted, inheritable) = (self.permitted.or(extra), self.inheritable.or(self.across(keep)));
        let ambient = self.ambient.or(self.across(keep));
        set(self.effective.or(extra), permitted, inheritable)?;
        let property = PROPERTY.field("ambient");
        // Those left over from the caller; losing the permitted or inheritable one ended the others.
        if !permitted.and(inheritable).is_subset_of(ambient) {
            prctl::clear_ambient().property(property)?;
        }
        for capability in ambient.iter() {
            prctl::raise_ambient(capability).property(property)?;
        }
        Ok(())
    }

    /// The sets between an execve that CAP_SYS_ADMIN was kept across and the program's, which will make of
    /// them what it would have made without the other: the inheritable and ambient sets are the final ones.
    /// The permitted set has all that root is going to have: a program that gains any is not dumpable, and
    /// its own children would not be allowed to look at its /proc/<pid> (`commit_creds` of the kernel).
    pub(super) fn until_filtered(&self, keep: Keep, is_root: bool) -> Option<CapabilitySets> {
        let extra = self.across(keep);
        let gained = if is_root { self.bounding.or(self.inheritable) } else { Set::EMPTY };
        (extra != Set::EMPTY).then(|| CapabilitySets {
            effective: extra.0,
            permitted: extra.or(self.ambient).or(gained).0,
            inheritable: self.inheritable.0,
        })
    }

    fn for_filter(&self) -> Set {
        Set::SYS_ADMIN.and(self.held)
    }

    fn across(&self, keep: Keep) -> Set {
        if keep == Keep::AcrossExecve { self.for_filter() } else { Set::EMPTY }
    }
}

fn set(effective: Set, permitted: Set, inheritable: Set) -> Result<()> {
    ids::capset(CapabilitySets { effective: effective.0, permitted: permitted.0, inheritable: inheritable.0 })
        .property(PROPERTY)
}

/// One list of names, and a line for those that are left out for the same reason.
fn read_set(property: Property, names: &[String], limit: Set, needs: &str) -> (Set, Vec<String>) {
    let mut set = Set::EMPTY;
    let (mut ungranted, mut unknown) = (Vec::new(), Vec::new());
    for name in names {
        match Capability::from_str(name) {
            Ok(capability) if limit.contains(capability.index()) => set.insert(capability),
            Ok(_) => ungranted.push(name.as_str()),
            Err(_) => unknown.push(name.as_str()),
        }
    }
    let line =
        |names: &[&str], why: &str| (!names.is_empty()).then(|| format!("{property}: {} {why}", names.join(", ")));
    let not_granted = format!("not granted: {needs}");
    let lines = [line(&ungranted, &not_granted), line(&unknown, "unknown, and so ignored")];
    (set, lines.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(json: &str, held: Set) -> (Plan, Vec<String>) {
        let capabilities: Capabilities = serde_json::from_str(json).unwrap();
        Plan::resolve(Some(&capabilities), held)
    }

    /// CFG-27: the bits are those of the kernel's linux/capability.h.
    #[test]
    fn sets_hold_what_is_listed() {
        let (plan, warnings) = resolve(
            r#"{"bounding": ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"], "permitted": ["CAP_KILL", "CAP_SYS_ADMIN"],
                "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}"#,
            Set::ALL,
        );
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(plan.bounding, Set(1 | 1 << 40));
        assert_eq!(plan.permitted, Set(1 << 5 | 1 << 21));
        assert_eq!((plan.effective, plan.inheritable, plan.ambient), (Set(1 << 5), Set(1 << 5), Set(1 << 5)));
    }

    #[test]
    fn nothing_configured_is_nothing_granted() {
        let (plan, warnings) = Plan::resolve(None, Set::ALL);
        for set in [plan.bounding, plan.permitted, plan.effective, plan.inheritable, plan.ambient] {
            assert_eq!(set, Set::EMPTY);
        }
        assert!(warnings.is_empty());
    }

    /// CFG-25, CFG-26
    #[test]
    fn an_unknown_name_is_a_warning() {
        let (plan, warnings) = resolve(r#"{"bounding": ["CAP_NOSUCH", "CAP_KILL", "kill"]}"#, Set::ALL);
        assert_eq!(plan.bounding, Set(1 << 5));
        assert_eq!(warnings, ["process.capabilities.bounding: CAP_NOSUCH, kill unknown, and so ignored"]);
    }

    /// CFG-25, CFG-26
    #[test]
    fn what_we_lack_is_a_warning() {
        let held = Set(1 << 5);
        let (plan, warnings) =
            resolve(r#"{"permitted": ["CAP_KILL", "CAP_SYS_TIME"], "effective": ["CAP_SYS_TIME"]}"#, held);
        assert_eq!((plan.permitted, plan.effective), (Set(1 << 5), Set::EMPTY));
        assert_eq!(
            warnings,
            [
                "process.capabilities.permitted: CAP_SYS_TIME not granted: orlop does not hold it",
                "process.capabilities.effective: CAP_SYS_TIME not granted: not in the permitted set"
            ]
        );
    }

    #[test]
    fn ambient_is_within_permitted_and_inheritable() {
        let (plan, warnings) = resolve(
            r#"{"permitted": ["CAP_KILL", "CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL", "CAP_CHOWN"]}"#,
            Set::ALL,
        );
        assert_eq!(plan.ambient, Set(1 << 5));
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("ambient: CAP_CHOWN"), "{warnings:?}");
    }

    #[test]
    fn every_name_of_the_kernel_is_known() {
        for name in caps::all() {
            let (set, warnings) = read_set(PROPERTY, &[name.to_string()], Set::ALL, "");
            assert_eq!((set, warnings.len()), (Set(name.bitmask()), 0), "{name}");
        }
        assert_eq!(caps::all().len(), 41);
    }
}
