//! System calls that are newer than the profile: to the program they do not exist.
//!
//! Runs in: parent · as runc, where the specification is silent
//!
//! C libraries try a new call first and an old one if the answer is ENOSYS. A profile that forbids
//! what it does not name answers EPERM instead, to calls its author could not know, and that is taken
//! for the call's own failure. So numbers above the highest that the profile names, on the
//! architecture in question, are answered with ENOSYS before the profile is asked.

use libc::sock_filter;
use libseccomp::{ScmpAction, ScmpArch, ScmpSyscall};

use super::NATIVE;
use super::ranges::{ARCHITECTURE, JUMP, JUMP_EQUAL, JUMP_GREATER_EQUAL, LOAD, NUMBER, RETURN};

const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Numbers of x32 calls have this bit, and the architecture of x86-64.
const X32: u32 = 0x4000_0000;

/// Whether the profile lets pass what it does not name, or leaves it to somebody who can answer
/// ENOSYS himself: a tracer, an agent.
pub(super) fn is_permissive(default: ScmpAction) -> bool {
    matches!(default, ScmpAction::Allow | ScmpAction::Log | ScmpAction::Trace(_) | ScmpAction::Notify)
}

/// From which number on what happens; up to the next.
type Ranges = Vec<(u32, Fate)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The profile decides.
    Profile,
    Unknown,
}

/// The program, behind a check of the number.
pub(super) fn prepend(
    program: &[sock_filter],
    names: &[String],
    architectures: impl Iterator<Item = ScmpArch>,
) -> Vec<sock_filter> {
    let mut parts: Vec<(u32, Ranges)> = Vec::new();
    for architecture in architectures {
        let (Some(token), Some(last)) = (token(architecture), last(names, architecture)) else { continue };
        let first = if architecture == ScmpArch::X32 { X32 } else { 0 };
        let place = parts.iter().position(|(known, _)| *known == token).unwrap_or_else(|| {
            parts.push((token, Vec::new()));
            parts.len() - 1
        });
        parts[place].1.extend([(first, Fate::Profile), (last + 1, Fate::Unknown)]);
    }
    for (token, ranges) in &mut parts {
        // Without rules of their own, x32's calls are the profile's business.
        if *token == X86_64 && !ranges.iter().any(|(first, _)| *first == X32) {
            ranges.push((X32, Fate::Profile));
        }
        ranges.sort_unstable_by_key(|(first, _)| *first);
        ranges.dedup();
    }
    let stub = emit(&parts);
    [stub.as_slice(), program].concat()
}

/// The highest number among the names, on this architecture.
fn last(names: &[String], architecture: ScmpArch) -> Option<u32> {
    let number = |name: &String| ScmpSyscall::from_name_by_arch(name, architecture).ok().map(i32::from);
    // Calls that an architecture does not have, libseccomp gives negative numbers.
    names.iter().filter_map(number).max().and_then(|last| u32::try_from(last).ok())
}

const X86_64: u32 = 0xc000_003e;

/// AUDIT_ARCH_* of the kernel's linux/audit.h. Those of the other byte order libseccomp refuses.
fn token(architecture: ScmpArch) -> Option<u32> {
    Some(match architecture {
        ScmpArch::Native => NATIVE?,
        ScmpArch::X8664 | ScmpArch::X32 => X86_64,
        ScmpArch::X86 => 0x4000_0003,
        ScmpArch::Arm => 0x4000_0028,
        ScmpArch::Aarch64 => 0xc000_00b7,
        ScmpArch::Mipsel => 0x4000_0008,
        ScmpArch::Mipsel64 => 0xc000_0008,
        ScmpArch::Mipsel64N32 => 0xe000_0008,
        ScmpArch::Ppc64Le => 0xc000_0015,
        ScmpArch::Riscv64 => 0xc000_00f3,
        ScmpArch::Loongarch64 => 0xc000_0102,
        _ => return None,
    })
}

/// One part per architecture; what is not decided falls through to the end.
fn emit(parts: &[(u32, Ranges)]) -> Vec<sock_filter> {
    let instruction = |code, k, jt, jf| sock_filter { code, jt, jf, k };
    let mut stub = vec![instruction(LOAD, ARCHITECTURE, 0, 0)];
    let length = |ranges: &Ranges| 2 + 2 * ranges.len();
    let end = 1 + parts.iter().map(|(_, ranges)| length(ranges)).sum::<usize>();
    for (token, ranges) in parts {
        // A few ranges each: the distances fit.
        stub.push(instruction(JUMP_EQUAL, *token, 0, (length(ranges) - 1) as u8));
        stub.push(instruction(LOAD, NUMBER, 0, 0));
        for (first, fate) in ranges.iter().rev() {
            stub.push(instruction(JUMP_GREATER_EQUAL, *first, 0, 1));
            stub.push(match fate {
                Fate::Unknown => instruction(RETURN, ENOSYS, 0, 0),
                Fate::Profile => instruction(JUMP, (end - stub.len() - 1) as u32, 0, 0),
            });
        }
    }
    stub
}
