//! execve(2), and what has to be right just before it.
//!
//! Runs in: init

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;

use nix::errno::Errno;

use super::{Call as _, Error, Result};

/// A program with everything execve needs, put together ahead: once a filter is loaded, even
/// allocating memory may be forbidden.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    path: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// Variables of our own that `envp` ends with, kept alive.
    _extra: Vec<CString>,
    _borrowed: PhantomData<&'a [CString]>,
}

impl<'a> Image<'a> {
    pub(crate) fn new(path: CString, args: &'a [CString], env: &'a [CString], extra: Vec<CString>) -> Self {
        let end = [std::ptr::null()];
        let pointers = |strings: &'a [CString]| strings.iter().map(|string| string.as_ptr());
        let argv = pointers(args).chain(end).collect();
        let envp = pointers(env).chain(extra.iter().map(|string| string.as_ptr())).chain(end).collect();
        Self { path, argv, envp, _extra: extra, _borrowed: PhantomData }
    }

    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    pub(super) fn arguments(&self) -> impl Iterator<Item = &CStr> {
        strings(&self.argv)
    }

    pub(super) fn environment(&self) -> impl Iterator<Item = &CStr> {
        strings(&self.envp)
    }

    /// Becomes the program; returns only when that failed.
    pub(crate) fn execute(&self) -> Error {
        // SAFETY: both arrays end with a null pointer, and their strings are borrowed or owned by
        // `self`; a CString's bytes stay where they are when it is moved.
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        Error { call: "execve", errno: Errno::last() }
    }
}

/// Of an `Image`, without the null pointer at its end.
fn strings(pointers: &[*const c_char]) -> impl Iterator<Item = &CStr> {
    // SAFETY: they point to strings that live as long as the image.
    pointers.iter().take_while(|pointer| !pointer.is_null()).map(|pointer| unsafe { CStr::from_ptr(*pointer) })
}

/// Whether the current directory is below the current root. After a chdir through a leaked
/// descriptor it is not (CVE-2024-21626): the kernel then shows a path that begins otherwise.
pub(crate) fn cwd_is_below_root() -> Result<bool> {
    let mut path = [0_u8; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most `path.len()` bytes into `path`.
    let result = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len()) };
    Errno::result(result).call("getcwd")?;
    Ok(path[0] == b'/')
}
