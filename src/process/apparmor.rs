//! `process.apparmorProfile`: the profile that the program runs under.
//!
//! Runs in: both (compile in parent, apply in init) · config.md "Linux Process" (CFG-24)
//!
//! It takes effect with the next execve: of the program, and of startContainer hooks, which are the
//! image's code as well.

use super::attributes::Attributes;
use crate::error::{For as _, On as _, Property, Result};

const PROPERTY: Property = Property::of("process.apparmorProfile");

#[derive(Debug)]
pub(super) struct Plan {
    /// As written.
    profile: String,
    attributes: Attributes,
}

impl Plan {
    /// An empty name asks for nothing.
    pub(super) fn compile(profile: Option<&str>, is_enabled: impl FnOnce() -> bool) -> Result<Option<Self>> {
        let Some(profile) = profile.filter(|profile| !profile.is_empty()) else { return Ok(None) };
        if profile.contains(['\0', '\n']) {
            return Err(PROPERTY.invalid(format!("{profile:?} is no name of a profile")));
        }
        match (is_enabled(), profile) {
            (true, _) => {
                let attributes = Attributes::open().on("/proc").property(PROPERTY)?;
                Ok(Some(Self { profile: profile.to_owned(), attributes }))
            }
            // As everything is, without AppArmor.
            (false, "unconfined") => Ok(None),
            (false, _) => Err(PROPERTY.unsupported(format!("{profile:?}: AppArmor is not enabled on this host"))),
        }
    }

    pub(super) fn apply(&self) -> Result<()> {
        let command = format!("exec {}", self.profile);
        let written = self.attributes.write(c"thread-self/attr/apparmor/exec", command.as_bytes());
        written.on(&self.profile).property(PROPERTY)
    }
}

pub(crate) fn is_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-24
    #[test]
    fn profiles() {
        let compile = |profile, enabled| Plan::compile(profile, || enabled).map(|plan| plan.map(|plan| plan.profile));
        for enabled in [true, false] {
            assert_eq!(compile(None, enabled).unwrap(), None);
            assert_eq!(compile(Some(""), enabled).unwrap(), None);
            let error = compile(Some("a\nb"), enabled).unwrap_err().to_string();
            assert_eq!(error, r#"process.apparmorProfile: "a\nb" is no name of a profile"#);
        }
        assert_eq!(compile(Some("container-default"), true).unwrap(), Some("container-default".into()));
        assert_eq!(compile(Some("unconfined"), true).unwrap(), Some("unconfined".into()));
        assert_eq!(compile(Some("unconfined"), false).unwrap(), None);
        let error = compile(Some("p"), false).unwrap_err().to_string();
        assert_eq!(error, r#"process.apparmorProfile: not supported: "p": AppArmor is not enabled on this host"#);
    }
}
