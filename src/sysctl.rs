//! `linux.sysctl`: kernel parameters of the container's namespaces.
//!
//! Runs in: both (compile in parent, apply in init) · config-linux.md#sysctl (LNX-125)
//!
//! Only parameters that belong to a namespace of the container's own are written; any other would
//! change the host. Values go through a procfs that nobody can mount over (CVE-2025-52881).

use std::ffi::CString;
use std::fmt::{self, Display};
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::fcntl::{OFlag, ResolveFlag};
use nix::sched::CloneFlags;

use crate::error::{Error, For as _, On as _, Property, Result};
use crate::namespace::{self, Namespaces};
use crate::spec::config::Config;
use crate::sys;

const PROPERTY: Property = Property::of("linux.sysctl");

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// As written, for messages.
    key: String,
    /// Below the root of a procfs: `sys/net/ipv4/ip_forward`.
    path: CString,
    value: String,
}

/// For `explain`.
impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "write /proc/{}: {}", self.path.to_string_lossy(), self.value)
    }
}

pub(crate) fn compile(config: &Config, namespaces: &Namespaces) -> Result<Vec<Step>> {
    config.linux.sysctl.iter().map(|(key, value)| compile_one(key, value, config, namespaces)).collect()
}

fn compile_one(key: &str, value: &str, config: &Config, namespaces: &Namespaces) -> Result<Step> {
    let path = path_of(key).ok_or_else(|| invalid(key, "is not the name of a kernel parameter"))?;
    let Some(owner) = owner(&path) else {
        return Err(invalid(key, "does not belong to a namespace: it would change the host"));
    };
    if !namespaces.isolates(owner) {
        let kind = namespace::name(owner);
        return Err(invalid(key, &format!("would change the host: the container has no {kind} namespace of its own")));
    }
    for (property, is_given, parameter) in [
        ("hostname", config.hostname.is_some(), "kernel/hostname"),
        ("domainname", config.domainname.is_some(), "kernel/domainname"),
    ] {
        if is_given && path == parameter {
            return Err(invalid(key, &format!("conflicts with the property {property}")));
        }
    }
    let path = sys::c_string(format!("sys/{path}")).on(key).property(PROPERTY)?;
    Ok(Step { key: key.to_owned(), path, value: value.to_owned() })
}

fn invalid(key: &str, problem: &str) -> Error {
    PROPERTY.invalid(format!("{key:?} {problem}"))
}

