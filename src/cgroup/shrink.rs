//! A memory limit below what is in use: never a reason for the kernel to kill.
//!
//! Runs in: parent · kernel documentation cgroup-v2 "Memory Interface Files", LNX-76
//!
//! v1 refuses such a limit by itself. On v2 `memory.max` reclaims and then kills, so what is in use is
//! brought below the limit first: `memory.high` holds back new allocations while `memory.reclaim`
//! takes pages away. What cannot be taken is a reason to refuse.

use std::path::Path;

use nix::errno::Errno;

use super::{Write, file};
use crate::error::code::Code;
use crate::error::{Error, For as _, Result};

/// Rounds of reclaim; the kernel itself tries sixteen times in each.
const ROUNDS: usize = 5;

/// Writes `memory.max`.
pub(super) fn memory(dir: &Path, write: &Write) -> Result<()> {
    let put = || file::write_path(&dir.join("memory.max"), &write.value).property(write.property);
    let Ok(limit) = write.value.parse::<u64>() else { return put() };
    if usage(dir, "memory.current")? <= limit {
        return put();
    }
    let brake = Brake::pull(dir, limit)?;
    for _ in 0..ROUNDS {
        let current = usage(dir, "memory.current")?;
        if current <= limit {
            break;
        }
        reclaim(dir, current - limit)?;
    }
    let current = usage(dir, "memory.current")?;
    let result = if current <= limit { put() } else { Err(refusal(write, limit, current)) };
    drop(brake);
    result
}

/// `checkBeforeUpdate`: what is in use now must fit, without reclaim.
pub(super) fn check(dir: &Path, write: &Write) -> Result<()> {
    let name = match &*write.file {
        "memory.max" => "memory.current",
        "memory.limit_in_bytes" => "memory.usage_in_bytes",
        "memory.swap.max" => "memory.swap.current",
        "memory.memsw.limit_in_bytes" => "memory.memsw.usage_in_bytes",
        _ => return Ok(()),
    };
    match (write.value.parse::<u64>(), usage(dir, name)) {
        (Ok(limit), Ok(current)) if current > limit => Err(refusal(write, limit, current)),
        (Ok(_), Err(error)) => Err(error),
        _ => Ok(()),
    }
}

/// v1: why the kernel does not take a limit.
pub(super) fn explain(dir: &Path, write: &Write, error: Error) -> Error {
    let name = match &*write.file {
        "memory.limit_in_bytes" => "memory.usage_in_bytes",
        "memory.memsw.limit_in_bytes" => "memory.memsw.usage_in_bytes",
        _ => return error,
    };
    match (error.errno(), write.value.parse::<u64>(), usage(dir, name)) {
        (Some(Errno::EBUSY), Ok(limit), Ok(current)) => refusal(write, limit, current),
        _ => error,
    }
}

/// In runc's words, which engines show.
fn refusal(write: &Write, limit: u64, current: u64) -> Error {
    let reason =
        format!("unable to set memory limit to {limit} (current usage: {current}): {} is left as it was", write.file);
    write.property.invalid(reason).code_is(Code::MemoryInUse)
}

fn usage(dir: &Path, name: &str) -> Result<u64> {
    let path = dir.join(name);
    let text = file::read_value(&path)?;
    text.parse().map_err(|_| Error::other(format!("{}: {text:?} is no number", path.display())))
}

/// Linux 5.19 and later; before, lowering `memory.high` has already done as much.
fn reclaim(dir: &Path, bytes: u64) -> Result<()> {
    match file::write_path(&dir.join("memory.reclaim"), &bytes.to_string()) {
        Err(error) if matches!(error.errno(), Some(Errno::EAGAIN | Errno::ENOENT | Errno::EINTR)) => Ok(()),
        result => result,
    }
}

/// `memory.high` at the new limit, for as long as this lives.
struct Brake<'a> {
    dir: &'a Path,
    former: Option<String>,
}

impl<'a> Brake<'a> {
    fn pull(dir: &'a Path, limit: u64) -> Result<Self> {
        let path = dir.join("memory.high");
        let former = file::read_value(&path)?;
        let is_lower = former.parse::<u64>().is_ok_and(|high| high <= limit);
        if is_lower {
            return Ok(Self { dir, former: None });
        }
        let brake = Self { dir, former: Some(former) };
        file::write_path(&path, &limit.to_string())?;
        Ok(brake)
    }
}

impl Drop for Brake<'_> {
    fn drop(&mut self) {
        if let Some(former) = &self.former
            && let Err(error) = file::write_path(&self.dir.join("memory.high"), former)
        {
            log::warn!("{error}");
        }
    }
}
