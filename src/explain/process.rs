//! What becomes of `process`, and when.
//!
//! Runs in: parent (`explain`)

use crate::error::Property;
use crate::spec::config::{Capabilities, Process};

use super::Steps;

/// What init does before it waits for `start`.
pub(super) fn assume(process: &Process, steps: &mut Steps) {
    for (name, label) in [("apparmorProfile", &process.apparmor_profile), ("selinuxLabel", &process.selinux_label)] {
        if let Some(label) = label.as_deref().filter(|label| !label.is_empty()) {
            steps.add_for(field(name), format_args!("write /proc/self/attr/exec: {label}"));
        }
    }
    if let Some(scheduler) = &process.scheduler {
        steps.add_for(field("scheduler"), format_args!("sched_setattr({})", scheduler.policy));
    }
    if let Some(priority) = &process.io_priority {
        steps.add_for(field("ioPriority"), format_args!("ioprio_set({}, {})", priority.class, priority.priority));
    }
    let user = &process.user;
    steps.add_for(field("cwd"), format_args!("chdir({:?})", process.cwd));
    let groups: Vec<_> = user.additional_gids.iter().map(u32::to_string).collect();
    let ids = format!("setgroups([{}]); setresgid({}); setresuid({})", groups.join(", "), user.gid, user.uid);
    steps.add_for(field("user"), ids);
    let none = Capabilities::default();
    let sets = process.capabilities.as_ref().unwrap_or(&none);
    for (name, set) in [
        ("bounding", &sets.bounding),
        ("permitted", &sets.permitted),
        ("effective", &sets.effective),
        ("inheritable", &sets.inheritable),
        ("ambient", &sets.ambient),
    ] {
        let names: Vec<_> = set.iter().map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        steps.add_for(field("capabilities"), format_args!("{name} set: {names}"));
    }
    if process.no_new_privileges {
        steps.add_for(field("noNewPrivileges"), "prctl(SET_NO_NEW_PRIVS)");
    }
    let program = process.args.first().map_or("", String::as_str);
    steps.add_for(field("args"), format_args!("look for {program:?}"));
}

pub(super) fn limits(process: &Process, steps: &mut Steps) {
    for (index, limit) in process.rlimits.iter().enumerate() {
        let property = Property::at("process.rlimits", index);
        steps.add_for(
            property,
            format_args!("setrlimit({}, {}, {})", limit.kind, number(limit.soft), number(limit.hard)),
        );
    }
}

/// RLIM_INFINITY
fn number(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

pub(super) fn execute(process: &Process, steps: &mut Steps) {
    let variables = process.env.len();
    steps.add_for(field("args"), format_args!("execve({:?}), with {variables} variables", process.args));
}

const fn field(name: &'static str) -> Property {
    Property::of("process").field(name)
}
