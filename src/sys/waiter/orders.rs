//! What the waiting program is told: it follows the code, in the program's file and in its memory.
//!
//! Runs in: both (`mod.rs` writes it, `program.rs` reads it)
//!
//! Every address is one of the program's own memory. No structure has padding.

/// Where it is in memory. `link.ld` keeps the place free.
pub(super) const ADDRESS: usize = 0x50_0000;

#[repr(C)]
pub(super) struct Orders {
    /// To the parent, until that has committed.
    pub(super) channel: i32,
    /// Where `start` is going to knock.
    pub(super) listener: i32,
    /// Bit n is signal n + 1.
    pub(super) ignored: u64,
    pub(super) limits: List,
    pub(super) capabilities: Capabilities,
    pub(super) filter: Filter,
    /// The three of execve.
    pub(super) path: usize,
    pub(super) argv: usize,
    pub(super) envp: usize,
    /// What is sent with the errno of a failed execve.
    pub(super) name: List,
}

/// Elements, one after the other.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct List {
    pub(super) address: usize,
    pub(super) count: usize,
}

/// A limit for prlimit(2), and how the error begins if that fails.
#[repr(C)]
pub(super) struct Limit {
    pub(super) values: [u64; 2],
    pub(super) resource: usize,
    pub(super) name: List,
}

/// The arguments of capset(2), if that is to be called.
#[repr(C)]
pub(super) struct Capabilities {
    pub(super) change: usize,
    pub(super) header: [u32; 2],
    /// Effective, permitted, inheritable: low halves, then high halves.
    pub(super) halves: [[u32; 3]; 2],
}

/// Begins as `sock_fprog` does, whose number is the low half of this one. Without instructions there is no filter.
#[repr(C)]
pub(super) struct Filter {
    pub(super) count: usize,
    pub(super) program: usize,
    /// SECCOMP_FILTER_FLAG_*
    pub(super) flags: usize,
    /// What is sent instead of loading it.
    pub(super) refusal: List,
}

/// The messages of `sync`.
pub(crate) const READY: u8 = b'y';
pub(crate) const COMMITTED: u8 = b'c';
pub(crate) const EXECUTING: u8 = b'x';
/// With a report.
pub(crate) const FAILED: u8 = b'!';
/// With an errno, and what `waiting` makes a report of.
pub(crate) const REFUSED: u8 = b'e';
