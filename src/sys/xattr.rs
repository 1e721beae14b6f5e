//! Extended attributes of a name in a directory; a link has its own.
//!
//! Runs in: parent · xattr(7)

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;

use super::{Call as _, Result, c_path, c_string};

pub(crate) fn set(dir: BorrowedFd<'_>, name: &CStr, key: &CStr, value: &[u8]) -> Result<()> {
    let path = path(dir, name)?;
    // SAFETY: two NUL-terminated strings, and a buffer with its length; all outlive the call.
    let result = unsafe { libc::lsetxattr(path.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).call("lsetxattr").map(drop)
}

/// Whether a file has an attribute, whatever its value.
pub(crate) fn exists(path: &Path, key: &CStr) -> bool {
    let Ok(path) = c_path(path) else { return false };
    // SAFETY: two NUL-terminated strings, and no buffer: only the length is asked for.
    unsafe { libc::getxattr(path.as_ptr(), key.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

/// No call takes a directory and a name (setxattrat is of Linux 6.13); procfs makes a path of them.
fn path(dir: BorrowedFd<'_>, name: &CStr) -> Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    c_string(path)
}
