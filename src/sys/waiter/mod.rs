//! The small program that init becomes while it waits for `start`, in memory that nobody can change.
//!
//! Runs in: both (`Waiter` is made by the parent, `execute` is init's)
//!
//! `/proc/<pid>/exe` of init opens what it executes, also from inside the container, and an image can
//! have it executed once more (CVE-2019-5736). So before anything of the image's runs, or can look at
//! init, init is no longer orlop: it is `program.rs`, two pages of it, and holds nothing but two sockets.
//! Copying all of orlop for that purpose (`exe.rs`) is most of what `run` would cost.

mod orders;

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::Mode;

use super::exec::Image;
use super::ids::CapabilitySets;
use super::{Call as _, Error, Result, exe, fd, ids, signal};
use orders::{ADDRESS, List, Orders};

pub(crate) use orders::{COMMITTED, EXECUTING, FAILED, READY, REFUSED};

/// The program as `build.rs` has made it, filled up to where its orders begin. Empty for a processor
/// that `call.rs` does not know.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/waiter"));

/// Where the ELF header of a program says how long the segment with the orders is, in its file and in
/// memory: in the second of the program headers, which follow the ELF header.
const LENGTHS: usize = 64 + 56 + 32;

/// Not readable: who could not trace its maker is then not allowed to trace what executes it either.
const MODE: Mode = Mode::from_bits_truncate(0o111);

/// A limit of setrlimit(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit<'a> {
    pub(crate) resource: u32,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
    /// How an error about it begins.
    pub(crate) name: &'a str,
}

/// A filter of seccomp(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) flags: u32,
    pub(crate) program: &'a [libc::sock_filter],
    /// Why it is not loaded, if it is not: a whole `Failed`.
    pub(crate) refusal: &'a [u8],
}

/// What is left to do.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    pub(crate) channel: BorrowedFd<'a>,
    pub(crate) listener: BorrowedFd<'a>,
    /// Descriptors from 3 on that the container's program gets.
    pub(crate) preserve_fds: u32,
    pub(crate) limits: &'a [Limit<'a>],
    /// To be set before the filter is loaded.
    pub(crate) capabilities: Option<CapabilitySets>,
    pub(crate) filter: Option<Filter<'a>>,
    pub(crate) image: &'a Image<'a>,
    /// What is sent with the errno of a failed execve.
    pub(crate) name: &'a [u8],
}

/// Made before there is an init.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// The memory that the program goes into.
    memory: OwnedFd,
    ignored: u64,
}

