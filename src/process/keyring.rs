//! A session keyring of the container's own, so that it neither sees nor fills the caller's.
//!
//! Runs in: init, once the ids are mapped (a keyring belongs to a user of a user namespace)

use nix::errno::Errno;

use crate::container::ContainerId;
use crate::error::{On as _, Result};
use crate::sys::{self, ids};

/// All for whoever possesses it; view, read, search and link for the user. The search right is what
/// later lets `exec` join the keyring by its name.
const PERMISSIONS: u32 = 0x3f00_0000 | 0x0001_0000 | 0x0002_0000 | 0x0008_0000 | 0x0010_0000;

/// Joins `_ses.<id>`, the name other runtimes use too.
pub(crate) fn join(id: &ContainerId) -> Result<()> {
    let name = format!("_ses.{id}");
    let keyring = match ids::join_session_keyring(&sys::c_string(&name).on(&name)?) {
        Ok(keyring) => keyring,
        // A kernel without keyrings, or a sandbox around us that denies keyctl: then the container
        // is denied it as well, and has nothing to be kept from.
        Err(error) if matches!(error.errno, Errno::ENOSYS | Errno::EPERM) => return Ok(()),
        Err(error) => return Err(error.on(format!("session keyring {name}"))),
    };
    ids::set_key_permissions(keyring, PERMISSIONS).on(format!("session keyring {name}"))
}
