//! System calls for a program without a C library.
//!
//! Runs in: init, while it waits

use core::arch::asm;

#[cfg(target_arch = "x86_64")]
pub(super) mod number {
    pub(crate) const READ: usize = 0;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const SENDMSG: usize = 46;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const CAPSET: usize = 126;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const ACCEPT4: usize = 288;
    pub(crate) const SIGNALFD4: usize = 289;
    pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const SECCOMP: usize = 317;
}

#[cfg(target_arch = "aarch64")]
pub(super) mod number {
    pub(crate) const READ: usize = 63;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const RT_SIGACTION: usize = 134;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const RECVFROM: usize = 207;
    pub(crate) const SENDMSG: usize = 211;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const CAPSET: usize = 91;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const ACCEPT4: usize = 242;
    pub(crate) const SIGNALFD4: usize = 74;
    pub(crate) const PRLIMIT64: usize = 261;
    pub(crate) const SECCOMP: usize = 277;
}

const EINTR: isize = -4;

/// The result, or a negative errno. A call that a signal interrupted is made again.
///
/// # Safety
///
/// Those of the arguments that are addresses have to be what the call wants there.
pub(super) unsafe fn call(number: usize, arguments: [usize; 5]) -> isize {
    loop {
        // SAFETY: the caller's.
        let result = unsafe { once(number, arguments) };
        if result != EINTR {
            return result;
        }
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn once(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel changes rax, rcx and r11, and the memory that the arguments point to.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             in("r8") e, in("r9") 0_usize, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn once(number: usize, [a, b, c, d, e]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel changes x0, and the memory that the arguments point to.
    unsafe {
        asm!("svc 0", inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
             in("x5") 0_usize, in("x8") number, options(nostack));
    }
    result
}
