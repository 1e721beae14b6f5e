//! The host's ps(1), of which only the container's lines are shown.
//!
//! Runs in: parent

use std::collections::HashSet;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::wait::WaitStatus;
use nix::unistd::{AccessFlags, access, pipe2};

use crate::error::{Error, On as _, Result};
use crate::sys::spawn::Program;
use crate::sys::{self, Call as _};

const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// Where ps is, if it is anywhere.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join("ps"))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// Its table with `args` (`-ef` if there are none), but only the header and the lines of `pids`.
pub(crate) fn table(ps: &std::path::Path, args: &[OsString], pids: &[i32]) -> Result<String> {
    let default = [OsString::from("-ef")];
    let args = if args.is_empty() { &default } else { args };
    let (ended, output) = run(ps, args).on(ps.display())?;
    match ended {
        WaitStatus::Exited(_, 0) => {}
        WaitStatus::Exited(_, code) => return Err(failed(&format!("exit status {code}"), &output)),
        _ => return Err(failed("it was killed", &output)),
    }
    filter(&output, &pids.iter().copied().collect())
}

fn failed(how: &str, output: &str) -> Error {
    let words: Vec<&str> = output.split_whitespace().collect();
    Error::other(format!("ps: {how}: {}", words.join(" ")))
}

fn run(ps: &std::path::Path, args: &[OsString]) -> sys::Result<(WaitStatus, String)> {
    let path = sys::c_path(ps)?;
    let args = std::iter::once(Ok(c"ps".to_owned())).chain(args.iter().map(|arg| sys::c_string(arg.as_bytes())));
    let args = args.collect::<sys::Result<Vec<CString>>>()?;
    let env = std::env::vars_os()
        .map(|(name, value)| sys::c_string([&name.into_vec()[..], b"=", &value.into_vec()].concat()))
        .collect::<sys::Result<Vec<CString>>>()?;
    let stdin = File::open("/dev/null").call("open")?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
    let output = writer.as_fd();
    let program = Program {
        path: &path,
        args: &args,
        env: &env,
        directory: None,
        stdin: stdin.as_fd(),
        stdout: output,
        stderr: output,
        filter: None,
    };
    let child = program.spawn()?;
    drop(writer);
    let mut output = Vec::new();
    File::from(reader).read_to_end(&mut output).call("read")?;
    Ok((child.wait()?, String::from_utf8_lossy(&output).into_owned()))
}

/// By the column that the header calls PID.
fn filter(output: &str, pids: &HashSet<i32>) -> Result<String> {
    let missing = || Error::other("ps: there is no column PID in its output");
    let header = output.lines().next().ok_or_else(missing)?;
    let column = header.split_whitespace().position(|name| name == "PID").ok_or_else(missing)?;
    let mut text = format!("{header}\n");
    for line in output.lines().skip(1) {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_of_these_pids() {
        let output = "UID   PID  PPID CMD\nroot    1     0 init 42\nada    42     1 sh\nada   421    42 ps\n\nada x\n";
        let kept = filter(output, &HashSet::from([42, 0])).unwrap();
        assert_eq!(kept, "UID   PID  PPID CMD\nada    42     1 sh\n");
    }

    #[test]
    fn without_a_column_nothing_can_be_chosen() {
        for output in ["", "CMD\nsh\n", "PPID\n1\n"] {
            assert!(filter(output, &HashSet::from([1])).unwrap_err().to_string().contains("PID"));
        }
    }
}
