//! orlop, a low-level OCI container runtime. `docs/architecture.md` is the map of this tree.
//!
//! Only what the binary, benches and fuzz targets need is public.

mod cgroup;
mod cli;
mod clock;
mod container;
mod doctor;
mod error;
mod explain;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod host;
mod image;
mod init;
mod intel_rdt;
mod log;
mod memory_policy;
mod mountinfo;
mod namespace;
mod net_devices;
mod phase;
mod plan;
mod process;
mod rootfs;
mod seccomp;
mod spec;
mod sync;
#[allow(unsafe_code)]
mod sys;
mod sysctl;
mod terminal;
mod timings;
mod tree;
mod validate;

use crate::error::On as _;

/// Runs the command that the arguments name and returns the exit code.
#[must_use]
pub fn main() -> i32 {
    let ready = sys::stdio::open_missing().and_then(|()| sys::signal::make_failing_writes_errors());
    if let Err(error) = ready.on("standard descriptors") {
        crate::log::fatal(&error);
        return 1;
    }
    cli::main()
}
