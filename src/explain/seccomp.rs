//! A profile in a few lines: what happens by default, and for how many system calls something else does.
//!
//! Runs in: parent (`explain`)

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::Property;
use crate::plan::Plan;

use super::Steps;

/// As many names as fit on a line.
const NAMES: usize = 8;

/// The profile has been compiled, so it is one.
pub(super) fn explain(profile: &RawValue, plan: &Plan, steps: &mut Steps) {
    let cached = plan.seccomp.as_ref().is_some_and(|plan| plan.ready().is_some());
    let property = Property::of("linux.seccomp");
    steps.add_for(property, if cached { "take the filter from the cache" } else { "compile the profile" });
    let profile: Value = serde_json::from_str(profile.get()).unwrap_or_default();
    for line in summary(&profile) {
        steps.add_for(property, line);
    }
}

fn summary(profile: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!("{} by default", text(&profile["defaultAction"]))];
    let mut actions: Vec<(String, Vec<String>, usize)> = Vec::new();
    for rule in profile["syscalls"].as_array().into_iter().flatten() {
        let action = text(&rule["action"]);
        let names = rule["names"].as_array().into_iter().flatten().map(text);
        let conditional = rule["args"].as_array().is_some_and(|args| !args.is_empty());
        let index = actions.iter().position(|(known, ..)| *known == action).unwrap_or_else(|| {
            actions.push((action, Vec::new(), 0));
            actions.len() - 1
        });
        let before = actions[index].1.len();
        actions[index].1.extend(names);
        if conditional {
            actions[index].2 += actions[index].1.len() - before;
        }
    }
    lines.extend(actions.into_iter().map(|(action, names, conditional)| {
        let more = if names.len() > NAMES { ", ..." } else { "" };
        let first = names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let depending =
            if conditional > 0 { format!(", {conditional} of them by their arguments") } else { String::new() };
        format!("{action} for {} system calls{depending}: {first}{more}", names.len())
    }));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_action() {
        let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_KILL"},
            {"names": ["clone", "a", "b", "c", "d", "e", "f"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0}]}
        ]});
        assert_eq!(
            summary(&profile),
            [
                "SCMP_ACT_ERRNO by default",
                "SCMP_ACT_ALLOW for 9 system calls, 7 of them by their arguments: read, write, clone, a, b, c, d, e, ...",
                "SCMP_ACT_KILL for 1 system calls: mount",
            ]
        );
        assert_eq!(summary(&json!({"defaultAction": "SCMP_ACT_LOG"})), ["SCMP_ACT_LOG by default"]);
    }
}