impl Waiter {
    /// None where there is no such program, or memory may not be executed (vm.memfd_noexec).
    pub(crate) fn make() -> Result<Option<Self>> {
        if PROGRAM.is_empty() {
            return Ok(None);
        }
        match exe::executable_memory() {
            Ok(memory) => {
                nix::sys::stat::fchmod(&memory, MODE).call("fchmod")?;
                Ok(Some(Self { memory, ignored: signal::ignored() }))
            }
            Err(error) if error.errno == Errno::EACCES => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Becomes the program; returns only with the reason why not. Everything else that is open ends here.
    pub(crate) fn execute(&self, task: &Task<'_>) -> Error {
        let failed = self.fill(task).and_then(|()| {
            // A signal that comes before the program waits for them is not lost.
            nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).call("sigprocmask")?;
            fd::close_on_exec_from(3 + task.preserve_fds)?;
            fd::keep_on_exec(task.channel)?;
            fd::keep_on_exec(task.listener)?;
            Ok(exe::execute(self.memory.as_fd(), [c"orlop", c"init"].iter().copied(), std::iter::empty()))
        });
        failed.unwrap_or_else(|error| error)
    }

    fn fill(&self, task: &Task<'_>) -> Result<()> {
        let content = content(task, self.ignored);
        exe::despite_file_size_limit(|| match nix::sys::uio::pwrite(&self.memory, &content, 0).call("pwrite")? {
            all if all == content.len() => Ok(()),
            _ => Err(Error { call: "pwrite", errno: Errno::EFBIG }),
        })?;
        exe::seal_memory(self.memory.as_fd())
    }
}

/// The file: the program, and its orders.
fn content(task: &Task<'_>, ignored: u64) -> Vec<u8> {
    let mut orders = Writer(vec![0; size_of::<Orders>()]);
    let limits: Vec<orders::Limit> = (task.limits.iter())
        .map(|limit| orders::Limit {
            values: [limit.soft, limit.hard],
            resource: limit.resource as usize,
            name: orders.list(limit.name.as_bytes()),
        })
        .collect();
    let argv = orders.strings(task.image.arguments());
    let envp = orders.strings(task.image.environment());
    let header = Orders {
        channel: task.channel.as_raw_fd(),
        listener: task.listener.as_raw_fd(),
        ignored,
        limits: orders.list(&limits),
        capabilities: capabilities(task.capabilities),
        filter: orders.filter(task.filter),
        path: orders.string(task.image.path()),
        argv,
        envp,
        name: orders.list(task.name),
    };
    orders.0[..size_of::<Orders>()].copy_from_slice(bytes(std::slice::from_ref(&header)));
    let length = orders.0.len().to_ne_bytes();
    let mut content = [PROGRAM, &orders.0].concat();
    content[LENGTHS..LENGTHS + 16].copy_from_slice([length, length].as_flattened());
    content
}

fn capabilities(sets: Option<CapabilitySets>) -> orders::Capabilities {
    let change = usize::from(sets.is_some());
    orders::Capabilities { change, header: [ids::CAPABILITY_VERSION, 0], halves: sets.unwrap_or_default().halves() }
}

/// What has been written so far, in the order in which it will be in memory.
struct Writer(Vec<u8>);

impl Writer {
    /// As every type here wants it.
    const ALIGNMENT: usize = 8;

    fn address(&self) -> usize {
        ADDRESS + self.0.len()
    }

    fn list<T: Plain>(&mut self, elements: &[T]) -> List {
        self.0.resize(self.0.len().next_multiple_of(Self::ALIGNMENT), 0);
        let address = self.address();
        self.0.extend_from_slice(bytes(elements));
        List { address, count: elements.len() }
    }

    fn string(&mut self, string: &CStr) -> usize {
        let address = self.address();
        self.0.extend_from_slice(string.to_bytes_with_nul());
        address
    }

    /// An array of strings that ends with a null pointer.
    fn strings<'a>(&mut self, strings: impl Iterator<Item = &'a CStr>) -> usize {
        let mut addresses: Vec<usize> = strings.map(|string| self.string(string)).collect();
        addresses.push(0);
        self.list(&addresses).address
    }

    fn filter(&mut self, filter: Option<Filter<'_>>) -> orders::Filter {
        let Filter { flags, program, refusal } = filter.unwrap_or(Filter { flags: 0, program: &[], refusal: &[] });
        let List { address, count } = self.list(program);
        // More instructions than fit are more than the kernel takes (4096): it refuses either number.
        let count = count.min(u16::MAX.into());
        orders::Filter { count, program: address, flags: flags as usize, refusal: self.list(refusal) }
    }
}

/// What can be copied byte by byte.
///
/// # Safety
///
/// No references and no padding.
unsafe trait Plain {}
// SAFETY: a number.
unsafe impl Plain for u8 {}
// SAFETY: a number.
unsafe impl Plain for usize {}
// SAFETY: four numbers of 2, 1, 1 and 4 bytes.
unsafe impl Plain for libc::sock_filter {}
// SAFETY: as `orders` says.
unsafe impl Plain for orders::Limit {}
// SAFETY: as `orders` says.
unsafe impl Plain for Orders {}

fn bytes<T: Plain>(elements: &[T]) -> &[u8] {
    // SAFETY: all of the memory is initialised, as there is no padding in it.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}
