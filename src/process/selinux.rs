//! `process.selinuxLabel`: the context that the program runs in, and that of its session keyring.
//!
//! Runs in: both (compile in parent, apply in init) · config.md "Linux Process" (CFG-36)
//!
//! It takes effect with the next execve: of the program, and of startContainer hooks, which are the
//! image's code as well.

use std::ffi::CStr;

use super::attributes::Attributes;
use crate::error::{For as _, On as _, Property, Result};

const PROPERTY: Property = Property::of("process.selinuxLabel");

#[derive(Debug)]
pub(super) struct Plan {
    /// As written.
    label: String,
    attributes: Attributes,
}

impl Plan {
    /// An empty label asks for nothing.
    pub(super) fn compile(label: Option<&str>, is_enabled: impl FnOnce() -> bool) -> Result<Option<Self>> {
        let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(None) };
        if label.contains('\0') {
            return Err(PROPERTY.invalid("has a NUL byte"));
        }
        if !is_enabled() {
            return Err(PROPERTY.unsupported(format!("{label:?}: SELinux is not enabled on this host")));
        }
        let attributes = Attributes::open().on("/proc").property(PROPERTY)?;
        Ok(Some(Self { label: label.to_owned(), attributes }))
    }

    pub(super) fn apply(&self) -> Result<()> {
        self.write(c"thread-self/attr/exec", self.label.as_bytes())
    }

    /// Keys and keyrings that `make` makes belong to the container's domain, which could not use them
    /// otherwise; later ones are labelled as the kernel likes.
    pub(super) fn label_keys(&self, make: impl FnOnce() -> Result<()>) -> Result<()> {
        let path = c"thread-self/attr/keycreate";
        self.write(path, self.label.as_bytes())?;
        make()?;
        // A lone newline clears it; nothing at all would be no write.
        self.write(path, b"\n")
    }

    fn write(&self, path: &CStr, value: &[u8]) -> Result<()> {
        self.attributes.write(path, value).on(&self.label).property(PROPERTY)
    }
}

/// Whether a policy is loaded, or may be: selinuxfs is where it is looked for.
pub(crate) fn is_enabled() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-36
    #[test]
    fn labels() {
        let compile = |label, enabled| Plan::compile(label, || enabled).map(|plan| plan.map(|plan| plan.label));
        for enabled in [true, false] {
            assert_eq!(compile(None, enabled).unwrap(), None);
            assert_eq!(compile(Some(""), enabled).unwrap(), None);
        }
        let label = "system_u:system_r:container_t:s0:c1,c2";
        assert_eq!(compile(Some(label), true).unwrap(), Some(label.into()));
        let error = compile(Some("x"), false).unwrap_err().to_string();
        assert_eq!(error, r#"process.selinuxLabel: not supported: "x": SELinux is not enabled on this host"#);
    }
}
