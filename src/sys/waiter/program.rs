//! What init is while it waits for `start`: a program of one page, instead of all of orlop.
//!
//! Runs in: init · runtime.md#start, CVE-2019-5736
//!
//! `build.rs` compiles it, for itself: no standard library, no C library, one segment. What a container
//! finds at `/proc/<pid>/exe` of its init is this, and all that it can do is below.

#![no_std]
#![no_main]

mod call;
mod orders;

use call::{call, number};
use orders::{COMMITTED, EXECUTING, FAILED, List, Limit, Orders, READY, REFUSED};

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    #[cfg(target_arch = "x86_64")]
    "call {wait}",
    #[cfg(target_arch = "aarch64")]
    "bl {wait}",
    wait = sym wait,
);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(FAILURE)
}

const FAILURE: usize = 1;

/// Why there is no program: an errno, and what goes with it, or without an errno a whole report.
struct Refusal<'a> {
    errno: i32,
    text: &'a [u8],
}

type Result<'a, T> = core::result::Result<T, Refusal<'a>>;

extern "C" fn wait() -> ! {
    // SAFETY: there is nobody else's memory, and what is there was written for this.
    let orders = unsafe { &*(orders::ADDRESS as *const Orders) };
    const PR_SET_DUMPABLE: usize = 4;
    const PR_SET_NAME: usize = 15;
    // SAFETY: a number, and a string that ends with a NUL.
    unsafe {
        call(number::PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0]);
        call(number::PRCTL, [PR_SET_NAME, c"orlop".as_ptr() as usize, 0, 0, 0]);
    }
    await_commit(orders.channel);
    let start = await_start(orders.listener);
    let Err(refusal) = become_program(orders, start);
    tell(start, &refusal);
    exit(FAILURE)
}

/// The parent may fail yet, or die, and then the channel ends.
fn await_commit(channel: i32) {
    let mut answer = [0_u8];
    // SAFETY: the kernel writes at most one byte to `answer`.
    let length = unsafe {
        send(channel, &[&[READY]]);
        call(number::RECVFROM, [channel as usize, answer.as_mut_ptr() as usize, answer.len(), 0, 0])
    };
    if length != 1 || answer[0] != COMMITTED {
        exit(FAILURE);
    }
    close(channel);
}

#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

const POLLIN: i16 = 1;
const CLOEXEC: usize = 0o2_000_000;

/// Size of the kernel's set of signals.
const SET: usize = 8;

/// All signals are blocked: the first process of a pid namespace is deaf to those that it has no handler
/// for, and until it is the container's own program, it ends as any other would.
fn await_start(listener: i32) -> i32 {
    const SIGNALFD_SIGINFO: usize = 128;
    let all = u64::MAX;
    // SAFETY: the kernel reads `all`.
    let signals = unsafe { call(number::SIGNALFD4, [usize::MAX, &raw const all as usize, SET, CLOEXEC, 0]) } as i32;
    loop {
        let waiting = |fd| PollFd { fd, events: POLLIN, revents: 0 };
        let mut fds = [waiting(listener), waiting(signals)];
        let mut signal = [0_u32; SIGNALFD_SIGINFO / size_of::<u32>()];
        // SAFETY: the kernel writes to `fds`, which are two, and at most `signal`'s length to it.
        unsafe {
            if call(number::PPOLL, [fds.as_mut_ptr() as usize, fds.len(), 0, 0, SET]) < 0 {
                exit(FAILURE);
            }
            if fds[1].revents != 0 {
                call(number::READ, [signals as usize, signal.as_mut_ptr() as usize, SIGNALFD_SIGINFO, 0, 0]);
                obey(signal[0]);
            }
        }
        if fds[0].revents != 0 {
            // SAFETY: nobody wants to know the address.
            let start = unsafe { call(number::ACCEPT4, [listener as usize, 0, 0, CLOEXEC, 0]) };
            if start < 0 {
                exit(FAILURE);
            }
            close(listener);
            close(signals);
            return start as i32;
        }
    }
}

/// The default action of a signal: to end, but for those that are ignored or stop a process.
fn obey(signal: u32) {
    const CHLD: u32 = 17;
    const CONT: u32 = 18;
    const TSTP: u32 = 20;
    const URG: u32 = 23;
    const WINCH: u32 = 28;
    // Between TSTP and URG are TTIN and TTOU.
    if !matches!(signal, CHLD | CONT | TSTP..=URG | WINCH) {
        exit(128 + signal as usize);
    }
}

