//! The flags of `exec` laid over the configured process.
//!
//! Runs in: parent
//!
//! As runc: what no flag is about stays as it was configured, but for the terminal.

use crate::error::{Error, Result};
use crate::spec::Process;
use crate::spec::config::Capabilities;

#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) args: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) env: Vec<String>,
    pub(crate) terminal: bool,
    pub(crate) user: Option<UserId>,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) selinux_label: Option<String>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) capabilities: Vec<String>,
}

/// `UID[:GID]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserId {
    uid: u32,
    gid: Option<u32>,
}

impl UserId {
    /// The whole text, and nothing by default: root least of all (CVE-2026-30892).
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let invalid = || Error::other(format!("--user {text:?} is not UID or UID:GID"));
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (uid, Some(number(gid).ok_or_else(invalid)?)),
            None => (text, None),
        };
        Ok(Self { uid: number(uid).ok_or_else(invalid)?, gid })
    }
}

/// Digits only: Rust's own parser takes a sign, too.
pub(crate) fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl Overrides {
    pub(crate) fn apply(&self, process: &mut Process) {
        process.args.clone_from(&self.args);
        process.terminal = self.terminal;
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        self.env.iter().for_each(|entry| set_variable(&mut process.env, entry));
        if let Some(user) = self.user {
            process.user.uid = user.uid;
            process.user.gid = user.gid.unwrap_or(process.user.gid);
        }
        process.user.additional_gids.extend(&self.additional_gids);
        if self.selinux_label.is_some() {
            process.selinux_label.clone_from(&self.selinux_label);
        }
        if self.apparmor_profile.is_some() {
            process.apparmor_profile.clone_from(&self.apparmor_profile);
        }
        process.no_new_privileges = self.no_new_privileges.unwrap_or(process.no_new_privileges);
        if !self.capabilities.is_empty() {
            grant(process.capabilities.get_or_insert_default(), &self.capabilities);
        }
    }
}

/// A value given now counts, not the one configured, whichever of the two a program looks at.
fn set_variable(env: &mut Vec<String>, entry: &str) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let new = name(entry);
    env.retain(|old| name(old) != new);
    env.push(entry.to_owned());
}

/// Not the inheritable set (CVE-2022-29162), and so not the ambient one, which must be within it.
fn grant(capabilities: &mut Capabilities, names: &[String]) {
    for set in [&mut capabilities.bounding, &mut capabilities.permitted, &mut capabilities.effective] {
        set.extend_from_slice(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured() -> Process {
        serde_json::from_str(
            r#"{"args": ["init"], "cwd": "/srv", "terminal": true, "env": ["A=1", "PATH=/bin", "B=2"],
                "user": {"uid": 5, "gid": 6, "additionalGids": [7]}, "apparmorProfile": "p", "noNewPrivileges": true,
                "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_no_flag_is_about_stays() {
        let mut process = configured();
        Overrides { args: vec!["sh".into()], ..Overrides::default() }.apply(&mut process);
        assert_eq!((process.args, process.cwd.as_str(), process.terminal), (vec!["sh".to_owned()], "/srv", false));
        assert_eq!((process.user.uid, process.user.gid, process.user.additional_gids), (5, 6, vec![7]));
        assert_eq!((process.apparmor_profile.as_deref(), process.no_new_privileges), (Some("p"), true));
        assert_eq!(process.env, ["A=1", "PATH=/bin", "B=2"]);
    }

    #[test]
    fn flags_replace_or_add() {
        let mut process = configured();
        let flags = Overrides {
            cwd: Some("/tmp".into()),
            env: vec!["PATH=/x".into(), "C=3".into()],
            terminal: true,
            user: Some(UserId { uid: 9, gid: None }),
            additional_gids: vec![8],
            selinux_label: Some("l".into()),
            apparmor_profile: Some("q".into()),
            no_new_privileges: Some(false),
            capabilities: vec!["CAP_CHOWN".into()],
            ..Overrides::default()
        };
        flags.apply(&mut process);
        assert_eq!(process.env, ["A=1", "B=2", "PATH=/x", "C=3"]);
        assert_eq!((process.cwd.as_str(), process.terminal, process.no_new_privileges), ("/tmp", true, false));
        assert_eq!((process.user.uid, process.user.gid, process.user.additional_gids), (9, 6, vec![7, 8]));
        assert_eq!((process.selinux_label.as_deref(), process.apparmor_profile.as_deref()), (Some("l"), Some("q")));
        let capabilities = process.capabilities.unwrap();
        assert_eq!(capabilities.bounding, ["CAP_KILL", "CAP_CHOWN"]);
        assert_eq!(
            (capabilities.permitted, capabilities.effective),
            (vec!["CAP_CHOWN".into()], vec!["CAP_CHOWN".into()])
        );
        assert_eq!((capabilities.inheritable, capabilities.ambient), (vec!["CAP_KILL".to_owned()], vec![]));
    }

    #[test]
    fn users_are_numbers() {
        assert_eq!(UserId::parse("1").unwrap(), UserId { uid: 1, gid: None });
        assert_eq!(UserId::parse("1:2").unwrap(), UserId { uid: 1, gid: Some(2) });
        assert_eq!(UserId::parse("01").unwrap(), UserId { uid: 1, gid: None });
        for bad in ["", "1:", ":1", " 1", "1x", "-1", "+1", "a", "4294967296", "1:2:3"] {
            assert!(UserId::parse(bad).unwrap_err().to_string().contains("--user"), "{bad}");
        }
    }
}
