//! orlop, a low-level OCI container runtime. `docs/architecture.md` is the map of this tree.
//!
//! Only what the binary, benches and fuzz targets need is public.

mod cgroup;
mod cli;
mod clock;
mod container;
mod error;
mod hooks;
mod host;
mod log;
mod namespace;
mod process;
mod seccomp;
mod spec;
mod sync;
#[allow(unsafe_code)]
mod sys;
mod sysctl;
mod terminal;

/// Runs the command that the arguments name and returns the exit code.
#[must_use]
pub fn main() -> i32 {
    match sys::stdio::open_missing() {
        Ok(()) => cli::main(),
        // There may be nowhere to say why.
        Err(_) => 1,
    }
}
