//! Seccomp: which system calls a container may make, and what happens at the others.
//!
//! Runs in: both (compiled by the parent, loaded by init) · config-linux.md, "Seccomp"
//!
//! libseccomp needs tens of millions of instructions for a common profile, many times as much as all
//! the rest of a create. So finished filters are cached with the profile's text, which then is only
//! compared, not parsed; on a miss the parent builds the filter while init sets up its mounts.

mod cache;
mod compile;
pub(crate) mod listener;
mod newer;
mod ranges;

use libc::sock_filter;
use nix::errno::Errno;
use serde_json::value::RawValue;

use crate::error::code::Code;
use crate::error::{Error, For as _, Property, Result};
use crate::spec::config;
use crate::spec::map::Map;
use crate::sys::{self, waiter};
use cache::{Cache, Key};
use compile::Profile;
pub(crate) use compile::name_of;
pub(crate) use listener::Listener;
use ranges::Outcome;

/// crun's annotation: with any value but 0, unknown names are an error.
pub(crate) const FAIL_UNKNOWN: &str = "run.oci.seccomp_fail_unknown_syscall";

const PROPERTY: Property = Property::of("linux.seccomp");

/// A profile that passed every check, or the filter that one like it became earlier.
#[derive(Debug)]
pub(crate) struct Plan {
    key: Key,
    cache: Option<Cache>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Cached(Filter),
    Profile(Profile),
}

impl Plan {
    pub(crate) fn compile(linux: &config::Linux, annotations: &Map<String>) -> Result<Option<Self>> {
        let Some(text) = linux.seccomp.as_deref().map(RawValue::get) else { return Ok(None) };
        let plan = Self::with_cache(text, Cache::of_caller())?;
        plan.judge_unknown(annotations.get(FAIL_UNKNOWN).is_some_and(|value| value != "0"))?;
        Ok(Some(plan))
    }

    fn with_cache(text: &str, cache: Option<Cache>) -> Result<Self> {
        let key = Key::of(text);
        let source = match cache.as_ref().and_then(|cache| cache.get(&key)) {
            Some(filter) => Source::Cached(filter),
            None => Source::Profile(Profile::compile(text)?),
        };
        Ok(Self { key, cache, source })
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn uncached(text: &str) -> Result<Self> {
        Self::with_cache(text, None)
    }

    /// Names that this build's libseccomp has never heard of, often of newer system calls. With or
    /// without a cache the message is the same.
    fn judge_unknown(&self, fail: bool) -> Result<()> {
        let unknown = match &self.source {
            Source::Cached(filter) => &filter.unknown,
            Source::Profile(profile) => &profile.unknown,
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let names = unknown.join(", ");
        if fail {
            let reason = format!("unknown system calls, and {FAIL_UNKNOWN} is set: {names}");
            return Err(Property::of("linux.seccomp.syscalls").invalid(reason));
        }
        log::warn!("linux.seccomp.syscalls: unknown system calls are skipped: {names}");
        Ok(())
    }

    /// Who answers notifications, if the profile asks for any (LNX-134).
    pub(crate) fn listener(&self) -> Option<&Listener> {
        match &self.source {
            Source::Cached(filter) => filter.listener.as_ref(),
            Source::Profile(profile) => profile.listener.as_ref(),
        }
    }

    /// The filter, if nothing needs to be built.
    pub(crate) fn ready(&self) -> Option<&Filter> {
        match &self.source {
            Source::Cached(filter) => Some(filter),
            Source::Profile(_) => None,
        }
    }

    /// Builds the filter, and keeps it for next time.
    pub(crate) fn build(&self) -> Result<Filter> {
        match &self.source {
            Source::Cached(filter) => Ok(filter.clone()),
            Source::Profile(profile) => {
                let filter = profile.build()?;
                if let Some(cache) = &self.cache {
                    cache.put(&self.key, &filter);
                }
                Ok(filter)
            }
        }
    }
}

/// AUDIT_ARCH_* of this build.
const NATIVE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// Whether an action of a filter ends the process, if it has no handler for SIGSYS.
fn kills(value: u32) -> bool {
    let action = value & libc::SECCOMP_RET_ACTION_FULL;
    [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_KILL_THREAD, libc::SECCOMP_RET_TRAP].contains(&action)
}

/// What it takes to look into a file and to send a message.
const READING: [libc::c_long; 8] = [
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_read,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_sendmsg,
];

enum Fate {
    Fails(Errno),
    Kills,
    /// On its arguments, or it is let through.
    Depends,
}

/// A program for the kernel, at most 32 KiB of it (4096 instructions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// SECCOMP_FILTER_FLAG_*
    flags: u32,
    program: Vec<sock_filter>,
    /// With it, loading makes a descriptor.
    listener: Option<Listener>,
    /// Names in the profile that were skipped.
    unknown: Vec<String>,
}

impl Filter {
    /// Attaches it to init, for good. Needs no_new_privs or CAP_SYS_ADMIN. From here on only what the
    /// profile allows is possible, so execve should be all that follows.
    pub(crate) fn load(&self) -> Result<()> {
        match self.refusal() {
            Some(error) => Err(error),
            None => sys::seccomp::set_mode_filter(self.flags, &self.program).property(PROPERTY),
        }
    }

