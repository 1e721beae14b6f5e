//! Extended attributes of a name in a directory; a link has its own.
//!
//! Runs in: parent · xattr(7)

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;

use super::{Call as _, Error, Result, c_path, c_string};

/// XATTR_SIZE_MAX and XATTR_LIST_MAX of the kernel.
const LONGEST: usize = 64 << 10;

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

/// None where there is no such attribute, or none at all.
pub(crate) fn get(dir: BorrowedFd<'_>, name: &CStr, key: &CStr) -> Result<Option<Vec<u8>>> {
    let path = path(dir, name)?;
    let mut value = vec![0; LONGEST];
    // SAFETY: two NUL-terminated strings, and a buffer with its length; all outlive the call.
    let result = unsafe { libc::lgetxattr(path.as_ptr(), key.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    match Errno::result(result).call("lgetxattr") {
        Ok(length) => {
            value.truncate(length.cast_unsigned());
            Ok(Some(value))
        }
        Err(Error { errno: Errno::ENODATA | Errno::EOPNOTSUPP, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of all that the caller may see, in their order.
pub(crate) fn list(dir: BorrowedFd<'_>, name: &CStr) -> Result<Vec<CString>> {
    let path = path(dir, name)?;
    let mut names = vec![0_u8; LONGEST];
    // SAFETY: a NUL-terminated string, and a buffer with its length; both outlive the call.
    let result = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let length = match Errno::result(result).call("llistxattr") {
        Ok(length) => length.cast_unsigned(),
        Err(Error { errno: Errno::EOPNOTSUPP, .. }) => 0,
        Err(error) => return Err(error),
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<CString> = names.map(c_string).collect::<Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

/// No call takes a directory and a name (setxattrat is of Linux 6.13); procfs makes a path of them.
fn path(dir: BorrowedFd<'_>, name: &CStr) -> Result<CString> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    c_string(path)
}
