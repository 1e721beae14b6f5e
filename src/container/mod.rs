//! A container seen from outside: its id, its state directory, and what commands do to it.
//!
//! Runs in: parent · runtime.md

pub(crate) mod id;

pub(crate) use id::ContainerId;
