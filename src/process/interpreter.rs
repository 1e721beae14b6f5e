//! What a program needs to run besides itself: the `#!` line of a script, the dynamic linker of a binary.
//!
//! Runs in: init, inside the container, when execve has failed · execve(2), elf(5)
//!
//! For both the kernel says ENOENT of a file that is there. The file is the image's, and may be anything.

use std::ffi::{CStr, OsStr};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// As much of a file as the kernel looks at (BINPRM_BUF_SIZE), and enough for the program headers of any binary.
const HEAD: usize = 4096;

const ELF: &[u8] = b"\x7fELF";
const PT_INTERP: u32 = 3;

/// The interpreter that an existing program names, and that does not exist.
pub(super) fn missing(program: &CStr) -> Option<String> {
    let file = std::fs::File::open(OsStr::from_bytes(program.to_bytes())).ok()?;
    let mut head = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut head).ok()?;
    let interpreter = named(&head)?;
    (!Path::new(OsStr::from_bytes(interpreter)).exists()).then(|| String::from_utf8_lossy(interpreter).into_owned())
}

fn named(head: &[u8]) -> Option<&[u8]> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        return line.trim_ascii().split(|byte| byte.is_ascii_whitespace()).next().filter(|name| !name.is_empty());
    }
    if head.starts_with(ELF) { dynamic_linker(head) } else { None }
}

/// Of a 64-bit, little-endian binary.
fn dynamic_linker(head: &[u8]) -> Option<&[u8]> {
    let number = |at: usize, size: usize| {
        let bytes = head.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let [table, size, count] = [number(32, 8)?, number(54, 2)?, number(56, 2)?];
    let headers = (0..count).map_while(|index| usize::try_from(table.checked_add(index * size)?).ok());
    let header = headers.into_iter().find(|at| number(*at, 4) == Some(u64::from(PT_INTERP)))?;
    let place = usize::try_from(number(header + 8, 8)?).ok()?;
    let path = head.get(place..)?.split(|byte| *byte == 0).next()?;
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_theirs_in_the_first_line() {
        assert_eq!(named(b"#!/bin/sh\necho"), Some(&b"/bin/sh"[..]));
        assert_eq!(named(b"#! /usr/bin/env python\n"), Some(&b"/usr/bin/env"[..]));
        for text in [&b"#!\n"[..], b"#!", b"echo", b"", b"#! \n/bin/sh"] {
            assert_eq!(named(text), None);
        }
    }

    #[test]
    fn binaries_name_theirs_in_a_header() {
        let mut binary = vec![0; 256];
        binary[..4].copy_from_slice(ELF);
        binary[32] = 64;
        binary[54] = 56;
        binary[56] = 2;
        binary[64 + 56] = PT_INTERP as u8;
        binary[64 + 56 + 8] = 200;
        binary[200..].copy_from_slice(&[b"/lib/ld.so\0".as_slice(), &[0; 45]].concat());
        assert_eq!(named(&binary), Some(&b"/lib/ld.so"[..]));
        for length in 0..200 {
            assert_eq!(named(&binary[..length]), None, "{length}");
        }
        binary[32..40].fill(0xff);
        assert_eq!(named(&binary), None);
        assert_eq!(missing(c"/proc/self/exe"), None);
    }
}
