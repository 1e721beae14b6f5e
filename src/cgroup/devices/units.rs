//! Device rules as systemd's `DeviceAllow`: so that `systemctl show` tells them, and what systemd
//! enforces itself stays right when it is reloaded.
//!
//! Runs in: parent · systemd.resource-control(5)
//!
//! systemd's list can only allow, and has no wildcard for the major number alone. Both its program
//! and ours decide, so its list allows at least what the rules do, and ours makes it exact.

use super::{ALL, Kind, MKNOD, READ, Rule, WRITE, in_force};
use crate::error::Result;
use crate::spec::config::DeviceRule;

/// Names of devices and the access to them; `None` if there is nothing to restrict.
pub(in crate::cgroup) fn allow_list(configured: &[DeviceRule]) -> Result<Option<Vec<(String, String)>>> {
    let mut allowed: Vec<Rule> = Vec::new();
    for rule in in_force(configured)?.into_iter().flat_map(of_each_kind) {
        if rule.allow {
            allowed.push(rule);
            continue;
        }
        for earlier in allowed.iter_mut().filter(|earlier| rule.covers(earlier)) {
            earlier.access &= !rule.access;
        }
    }
    let mut list: Vec<(String, u8)> = Vec::new();
    for rule in allowed.iter().filter(|rule| rule.access != 0) {
        let name = name(rule);
        match list.iter_mut().find(|(other, _)| *other == name) {
            Some((_, access)) => *access |= rule.access,
            None => list.push((name, rule.access)),
        }
    }
    let everything = ["char-*", "block-*"].iter().all(|all| list.contains(&((*all).to_owned(), ALL)));
    Ok((!everything).then(|| list.into_iter().map(|(name, access)| (name, letters(access))).collect()))
}

fn of_each_kind(rule: Rule) -> impl Iterator<Item = Rule> {
    let kinds = [Kind::Char, Kind::Block].into_iter().filter(move |kind| rule.kind.is_none_or(|own| own == *kind));
    kinds.map(move |kind| Rule { kind: Some(kind), ..rule })
}

fn name(rule: &Rule) -> String {
    let kind = if rule.kind == Some(Kind::Block) { "block" } else { "char" };
    match (rule.major, rule.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{major}"),
        (None, _) => format!("{kind}-*"),
    }
}

fn letters(access: u8) -> String {
    let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    letters.into_iter().filter(|(bit, _)| access & bit != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list without the devices that every container has.
    fn list(rules: &str) -> Option<Vec<String>> {
        let usual = allow_list(&[]).unwrap().unwrap();
        let list = allow_list(&serde_json::from_str::<Vec<DeviceRule>>(rules).unwrap()).unwrap()?;
        let show = |(name, access): &(String, String)| format!("{name} {access}");
        Some(list.iter().filter(|entry| !usual.contains(entry)).map(show).collect())
    }

    #[test]
    fn what_every_container_has() {
        let usual = allow_list(&[]).unwrap().unwrap();
        for (name, access) in [("char-*", "m"), ("block-*", "m"), ("/dev/char/1:3", "rwm"), ("char-136", "rwm")] {
            assert!(usual.contains(&(name.to_owned(), access.to_owned())), "{name} in {usual:?}");
        }
    }

    /// LNX-66, LNX-67
    #[test]
    fn rules_become_names() {
        assert_eq!(
            list(
                r#"[{"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
                    {"allow": true, "type": "b", "major": 8, "access": "r"}]"#
            )
            .unwrap(),
            ["/dev/char/10:229 rw", "block-8 r"]
        );
    }

    #[test]
    fn later_rules_take_away() {
        let rules = r#"[{"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
                        {"allow": false, "type": "c", "major": 10, "access": "w"}]"#;
        assert_eq!(list(rules).unwrap(), ["/dev/char/10:229 r"]);
        let rules = r#"[{"allow": true}, {"allow": false}]"#;
        assert!(list(rules).unwrap().is_empty());
    }

    /// What the list cannot say it allows; the program on the cgroup knows better.
    #[test]
    fn never_less_than_the_rules() {
        let rules =
            r#"[{"allow": true, "type": "c", "major": 10}, {"allow": false, "type": "c", "major": 10, "minor": 1}]"#;
        assert_eq!(list(rules).unwrap(), ["char-10 rwm"]);
        assert_eq!(list(r#"[{"allow": true, "type": "b", "minor": 0, "access": "r"}]"#).unwrap(), ["block-* rm"]);
    }

    #[test]
    fn everything_is_no_list() {
        assert_eq!(list(r#"[{"allow": true}]"#), None);
        assert_eq!(list(r#"[{"allow": true, "type": "c"}, {"allow": true, "type": "b"}]"#), None);
        assert!(list(r#"[{"allow": true, "access": "rw"}, {"allow": false, "access": "w"}]"#).is_some());
    }
}
