//! `LISTEN_FDS`: sockets that a supervisor opened for the container's process (sd_listen_fds(3)).
//!
//! Runs in: both (inherited in parent, variables in init) · no part of the runtime-spec: as runc and crun
//!
//! They are the first descriptors that are passed on; those of `--preserve-fds` come after them.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::sys;

/// What the process is told by these; what config.json says of them is about other descriptors.
pub(super) const VARIABLES: [&[u8]; 3] = [b"LISTEN_FDS", b"LISTEN_PID", b"LISTEN_FDNAMES"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenFds {
    pub(crate) count: u32,
    names: Option<OsString>,
}

impl ListenFds {
    /// Those in orlop's own environment, unless they are somebody else's.
    pub(crate) fn inherited() -> Result<Option<Self>> {
        let Some(count) = std::env::var_os("LISTEN_FDS") else { return Ok(None) };
        let names = std::env::var_os("LISTEN_FDNAMES");
        Self::parse(&count, std::env::var_os("LISTEN_PID").as_deref(), names, nix::unistd::getpid())
    }

    /// A supervisor that cannot know our pid leaves LISTEN_PID out.
    fn parse(count: &OsStr, pid: Option<&OsStr>, names: Option<OsString>, own: Pid) -> Result<Option<Self>> {
        let is_ours = pid.is_none_or(|pid| pid.is_empty() || pid.as_bytes() == own.to_string().as_bytes());
        if count.is_empty() || !is_ours {
            return Ok(None);
        }
        match count.to_str().and_then(|count| count.parse().ok()) {
            Some(0) => Ok(None),
            Some(count) => Ok(Some(Self { count, names })),
            None => Err(Error::other(format!("LISTEN_FDS: {count:?} is not a number of descriptors"))),
        }
    }

    /// Init: the variables, for the process that it is about to become.
    pub(super) fn variables(&self) -> Vec<CString> {
        // In an own pid namespace that is 1.
        let pid = nix::unistd::getpid();
        let names = self.names.as_ref().map(|names| [b"LISTEN_FDNAMES=", names.as_bytes()].concat());
        [format!("LISTEN_FDS={}", self.count), format!("LISTEN_PID={pid}")]
            .into_iter()
            .map(|variable| OsString::from(variable).into_vec())
            .chain(names)
            // What comes from an environment has no NUL byte inside.
            .filter_map(|variable| sys::c_string(variable).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(count: &str, pid: Option<&str>) -> std::result::Result<Option<u32>, String> {
        let parsed = ListenFds::parse(OsStr::new(count), pid.map(OsStr::new), None, Pid::from_raw(42));
        parsed.map(|found| found.map(|found| found.count)).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_is_ours_is_passed_on() {
        for (count, pid, found) in [
            ("2", Some("42"), Some(2)),
            ("2", None, Some(2)),
            ("2", Some(""), Some(2)),
            ("2", Some("41"), None),
            ("2", Some("420"), None),
            ("x", Some("41"), None),
            ("0", None, None),
            ("", None, None),
        ] {
            assert_eq!(parse(count, pid), Ok(found), "{count} {pid:?}");
        }
        for count in ["x", "-1", "1 ", "4294967296"] {
            let problem = format!("LISTEN_FDS: {count:?} is not a number of descriptors");
            assert_eq!(parse(count, Some("42")), Err(problem));
        }
    }

    #[test]
    fn the_process_is_told() {
        let pid = nix::unistd::getpid();
        let told = |names: Option<&str>| {
            let found = ListenFds { count: 3, names: names.map(OsString::from) };
            found.variables().into_iter().map(|variable| variable.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(told(None), ["LISTEN_FDS=3".to_owned(), format!("LISTEN_PID={pid}")]);
        assert_eq!(told(Some("a:b:c"))[2..], ["LISTEN_FDNAMES=a:b:c"]);
    }
}
