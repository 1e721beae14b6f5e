//! Our own executable, out of the container's reach: a private copy that nothing can change.
//!
//! Runs in: parent, before it has done anything
//!
//! `/proc/<pid>/exe` of init opens the file that is being executed, also from inside a container; a
//! hostile one has overwritten the host's runtime that way (CVE-2019-5736). So what lets a process into
//! a container that is not the small program of `waiter` by then first executes a sealed memfd with a
//! copy. It has pages of its own, because a bug that poisons the page cache defeats read-only mounts of
//! the host's file.

use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statvfs::FsFlags;

use super::mount::{self, Attr};
use super::{Call as _, Error, Result, fd, path, prctl};

const OWN: &CStr = c"/proc/self/exe";

/// What `ps` shows; execveat(2) names a process after the descriptor.
const NAME: &CStr = c"orlop";

/// What makes a copy immutable.
const SEALS: SealFlag =
    SealFlag::F_SEAL_SEAL.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_WRITE);

/// F_SEAL_EXEC, Linux 6.3: the mode stays executable, and nothing else.
const SEAL_EXEC: SealFlag = SealFlag::from_bits_retain(0x20);

/// MFD_EXEC, Linux 6.3: executable whatever `vm.memfd_noexec` makes the default.
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);

/// Executes the copy with the same arguments and environment, if we are not that copy already.
/// Nothing may have been done yet.
pub(crate) fn seal() -> Result<()> {
    if is_out_of_our_reach()? {
        return Ok(());
    }
    let exe = path::open(OWN, OFlag::O_RDONLY)?;
    if is_sealed(exe.as_fd()) {
        return prctl::set_name(NAME);
    }
    let size = fd::fstat(exe.as_fd())?.st_size;
    match despite_file_size_limit(|| copy(exe.as_fd(), size)) {
        Ok(copy) => execute_again(copy.as_fd()),
        // Where vm.memfd_noexec is 2 a memfd cannot be executed.
        Err(error) if error.errno == Errno::EACCES => execute_read_only(exe.as_fd()),
        Err(error) => Err(error),
    }
}

fn is_sealed(exe: BorrowedFd<'_>) -> bool {
    let seals = nix::fcntl::fcntl(exe, FcntlArg::F_GET_SEALS).unwrap_or_default();
    SealFlag::from_bits_retain(seals).contains(SEALS)
}

/// A plain user's containers have no more rights than the user; where root's file is closed to the
/// user, it is closed to them. It may not even be readable, so it is not opened for this.
fn is_out_of_our_reach() -> Result<bool> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    if nix::unistd::geteuid().is_root() {
        return Ok(false);
    }
    let stat = nix::sys::stat::stat(OWN).call("stat")?;
    Ok(stat.st_uid == 0 && stat.st_mode & WRITABLE_BY_OTHERS == 0)
}

fn copy(exe: BorrowedFd<'_>, size: i64) -> Result<OwnedFd> {
    let copy = executable_memory()?;
    let mut offset = 0;
    while offset < size {
        let left = usize::try_from(size - offset).unwrap_or_default();
        // Somebody has cut the file short meanwhile.
        if nix::sys::sendfile::sendfile(&copy, exe, Some(&mut offset), left).call("sendfile")? == 0 {
            return Err(Error { call: "sendfile", errno: Errno::EIO });
        }
    }
    seal_memory(copy.as_fd())?;
    Ok(copy)
}

/// A memfd for a program. EACCES where vm.memfd_noexec is 2.
pub(super) fn executable_memory() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    match memfd_create(NAME, flags | MFD_EXEC) {
        Err(Errno::EINVAL) => memfd_create(NAME, flags),
        result => result,
    }
    .call("memfd_create")
}

/// From here on it stays as it is.
pub(super) fn seal_memory(memory: BorrowedFd<'_>) -> Result<()> {
    let add = |seals| nix::fcntl::fcntl(memory, FcntlArg::F_ADD_SEALS(seals)).map(drop);
    match add(SEALS | SEAL_EXEC) {
        Err(Errno::EINVAL) => add(SEALS),
        result => result,
    }
    .call("fcntl(F_ADD_SEALS)")
}

/// The caller's soft limit, which holds for memfds too, is meant for what the container writes.
pub(super) fn despite_file_size_limit<T>(act: impl Fn() -> Result<T>) -> Result<T> {
    match act() {
        Err(error) if error.errno == Errno::EFBIG => {}
        result => return result,
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).call("getrlimit")?;
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).call("setrlimit")?;
    let result = act();
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).call("setrlimit")?;
    result
}

/// Second best: the same file through a read-only mount that is attached nowhere.
fn execute_read_only(exe: BorrowedFd<'_>) -> Result<()> {
    let filesystem = nix::sys::statfs::fstatfs(exe).call("fstatfs")?;
    if filesystem.flags().contains(FsFlags::ST_RDONLY) {
        return prctl::set_name(NAME);
    }
    let file = mount::open_tree(exe, super::EMPTY, false)?;
    mount::mount_setattr(file.as_fd(), Attr::RDONLY, Attr::empty(), false)?;
    execute_again(file.as_fd())
}

/// The same command once more.
fn execute_again(program: BorrowedFd<'_>) -> Result<()> {
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| CString::new(arg.as_bytes()).ok()).collect();
    let variables = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let variables: Vec<CString> = variables.filter_map(|variable| CString::new(variable).ok()).collect();
    Err(execute(program, args.iter().map(CString::as_c_str), variables.iter().map(CString::as_c_str)))
}

/// Becomes the program that the descriptor refers to; returns only when that failed.
pub(super) fn execute<'a>(
    program: BorrowedFd<'_>,
    args: impl Iterator<Item = &'a CStr>,
    variables: impl Iterator<Item = &'a CStr>,
) -> Error {
    let end = || std::iter::once(ptr::null());
    let argv: Vec<*const c_char> = args.map(CStr::as_ptr).chain(end()).collect();
    let envp: Vec<*const c_char> = variables.map(CStr::as_ptr).chain(end()).collect();
    // SAFETY: both arrays end with a null pointer, and their strings outlive the call; the empty path
    // makes it act on the descriptor.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            super::EMPTY.as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Error { call: "execveat", errno: Errno::last() }
}
