//! `checkpoint` and `restore`: not supported, and said so in a way that engines understand.
//!
//! Runs in: parent
//!
//! podman takes a runtime for able if `checkpoint --help` succeeds. So that fails as well.

use std::ffi::OsString;

use clap::{Arg, Command, value_parser};

use super::Entry;
use crate::error::{Error, Result};

pub(super) const CHECKPOINT: Entry =
    Entry { name: "checkpoint", about: "Not supported", args, run: |_, _| refuse("checkpoint") };
pub(super) const RESTORE: Entry =
    Entry { name: "restore", about: "Not supported", args, run: |_, _| refuse("restore") };

/// Whatever it is called with.
fn args(command: Command) -> Command {
    let anything = Arg::new("anything").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
    command.disable_help_flag(true).arg(anything.value_parser(value_parser!(OsString)).hide(true))
}

fn refuse(command: &str) -> Result<i32> {
    Err(Error::other(format!("{command} is not supported: orlop does not checkpoint or restore containers")))
}
