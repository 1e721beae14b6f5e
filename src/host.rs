//! Facts about this machine and caller, read when first asked for; tests make up their own.
//!
//! Runs in: parent

/// What the plan may depend on besides the configuration.
#[derive(Debug)]
pub(crate) struct Host {
    /// The caller's effective user id; 0 is root, in the caller's user namespace.
    pub(crate) euid: u32,
    pub(crate) egid: u32,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { euid: nix::unistd::geteuid().as_raw(), egid: nix::unistd::getegid().as_raw() }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.euid == 0
    }
}