/// The path below /proc/sys, by the rule of sysctl(8): whichever of `.` and `/` comes first is the
/// separator, and the other one stands for it inside a name (`net.ipv4.conf.eth0/1.forwarding` is
/// about an interface called eth0.1).
fn path_of(key: &str) -> Option<String> {
    let separator = key.find(['.', '/']).map(|at| key.as_bytes()[at])?;
    let path: String = match separator {
        b'/' => key.to_owned(),
        _ => key
            .chars()
            .map(|character| match character {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    let is_name = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    path.split('/').all(is_name).then_some(path)
}

/// The namespace that a parameter belongs to: those listed in namespaces(7) and its siblings.
fn owner(path: &str) -> Option<CloneFlags> {
    const IPC: [&str; 11] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/msg_next_id",
        "kernel/sem",
        "kernel/sem_next_id",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_next_id",
        "kernel/shm_rmid_forced",
    ];
    if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        Some(CloneFlags::CLONE_NEWIPC)
    } else if path == "kernel/hostname" || path == "kernel/domainname" {
        Some(CloneFlags::CLONE_NEWUTS)
    } else if path.starts_with("net/") {
        Some(CloneFlags::CLONE_NEWNET)
    } else {
        None
    }
}

/// Init, inside all namespaces. `proc` is the root of a procfs mount that no one else can reach.
pub(crate) fn apply(steps: &[Step], proc: BorrowedFd<'_>) -> Result<()> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    for Step { key, path, value } in steps {
        let file = sys::path::openat2(proc, path, OFlag::O_WRONLY, resolve).on(key).property(PROPERTY)?;
        sys::fd::check_procfs(file.as_fd()).on(key).property(PROPERTY)?;
        sys::fd::write(file.as_fd(), value.as_bytes()).on(key).property(PROPERTY)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile_json(sysctl: &str, namespaces: &[&str], rest: &str) -> Result<Vec<Step>> {
        let namespaces: Vec<String> = namespaces.iter().map(|kind| format!(r#"{{"type": "{kind}"}}"#)).collect();
        let namespaces = namespaces.join(", ");
        let json = format!(
            r#"{{"ociVersion": "1.3.0"{rest}, "linux": {{"namespaces": [{namespaces}], "sysctl": {sysctl}}}}}"#
        );
        let config: Config = serde_json::from_str(&json).unwrap();
        compile(&config, &Namespaces::compile(&config.linux)?)
    }

    fn error(sysctl: &str, namespaces: &[&str], rest: &str) -> String {
        compile_json(sysctl, namespaces, rest).unwrap_err().to_string()
    }

    #[test]
    fn both_spellings() {
        for (key, path) in [
            ("net.ipv4.ip_forward", Some("net/ipv4/ip_forward")),
            ("net/ipv4/ip_forward", Some("net/ipv4/ip_forward")),
            ("net.ipv4.conf.eth0/1.forwarding", Some("net/ipv4/conf/eth0.1/forwarding")),
            ("net/ipv4/conf/eth0.1/forwarding", Some("net/ipv4/conf/eth0.1/forwarding")),
            ("kernel", None),
            ("", None),
            ("net..ipv4", None),
            ("/net/ipv4", None),
            ("net/../kernel/core_pattern", None),
            ("net.//.kernel.core_pattern", None),
        ] {
            assert_eq!(path_of(key).as_deref(), path, "{key}");
        }
    }

    /// LNX-125
    #[test]
    fn parameters_of_own_namespaces() {
        let all = ["ipc", "network", "uts"];
        let steps = compile_json(
            r#"{"kernel.shmmax": "1", "fs.mqueue.msg_max": "2", "net/core/somaxconn": "3", "kernel.domainname": "4"}"#,
            &all,
            r#", "hostname": "h""#,
        )
        .unwrap();
        let paths: Vec<_> = steps.iter().map(|step| (step.path.to_str().unwrap(), step.value.as_str())).collect();
        assert_eq!(
            paths,
            [
                ("sys/kernel/shmmax", "1"),
                ("sys/fs/mqueue/msg_max", "2"),
                ("sys/net/core/somaxconn", "3"),
                ("sys/kernel/domainname", "4")
            ]
        );
    }

    /// LNX-125
    #[test]
    fn parameters_of_the_host_are_refused() {
        for (sysctl, namespaces, text) in [
            (
                r#"{"kernel.shmmax": "1"}"#,
                &["network"][..],
                r#"linux.sysctl: "kernel.shmmax" would change the host: the container has no ipc namespace of its own"#,
            ),
            (
                r#"{"net.core.somaxconn": "1"}"#,
                &["ipc"],
                r#"linux.sysctl: "net.core.somaxconn" would change the host: the container has no network namespace of its own"#,
            ),
            (
                r#"{"kernel.core_pattern": "|/x"}"#,
                &["ipc", "network", "uts"],
                r#"linux.sysctl: "kernel.core_pattern" does not belong to a namespace: it would change the host"#,
            ),
            (
                r#"{"vm/swappiness": "1"}"#,
                &["ipc"],
                r#"linux.sysctl: "vm/swappiness" does not belong to a namespace: it would change the host"#,
            ),
        ] {
            assert_eq!(error(sysctl, namespaces, ""), text);
        }
    }

    #[test]
    fn the_hostname_is_given_once() {
        let text = error(r#"{"kernel.hostname": "a"}"#, &["uts"], r#", "hostname": "b""#);
        assert_eq!(text, r#"linux.sysctl: "kernel.hostname" conflicts with the property hostname"#);
        assert!(compile_json(r#"{"kernel.hostname": "a"}"#, &["uts"], "").is_ok());
    }
}
