//! v1: device rules as lines for `devices.allow` and `devices.deny`.
//!
//! Runs in: parent · kernel documentation cgroup-v1/devices

use std::path::Path;

use nix::fcntl::OFlag;

use super::super::file;
use super::{Kind, MKNOD, READ, Rule, WRITE, may_do_without};
use crate::error::{For as _, On as _, Property, Result};

/// A line for `devices.allow` or `devices.deny`.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cgroup) struct ListWrite {
    pub(in crate::cgroup) allow: bool,
    pub(in crate::cgroup) line: String,
    pub(in crate::cgroup) property: Property,
}

/// Writes the lines, each list opened at most once.
pub(in crate::cgroup) fn write(dir: &Path, writes: &[ListWrite]) -> Result<()> {
    let (mut allow, mut deny) = (None, None);
    for ListWrite { allow: is_allow, line, property } in writes {
        let (list, name) = if *is_allow { (&mut allow, "devices.allow") } else { (&mut deny, "devices.deny") };
        let file = match list {
            Some(file) => file,
            None => list.insert(file::open_path(&dir.join(name), OFlag::O_WRONLY).property(*property)?),
        };
        match file::write_to(file, line) {
            Err(error) if may_do_without(error.errno) => return Ok(()),
            result => result.on(format_args!("{}/{name} ({line})", dir.display())).property(*property)?,
        }
    }
    Ok(())
}

/// The writes that bring a v1 cgroup to the rules, whatever it was before.
///
/// The kernel keeps a default (all or nothing) and exceptions. It takes an exception back only by
/// exactly its own device, and ignores any other attempt without a word: so this follows the
/// kernel's state, says what is to be taken back one by one, and refuses what cannot be.
pub(super) fn compile(rules: &[Rule]) -> Result<Vec<ListWrite>> {
    let mut state = State { default: false, exceptions: Vec::new(), writes: Vec::new() };
    // Not needed where the configuration's first rule is about everything itself.
    let first = rules.iter().rposition(Rule::is_everything).unwrap_or_default();
    for rule in &rules[first..] {
        match rule.kind {
            None if rule.is_everything() => state.start(rule),
            // The kernel takes "a" for everything, whatever numbers and access follow.
            None => {
                state.except(&Rule { kind: Some(Kind::Block), ..*rule })?;
                state.except(&Rule { kind: Some(Kind::Char), ..*rule })?;
            }
            Some(_) => state.except(rule)?,
        }
    }
    Ok(state.writes)
}

/// What the kernel will have after `writes`.
struct State {
    default: bool,
    exceptions: Vec<Rule>,
    writes: Vec<ListWrite>,
}

impl State {
    fn start(&mut self, rule: &Rule) {
        self.default = rule.allow;
        self.exceptions.clear();
        self.write("a".to_owned(), rule);
    }

    fn except(&mut self, rule: &Rule) -> Result<()> {
        if rule.allow == self.default {
            return self.take_back(rule);
        }
        self.add(rule);
        Ok(())
    }

    fn add(&mut self, rule: &Rule) {
        match self.exceptions.iter_mut().find(|known| known.is_same_device(rule)) {
            Some(known) if known.access & rule.access == rule.access => return,
            Some(known) => known.access |= rule.access,
            None => self.exceptions.push(*rule),
        }
        self.write(line(rule), rule);
    }

    fn take_back(&mut self, rule: &Rule) -> Result<()> {
        let overlapping: Vec<usize> =
            (0..self.exceptions.len()).filter(|index| self.exceptions[*index].overlaps(rule)).collect();
        for index in overlapping {
            let known = self.exceptions[index];
            if !rule.covers(&known) {
                return Err(rule.property.unsupported(format!(
                    "cgroup v2: v1 cannot make {} an exception from an earlier {}",
                    line(rule),
                    line(&known)
                )));
            }
            let taken = Rule { access: known.access & rule.access, ..known };
            self.exceptions[index].access &= !rule.access;
            self.write(line(&taken), rule);
        }
        self.exceptions.retain(|known| known.access != 0);
        Ok(())
    }

    fn write(&mut self, line: String, rule: &Rule) {
        self.writes.push(ListWrite { allow: rule.allow, line, property: rule.property });
    }
}