/// Returns only if it fails.
fn become_program(orders: &Orders, start: i32) -> Result<'_, core::convert::Infallible> {
    for limit in list::<Limit>(orders.limits) {
        // SAFETY: the kernel reads two numbers.
        let result = unsafe { call(number::PRLIMIT64, [0, limit.resource, limit.values.as_ptr() as usize, 0, 0]) };
        check(result, list(limit.name))?;
    }
    reset_signals(orders.ignored);
    let capabilities = &orders.capabilities;
    if capabilities.change != 0 {
        let (header, halves) = (&raw const capabilities.header as usize, &raw const capabilities.halves as usize);
        // SAFETY: both are as capset(2) of version 3 wants them.
        check(unsafe { call(number::CAPSET, [header, halves, 0, 0, 0]) }, b"process.capabilities: capset: ")?;
    }
    send(start, &[&[EXECUTING]]);
    load_filter(orders)?;
    // SAFETY: a string, and two arrays of strings that end with a null pointer.
    let result = unsafe { call(number::EXECVE, [orders.path, orders.argv, orders.envp, 0, 0]) };
    check(result, list(orders.name))?;
    exit(FAILURE)
}

/// What our caller happened to ignore or block is no business of the program's.
fn reset_signals(ignored: u64) {
    const SIG_SETMASK: usize = 2;
    let default = [0_u64; 4];
    // SAFETY: the kernel reads an action, or a set; that KILL and STOP are refused is fine.
    unsafe {
        for signal in (1..=64).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
            call(number::RT_SIGACTION, [signal, default.as_ptr() as usize, 0, SET, 0]);
        }
        call(number::RT_SIGPROCMASK, [SIG_SETMASK, default.as_ptr() as usize, 0, SET, 0]);
    }
}

/// From here on only what the profile allows is possible.
fn load_filter(orders: &Orders) -> Result<'_, ()> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    let filter = &orders.filter;
    if filter.refusal.count != 0 {
        return Err(Refusal { errno: 0, text: list(filter.refusal) });
    }
    if filter.count == 0 {
        return Ok(());
    }
    let program = &raw const *filter as usize;
    // SAFETY: `Filter` begins as `sock_fprog` is.
    let result = unsafe { call(number::SECCOMP, [SECCOMP_SET_MODE_FILTER, filter.flags, program, 0, 0]) };
    check(result, b"linux.seccomp: seccomp: ")
}

fn check(result: isize, text: &[u8]) -> Result<'_, ()> {
    if result < 0 { Err(Refusal { errno: -result as i32, text }) } else { Ok(()) }
}

/// To `start`, in one message.
fn tell(start: i32, refusal: &Refusal<'_>) {
    match refusal.errno {
        0 => send(start, &[&[FAILED], refusal.text]),
        errno => send(start, &[&[REFUSED], &errno.to_le_bytes(), refusal.text]),
    }
}

/// What the orders point to.
fn list<'a, T>(list: List) -> &'a [T] {
    // SAFETY: `mod.rs` has put as many there, and nothing ever changes them.
    unsafe { core::slice::from_raw_parts(list.address as *const T, list.count) }
}

/// `struct msghdr`, without an address and control data.
#[repr(C)]
struct Message<'a, 'b> {
    address: [usize; 2],
    parts: &'a [&'b [u8]],
    control: [usize; 2],
    flags: usize,
}

/// One message of these parts. Who does not listen any more is not waited for.
fn send(socket: i32, parts: &[&[u8]]) {
    const MSG_NOSIGNAL: usize = 0x4000;
    let message = Message { address: [0; 2], parts, control: [0; 2], flags: 0 };
    // SAFETY: a slice of slices is, in this order, what `msghdr` and `iovec` have: address and length.
    unsafe { call(number::SENDMSG, [socket as usize, &raw const message as usize, MSG_NOSIGNAL, 0, 0]) };
}

fn close(fd: i32) {
    // SAFETY: it is not used again.
    unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0]) };
}

fn exit(status: usize) -> ! {
    loop {
        // SAFETY: takes a number, and does not return.
        unsafe { call(number::EXIT_GROUP, [status, 0, 0, 0, 0]) };
    }
}
