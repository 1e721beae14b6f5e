//! Which errors a system call may come back with on a host that is short of something, or forbids it.

use nix::errno::Errno::{self, *};

use super::tracer::Call;

/// In the order in which they are tried; none for a call that cannot fail.
pub(super) fn plausible(call: &Call) -> &'static [Errno] {
    match call.number {
        libc::SYS_fcntl => descriptor_control(call.args[1]),
        libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 => &[EMFILE, ENOMEM, EACCES, EIO, ENOSPC],
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_getdents64 | libc::SYS_readlink | libc::SYS_readlinkat => {
            &[EIO, EINTR]
        }
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_sendfile => &[ENOSPC, EIO, EINTR, EPERM],
        libc::SYS_close => &[EIO],
        libc::SYS_brk | libc::SYS_mmap | libc::SYS_mremap | libc::SYS_mprotect => &[ENOMEM],
        libc::SYS_clone | libc::SYS_clone3 | libc::SYS_fork | libc::SYS_vfork => &[EAGAIN, ENOMEM, EPERM, ENOSPC],
        libc::SYS_execve | libc::SYS_execveat => &[ENOMEM, EACCES, EIO],
        libc::SYS_unshare | libc::SYS_setns => &[EPERM, ENOMEM, ENOSPC, EINVAL],
        // EPERM: no file system of this kind may be mounted here, and the host's is bound (docs/rootless.md).
        libc::SYS_fsopen | libc::SYS_fsconfig | libc::SYS_fsmount => &[ENOMEM, ENOSYS],
        // EPERM, ENOSYS: what denies keyrings to orlop denies them to the container (process/keyring.rs).
        libc::SYS_keyctl => &[ENOMEM],
        // EPERM: who may not make devices gets the host's (rootfs/device.rs).
        libc::SYS_mknodat => &[ENOSPC, EIO, EROFS],
        libc::SYS_mkdir
        | libc::SYS_mkdirat
        | libc::SYS_symlinkat
        | libc::SYS_rename
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_linkat => &[ENOSPC, EIO, EPERM, EROFS],
        libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => &[EIO, EPERM, EBUSY],
        libc::SYS_poll | libc::SYS_ppoll => &[EINTR, ENOMEM],
        libc::SYS_wait4 | libc::SYS_waitid => &[EINTR],
        libc::SYS_sendmsg | libc::SYS_sendto => &[EINTR, ENOMEM, ENOBUFS],
        libc::SYS_recvmsg | libc::SYS_recvfrom => &[EINTR, ENOMEM],
        libc::SYS_socket
        | libc::SYS_socketpair
        | libc::SYS_accept4
        | libc::SYS_pipe2
        | libc::SYS_memfd_create
        | libc::SYS_signalfd4
        | libc::SYS_pidfd_open => &[EMFILE, ENOMEM, ENOSYS],
        libc::SYS_flock => &[EINTR, ENOLCK],
        libc::SYS_getrandom => &[EINTR, ENOSYS],
        // Of whoever calls; the number alone cannot be wrong.
        libc::SYS_exit
        | libc::SYS_exit_group
        | libc::SYS_restart_syscall
        | libc::SYS_getpid
        | libc::SYS_getppid
        | libc::SYS_gettid
        | libc::SYS_getuid
        | libc::SYS_geteuid
        | libc::SYS_getgid
        | libc::SYS_getegid
        | libc::SYS_umask
        | libc::SYS_uname
        | libc::SYS_munmap
        | libc::SYS_madvise
        | libc::SYS_arch_prctl
        | libc::SYS_set_tid_address
        | libc::SYS_set_robust_list
        | libc::SYS_rt_sigaction
        | libc::SYS_rt_sigprocmask
        | libc::SYS_rt_sigreturn
        | libc::SYS_sigaltstack
        | libc::SYS_clock_gettime => &[],
        _ => &[EPERM, ENOMEM, ENOSYS],
    }
}

/// fcntl(2): reading flags cannot fail.
fn descriptor_control(command: u64) -> &'static [Errno] {
    match command as i32 {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => &[EMFILE],
        libc::F_ADD_SEALS => &[EPERM, EINVAL],
        libc::F_GET_SEALS => &[EINVAL],
        _ => &[],
    }
}
