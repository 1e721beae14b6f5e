//! `linux.personality`: the execution domain, which decides what machine uname(2) shows.
//!
//! Runs in: both (compile in parent, apply in init) · config-linux.md#personality (LNX-148 … LNX-150)

use oci_spec::runtime::{LinuxPersonality, LinuxPersonalityDomain};

use crate::error::{For as _, Property, Result};
use crate::sys::prctl;

const PROPERTY: Property = Property::of("linux.personality");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Linux,
    Linux32,
}

impl Plan {
    pub(super) fn compile(personality: &LinuxPersonality) -> Result<Self> {
        // The spec reserves flags, and so far defines none.
        if let Some(flag) = personality.flags().iter().flatten().next() {
            return Err(PROPERTY.field("flags").invalid(format!("{flag:?} is not a known flag")));
        }
        Ok(match personality.domain() {
            LinuxPersonalityDomain::PerLinux => Self::Linux,
            LinuxPersonalityDomain::PerLinux32 => Self::Linux32,
        })
    }

    pub(super) fn apply(self) -> Result<()> {
        let domain = match self {
            Self::Linux => prctl::PER_LINUX,
            Self::Linux32 => prctl::PER_LINUX32,
        };
        prctl::personality(domain).property(PROPERTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap())
    }

    /// LNX-148, LNX-150
    #[test]
    fn two_domains_and_no_flags() {
        assert_eq!(compile(r#"{"domain": "LINUX"}"#).unwrap(), Plan::Linux);
        assert_eq!(compile(r#"{"domain": "LINUX32", "flags": []}"#).unwrap(), Plan::Linux32);
        let error = compile(r#"{"domain": "LINUX", "flags": ["X"]}"#).unwrap_err().to_string();
        assert_eq!(error, r#"linux.personality.flags: "X" is not a known flag"#);
        assert!(serde_json::from_str::<LinuxPersonality>(r#"{"domain": "BSD"}"#).is_err());
    }
}