/// `c 1:* rw`
fn line(rule: &Rule) -> String {
    let kind = if rule.kind == Some(Kind::Block) { 'b' } else { 'c' };
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let mut line = format!("{kind} {}:{} ", number(rule.major), number(rule.minor));
    for (letter, bit) in [('r', READ), ('w', WRITE), ('m', MKNOD)] {
        if rule.access & bit != 0 {
            line.push(letter);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    /// `+` for devices.allow, `-` for devices.deny.
    fn lines(json: &str) -> Vec<String> {
        let writes = compile(&rules(json)).unwrap();
        writes.iter().map(|write| format!("{}{}", if write.allow { '+' } else { '-' }, write.line)).collect()
    }

    fn error(json: &str) -> String {
        compile(&rules(json)).unwrap_err().to_string()
    }

    const DEFAULT_LINES: [&str; 10] = [
        "+c *:* m",
        "+b *:* m",
        "+c 1:3 rwm",
        "+c 1:8 rwm",
        "+c 1:7 rwm",
        "+c 5:0 rwm",
        "+c 1:5 rwm",
        "+c 1:9 rwm",
        "+c 136:* rwm",
        "+c 5:2 rwm",
    ];

    fn then_defaults<'a>(first: &[&'a str]) -> Vec<&'a str> {
        [first, &DEFAULT_LINES].concat()
    }

    #[test]
    fn nothing_but_the_defaults() {
        assert_eq!(lines("[]"), then_defaults(&["-a"]));
    }

    /// LNX-66, LNX-68: in the order configured, before the defaults.
    #[test]
    fn configured_rules_come_first() {
        let json = r#"[{"allow": false, "access": "rwm"},
                       {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
                       {"allow": true, "type": "b", "major": 8, "access": "r"}]"#;
        assert_eq!(lines(json), then_defaults(&["-a", "+c 10:229 rw", "+b 8:* r"]));
    }

    #[test]
    fn a_default_that_is_configured_is_not_written_again() {
        let json = r#"[{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]"#;
        let mut expected = then_defaults(&["-a", "+c 1:3 rwm"]);
        expected.remove(4);
        assert_eq!(lines(json), expected);
    }

    #[test]
    fn everything_allowed_needs_no_more() {
        assert_eq!(lines(r#"[{"allow": false}, {"allow": true}]"#), ["+a"]);
    }

    /// The kernel would take `a *:* r` for everything.
    #[test]
    fn all_types_with_less_than_everything() {
        let json = r#"[{"allow": true, "access": "r"}, {"allow": true, "type": "a", "major": 7}]"#;
        let written = lines(json);
        assert_eq!(written[..5], ["-a", "+b *:* r", "+c *:* r", "+b 7:* rwm", "+c 7:* rwm"]);
    }

    #[test]
    fn a_rule_takes_back_each_narrower_one() {
        let json = r#"[{"allow": true, "type": "c", "major": 10, "minor": 1, "access": "rw"},
                       {"allow": true, "type": "c", "major": 10, "minor": 2, "access": "m"},
                       {"allow": true, "type": "c", "major": 11, "access": "w"},
                       {"allow": false, "type": "c", "access": "wm"}]"#;
        assert_eq!(
            lines(json)[..7],
            ["-a", "+c 10:1 rw", "+c 10:2 m", "+c 11:* w", "-c 10:1 w", "-c 10:2 m", "-c 11:* w"]
        );
    }

    #[test]
    fn exceptions_from_everything() {
        let json = r#"[{"allow": true}, {"allow": false, "type": "c", "major": 10, "minor": 200, "access": "w"}]"#;
        assert_eq!(lines(json), ["+a", "-c 10:200 w"]);
    }

    /// The kernel would ignore the second rule, and leave the device open.
    #[test]
    fn what_the_kernel_would_ignore_is_refused() {
        let json = r#"[{"allow": true, "type": "c", "major": 10, "access": "rw"},
                       {"allow": false, "type": "c", "major": 10, "minor": 200, "access": "w"}]"#;
        assert_eq!(
            error(json),
            "linux.resources.devices[1]: not supported: cgroup v2: v1 cannot make c 10:200 w an exception from an \
             earlier c 10:* rw"
        );
    }
}
