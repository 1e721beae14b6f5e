//! Which devices the container may use: a list of rules, where the last that matches decides.
//!
//! Runs in: parent · config-linux.md#allowed-device-list (LNX-66 to LNX-68)
//!
//! Each kind of access (read, write, mknod) is decided by the last rule that names it and matches
//! the device. The list begins with "deny everything" and ends with the devices that every
//! container has, as in runc. v1 takes the rules as text; v2 takes a program.

mod lists;
mod program;
mod units;

use nix::errno::Errno;
use oci_spec::runtime::LinuxDeviceType;

use super::{Layout, Version};
use crate::error::{Property, Result};
use crate::host;
use crate::spec::config::DeviceRule;
use crate::sys::bpf::Instruction;

pub(super) use lists::{ListWrite, write};
pub(super) use program::attach;
pub(super) use units::allow_list;

pub(super) const PROPERTY: Property = Property::of("linux.resources.devices");

/// BPF_DEVCG_ACC_*
const MKNOD: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Block,
    Char,
}

/// One rule; `None` matches everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<Kind>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u8,
    property: Property,
}

/// The rules in the form that the host's hierarchy takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Devices {
    Lists(Vec<ListWrite>),
    Program(Vec<Instruction>),
}

impl Devices {
    pub(super) fn compile(configured: &[DeviceRule], layout: &Layout) -> Result<Self> {
        let rules = in_force(configured)?;
        match layout.version() {
            Some(Version::V2) => Ok(Self::Program(program::compile(&rules))),
            Some(Version::V1) if layout.controls("devices") => Ok(Self::Lists(lists::compile(&rules)?)),
            _ if configured.is_empty() => Ok(Self::Lists(Vec::new())),
            _ => Err(PROPERTY.unsupported("the devices controller, which this host does not mount")),
        }
    }
}

fn in_force(configured: &[DeviceRule]) -> Result<Vec<Rule>> {
    let mut rules = Vec::with_capacity(1 + configured.len() + DEFAULTS.len());
    rules.push(DENY_ALL);
    for (index, rule) in configured.iter().enumerate() {
        rules.push(Rule::compile(rule, index)?);
    }
    rules.extend(DEFAULTS);
    Ok(rules)
}

/// In a user namespace nobody may set device rules, and nobody needs them: the kernel itself lets
/// no one make a device node, nor open one on a file system mounted there.
fn may_do_without(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EACCES) && !host::is_host_root()
}

const DENY_ALL: Rule = Rule { allow: false, kind: None, major: None, minor: None, access: ALL, property: PROPERTY };

const fn default_device(kind: Kind, major: Option<u32>, minor: Option<u32>, access: u8) -> Rule {
    Rule { allow: true, kind: Some(kind), major, minor, access, property: PROPERTY }
}

/// Any node may be made, which opens nothing; and what /dev always has. /dev/console is a pseudo
/// terminal (136), never the host's console (5:1).
const DEFAULTS: [Rule; 10] = [
    default_device(Kind::Char, None, None, MKNOD),
    default_device(Kind::Block, None, None, MKNOD),
    default_device(Kind::Char, Some(1), Some(3), ALL), // null
    default_device(Kind::Char, Some(1), Some(8), ALL), // random
    default_device(Kind::Char, Some(1), Some(7), ALL), // full
    default_device(Kind::Char, Some(5), Some(0), ALL), // tty
    default_device(Kind::Char, Some(1), Some(5), ALL), // zero
    default_device(Kind::Char, Some(1), Some(9), ALL), // urandom
    default_device(Kind::Char, Some(136), None, ALL),  // pts/*
    default_device(Kind::Char, Some(5), Some(2), ALL), // ptmx
];

impl Rule {
    fn compile(rule: &DeviceRule, index: usize) -> Result<Self> {
        let property = Property::at("linux.resources.devices", index);
        let kind = match rule.kind {
            None | Some(LinuxDeviceType::A) => None,
            Some(LinuxDeviceType::B) => Some(Kind::Block),
            Some(LinuxDeviceType::C) => Some(Kind::Char),
            Some(other) => {
                return Err(property.field("type").invalid(format!("{:?} is not a, b or c", other.as_str())));
            }
        };
        Ok(Self {
            allow: rule.allow,
            kind,
            major: number(rule.major, property.field("major"))?,
            minor: number(rule.minor, property.field("minor"))?,
            access: access(rule.access.as_deref(), property.field("access"))?,
            property,
        })
    }

    fn is_everything(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }

    fn is_same_device(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Whether it matches all devices that `other` matches.
    fn covers(&self, other: &Self) -> bool {
        let covers = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        self.kind == other.kind && covers(self.major, other.major) && covers(self.minor, other.minor)
    }

    /// Whether there is an access to a device that both decide.
    fn overlaps(&self, other: &Self) -> bool {
        let overlap = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || theirs.is_none() || mine == theirs;
        self.kind == other.kind
            && overlap(self.major, other.major)
            && overlap(self.minor, other.minor)
            && self.access & other.access != 0
    }
}

/// Unset is any number, and so is -1, which Go programs write for it.
fn number(value: Option<i64>, property: Property) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => match u32::try_from(value) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(property.invalid(format!("{value} is no device number"))),
        },
    }
}

/// Unset is every access, as unset is everything in a rule's other fields.
fn access(letters: Option<&str>, property: Property) -> Result<u8> {
    let letters = letters.filter(|letters| !letters.is_empty()).unwrap_or("rwm");
    letters.chars().try_fold(0, |access, letter| match letter {
        'r' => Ok(access | READ),
        'w' => Ok(access | WRITE),
        'm' => Ok(access | MKNOD),
        _ => Err(property.invalid(format!("{letters:?} holds something other than r, w and m"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Vec<DeviceRule> {
        serde_json::from_str(json).unwrap()
    }

    /// All rules in force for a configured list.
    pub(super) fn rules(json: &str) -> Vec<Rule> {
        in_force(&parse(json)).unwrap()
    }

    /// LNX-67, LNX-68
    #[test]
    fn what_is_unset_matches_everything() {
        assert_eq!(
            rules(r#"[{"allow": false}]"#)[1],
            Rule { property: Property::at("linux.resources.devices", 0), ..DENY_ALL }
        );
        assert_eq!(
            rules(r#"[{"allow": false, "type": "a", "major": -1, "access": ""}]"#)[1],
            Rule { property: Property::at("linux.resources.devices", 0), ..DENY_ALL }
        );
        assert!(serde_json::from_str::<DeviceRule>(r#"{"access": "r"}"#).is_err());
    }

    /// LNX-68
    #[test]
    fn invalid_values_name_their_property() {
        for (rule, expected) in [
            (r#"{"allow": true, "access": "rx"}"#, r#"linux.resources.devices[1].access: "rx" holds"#),
            (r#"{"allow": true, "type": "p"}"#, r#"linux.resources.devices[1].type: "p" is not a, b or c"#),
            (r#"{"allow": true, "major": -2}"#, "linux.resources.devices[1].major: -2 is no device number"),
            (r#"{"allow": true, "minor": 4294967296}"#, "linux.resources.devices[1].minor: 4294967296 is no"),
        ] {
            let list = format!(r#"[{{"allow": true}}, {rule}]"#);
            let error = in_force(&parse(&list)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
