//! Our own executable, out of the container's reach: a private copy that nothing can change.
//!
//! Runs in: parent, first thing
//!
//! `/proc/<pid>/exe` of init opens the file that is being executed, also from inside a container; a
//! hostile one has overwritten the host's runtime that way (CVE-2019-5736). So commands that let
//! anything into a container first execute a sealed memfd with a copy. It has pages of its own,
//! because a bug that poisons the page cache defeats read-only mounts of the host's file.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statvfs::FsFlags;

use super::mount::{self, Attr};
use super::{Call as _, Error, Result, fd, path, prctl};

/// Commands that make a process which a container can see.
const COMMANDS: [&str; 4] = ["create", "run", "exec", "restore"];

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

/// Executes the copy with the same arguments and environment, if the command needs it and we are
/// not that copy already.
pub(crate) fn seal() -> Result<()> {
    // A word that happens to be the container's id costs a needless copy, no more.
    let names_command = |arg: &OsStr| COMMANDS.iter().any(|command| arg == *command);
    if !std::env::args_os().skip(1).any(|arg| names_command(&arg)) {
        return Ok(());
    }
    if is_out_of_our_reach()? {
        return Ok(());
    }
    let exe = path::open(OWN, OFlag::O_RDONLY)?;
    if is_sealed(exe.as_fd()) {
        return prctl::set_name(NAME);
    }
    let size = fd::fstat(exe.as_fd())?.st_size;
    let copied = match copy(exe.as_fd(), size) {
        Err(error) if error.errno == Errno::EFBIG => without_file_size_limit(|| copy(exe.as_fd(), size)),
        result => result,
    };
    match copied {
        Ok(copy) => execute(copy.as_fd()),
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
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let copy = match memfd_create(NAME, flags | MFD_EXEC) {
        Err(Errno::EINVAL) => memfd_create(NAME, flags),
        result => result,
    }
    .call("memfd_create")?;
    let mut offset = 0;
    while offset < size {
        let left = usize::try_from(size - offset).unwrap_or_default();
        // Somebody has cut the file short meanwhile.
        if nix::sys::sendfile::sendfile(&copy, exe, Some(&mut offset), left).call("sendfile")? == 0 {
            return Err(Error { call: "sendfile", errno: Errno::EIO });
        }
    }
    match add_seals(&copy, SEALS | SEAL_EXEC) {
        Err(Errno::EINVAL) => add_seals(&copy, SEALS),
        result => result,
    }
    .call("fcntl(F_ADD_SEALS)")?;
    Ok(copy)
}

/// The caller's soft limit, which holds for memfds too, is meant for what the container writes.
fn without_file_size_limit<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).call("getrlimit")?;
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).call("setrlimit")?;
    let result = act();
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).call("setrlimit")?;
    result
}

fn add_seals(copy: &OwnedFd, seals: SealFlag) -> nix::Result<()> {
    nix::fcntl::fcntl(copy, FcntlArg::F_ADD_SEALS(seals)).map(drop)
}

/// Second best: the same file through a read-only mount that is attached nowhere.
fn execute_read_only(exe: BorrowedFd<'_>) -> Result<()> {
    let filesystem = nix::sys::statfs::fstatfs(exe).call("fstatfs")?;
    if filesystem.flags().contains(FsFlags::ST_RDONLY) {
        return prctl::set_name(NAME);
    }
    let file = mount::open_tree(exe, super::EMPTY, false)?;
    mount::mount_setattr(file.as_fd(), Attr::RDONLY, Attr::empty(), false)?;
    execute(file.as_fd())
}

/// Becomes the program that the descriptor refers to; returns only when that failed.
fn execute(program: BorrowedFd<'_>) -> Result<()> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| CString::new(arg.as_bytes()).ok()).collect();
    let argv: Vec<*const c_char> = args.iter().map(|arg| arg.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: `argv` ends with a null pointer and its strings outlive the call; `environ` is libc's,
    // which nothing changes; the empty path makes the call act on the descriptor.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            super::EMPTY.as_ptr(),
            argv.as_ptr(),
            environ,
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::result(result).map(drop).call("execveat")
}
