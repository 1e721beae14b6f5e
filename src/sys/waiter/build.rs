//! Compiles the program that init becomes while it waits (`src/sys/waiter/program.rs`), and packs the
//! relocations of orlop itself.
//!
//! The program is not Cargo's to build, because it is part of orlop: `mod.rs` next to it has the bytes.

// A build that cannot go on stops.
#![allow(clippy::expect_used)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the orders begin in the program's file: on a page of their own, however large pages are.
const OFFSETS: [(&str, usize); 2] = [("x86_64", 0x1000), ("aarch64", 0x1_0000)];

/// Of the second program header, which follows the ELF header and the first: where it says the offset.
const OFFSET_FIELD: usize = 64 + 56 + 8;

fn main() {
    if packs_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    println!("cargo::rerun-if-changed=src/sys/waiter");
    let out = PathBuf::from(variable("OUT_DIR"));
    let architecture = variable("CARGO_CFG_TARGET_ARCH");
    let offset = OFFSETS.iter().find(|(name, _)| *name == architecture).map(|(_, offset)| *offset);
    let program = offset.map_or_else(Vec::new, |offset| lay_out(&compile(&out), offset));
    fs::write(out.join("waiter"), program).expect("OUT_DIR can be written to");
}

/// They are 94 KB else. The start-up code of a static executable understands them since glibc 2.36.
fn packs_relocations() -> bool {
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    is_static && variable("HOST") == variable("TARGET") && glibc().is_some_and(|version| version >= (2, 36))
}

fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn compile(out: &Path) -> Vec<u8> {
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("src/sys/waiter");
    let program = out.join("waiter.elf");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "--crate-name=waiter", "--crate-type=bin", "--target", &variable("TARGET")]);
    for option in ["opt-level=s", "panic=abort", "strip=symbols", "relocation-model=static"] {
        rustc.args(["-C", option]);
    }
    let script = format!("-Wl,-T,{}", source.join("link.ld").display());
    for argument in ["-nostartfiles", "-static", "-Wl,--build-id=none", "-Wl,--no-eh-frame-hdr", &script] {
        rustc.args(["-C", &format!("link-arg={argument}")]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.args(["-C", &format!("linker={linker}")]);
    }
    let status = rustc.arg("-o").arg(&program).arg(source.join("program.rs")).status();
    assert!(status.is_ok_and(|status| status.success()), "src/sys/waiter/program.rs does not compile");
    fs::read(program).expect("rustc has written it")
}

/// Headers and code, filled up to where the orders will be; section headers are left out.
fn lay_out(elf: &[u8], offset: usize) -> Vec<u8> {
    const SECTIONS: [std::ops::Range<usize>; 2] = [40..48, 58..64];
    let number = |at: usize| u64::from_ne_bytes(elf[at..at + 8].try_into().expect("eight bytes")) as usize;
    let length = number(64 + 32);
    assert!(length <= offset && number(32) == 64, "src/sys/waiter/link.ld: not the expected layout");
    let mut program = elf[..length].to_vec();
    SECTIONS.into_iter().for_each(|field| program[field].fill(0));
    program[OFFSET_FIELD..OFFSET_FIELD + 8].copy_from_slice(&offset.to_ne_bytes());
    program.resize(offset, 0);
    program
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo sets {name}"))
}
