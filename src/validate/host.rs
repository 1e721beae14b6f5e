//! What a plan refers to: whether it is there on this host, now.
//!
//! Runs in: parent (`validate`)
//!
//! Only looks; `create` opens the same things, and is the one to say what they turned out to be.

use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::fcntl::{OFlag, ResolveFlag};

use super::document::Document;
use crate::error::code::Code;
use crate::error::{Error, For as _, On as _, Property, Result};
use crate::plan::Plan;
use crate::process;
use crate::rootfs::mount::What;
use crate::sys::{self, Call as _};

/// Every error, each about one thing.
pub(super) fn check(plan: &Plan, document: &Document) -> Vec<Error> {
    let mut errors: Vec<Error> = plan.namespaces.joins.iter().filter_map(|join| join.open().err()).collect();
    for step in &plan.rootfs.mounts {
        if let What::Bind { source, .. } = &step.what {
            let there = std::fs::metadata(path(source)).call("stat").on(path(source).display());
            errors.extend(there.property(step.property.field("source")).err());
        }
    }
    errors.extend(plan.hooks.of_host().filter_map(|hook| hook.check().err()));
    let is_whole = !["/root", "/process/args", "/process/env"].iter().any(|pointer| document.is_touched(pointer));
    if let Some(process) = plan.process.as_ref().filter(|_| is_whole && plan.hooks.create_container.is_empty()) {
        errors.extend(program(plan, process).err());
    }
    errors
}

fn path(source: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(source.to_bytes()))
}

/// Looked for in the root file system as it is; what a mount or layers might bring is left to `create`.
fn program(plan: &Plan, process: &process::Plan) -> Result<()> {
    let candidates = process.candidates();
    let covered = |program: &CStr| {
        let program = path(program);
        plan.rootfs.mounts.iter().any(|step| program.starts_with(step.dest.as_str()))
    };
    let relative = |program: &CStr| !program.to_bytes().starts_with(b"/");
    if plan.rootfs.overlay.is_some() || candidates.iter().any(|program| covered(program) || relative(program)) {
        return Ok(());
    }
    let root = plan.rootfs.root.open()?;
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let is_there = |program: &CStr| sys::path::openat2(root.as_fd(), program, OFlag::O_PATH, resolve).is_ok();
    if candidates.iter().any(|program| is_there(program)) {
        return Ok(());
    }
    let looked: Vec<_> = candidates.iter().map(|program| program.to_string_lossy()).collect();
    let error = Property::of("process.args").invalid(format!("not in the root file system: {}", looked.join(", ")));
    Err(error.code_is(Code::ProgramNotFound))
}