    /// Why nothing could be executed under it. Once it is loaded, it might be impossible even to tell.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self.fate_of_execve() {
            Fate::Fails(errno) => Some(sys::Error { call: "execve", errno }.on("").property(PROPERTY)),
            Fate::Kills => {
                let reason = "kills every process that calls execve, and so the container's own: SIGSYS";
                Some(PROPERTY.invalid(reason).code_is(Code::InitDied))
            }
            Fate::Depends => None,
        }
    }

    /// For an init that is the small program when it loads it, or when it sends the refusal instead.
    pub(crate) fn for_waiter<'a>(&'a self, refusal: &'a [u8]) -> waiter::Filter<'a> {
        waiter::Filter { flags: self.flags, program: &self.program, refusal }
    }

    pub(crate) fn has_listener(&self) -> bool {
        self.listener.is_some()
    }

    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    pub(crate) fn program(&self) -> &[sock_filter] {
        &self.program
    }

    /// For those that run while nobody listens: they may do what would be asked for.
    pub(crate) fn without_listener(&self) -> Self {
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        let mut filter = self.clone();
        if filter.listener.take().is_some() {
            // The second one is about notifications only, and needs the first.
            filter.flags &= !(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32 | compile::WAIT_KILLABLE_RECV);
            let asks = |instruction: &&mut sock_filter| {
                let action = instruction.k & libc::SECCOMP_RET_ACTION_FULL;
                instruction.code == RETURN && action == libc::SECCOMP_RET_USER_NOTIF
            };
            filter.program.iter_mut().filter(asks).for_each(|instruction| instruction.k = libc::SECCOMP_RET_ALLOW);
        }
        filter
    }

    /// Whether reading a file, and telling what it says, cannot end the process that is under it.
    pub(crate) fn lets_live(&self) -> bool {
        READING.iter().all(|number| {
            let outcome = NATIVE.and_then(|native| ranges::outcome(&self.program, native, *number as u32));
            matches!(outcome, Some(Outcome::Return(value)) if !kills(value))
        })
    }

    /// What this filter makes of every execve.
    fn fate_of_execve(&self) -> Fate {
        match NATIVE.and_then(|native| ranges::outcome(&self.program, native, libc::SYS_execve as u32)) {
            Some(Outcome::Return(value)) if value & libc::SECCOMP_RET_ACTION_FULL == libc::SECCOMP_RET_ERRNO => {
                Fate::Fails(Errno::from_raw((value & libc::SECCOMP_RET_DATA) as i32))
            }
            Some(Outcome::Return(value)) if kills(value) => Fate::Kills,
            _ => Fate::Depends,
        }
    }

    /// Flags, number of instructions, instructions, length of the listener, which is JSON, and the
    /// unknown names, one per line; for init and the cache.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 8 * self.program.len());
        bytes.extend(self.flags.to_ne_bytes());
        bytes.extend((self.program.len() as u32).to_ne_bytes());
        for instruction in &self.program {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        let listener =
            self.listener.as_ref().and_then(|listener| serde_json::to_vec(listener).ok()).unwrap_or_default();
        bytes.extend((listener.len() as u32).to_ne_bytes());
        bytes.extend(listener);
        bytes.extend(self.unknown.join("\n").into_bytes());
        bytes
    }

    /// `None` if that is not what `to_bytes` makes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (program, rest) = rest.split_at_checked((u32::from_ne_bytes(*count) as usize).checked_mul(8)?)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (listener, unknown) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        Some(Self {
            flags: u32::from_ne_bytes(*flags),
            program: instructions(program),
            listener: if listener.is_empty() { None } else { Some(serde_json::from_slice(listener).ok()?) },
            unknown: std::str::from_utf8(unknown).ok()?.lines().map(String::from).collect(),
        })
    }
}

/// From the form in which libseccomp exports them: the kernel's.
fn instructions(bytes: &[u8]) -> Vec<sock_filter> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| sock_filter {
            code: u16::from_ne_bytes([c0, c1]),
            jt,
            jf,
            k: u32::from_ne_bytes([k0, k1, k2, k3]),
        })
        .collect()
}

#[cfg(test)]
mod tests;
