//! orlop, a low-level OCI container runtime. `docs/architecture.md` is the map of this tree.
//!
//! Only what the binary, benches and fuzz targets need is public.

mod container;
mod error;
mod host;
mod namespace;
mod process;
mod spec;
mod sync;
#[allow(unsafe_code)]
mod sys;
mod sysctl;
mod terminal;
