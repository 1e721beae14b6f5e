//! `process.scheduler`: the scheduling policy of the container's process, and its parameters.
//!
//! Runs in: both (compile in parent; `super::Plan::prioritise` says who applies) · config.md
//! "Linux Process" (CFG-31 … CFG-35), sched(7)

use crate::error::{For as _, Property, Result};
use crate::spec::config::Scheduler;
use crate::sys::sched::{self, Attr};

const PROPERTY: Property = Property::of("process.scheduler");

/// SCHED_* of the kernel's linux/sched.h. It has a number for SCHED_ISO and no implementation.
const POLICIES: [(&str, u32); 6] = [
    ("SCHED_OTHER", libc::SCHED_OTHER as u32),
    ("SCHED_FIFO", libc::SCHED_FIFO as u32),
    ("SCHED_RR", libc::SCHED_RR as u32),
    ("SCHED_BATCH", libc::SCHED_BATCH as u32),
    ("SCHED_IDLE", libc::SCHED_IDLE as u32),
    ("SCHED_DEADLINE", libc::SCHED_DEADLINE as u32),
];

const FLAGS: [(&str, i32); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", libc::SCHED_FLAG_RESET_ON_FORK),
    ("SCHED_FLAG_RECLAIM", libc::SCHED_FLAG_RECLAIM),
    ("SCHED_FLAG_DL_OVERRUN", libc::SCHED_FLAG_DL_OVERRUN),
    ("SCHED_FLAG_KEEP_POLICY", libc::SCHED_FLAG_KEEP_POLICY),
    ("SCHED_FLAG_KEEP_PARAMS", libc::SCHED_FLAG_KEEP_PARAMS),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", libc::SCHED_FLAG_UTIL_CLAMP_MIN),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", libc::SCHED_FLAG_UTIL_CLAMP_MAX),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan(Attr);

impl Plan {
    /// What the kernel would refuse as EINVAL, or take and ignore, is refused here, by its name.
    pub(super) fn compile(scheduler: &Scheduler) -> Result<Self> {
        let attr = Attr {
            policy: policy(&scheduler.policy)?,
            flags: flags(&scheduler.flags)?,
            nice: scheduler.nice,
            priority: priority(scheduler)?,
            runtime: scheduler.runtime,
            deadline: scheduler.deadline,
            period: scheduler.period,
            ..Attr::default()
        };
        if !(-20..=19).contains(&scheduler.nice) {
            return Err(PROPERTY.field("nice").invalid(format!("{} is not between -20 and 19", scheduler.nice)));
        }
        check_deadline(scheduler)?;
        Ok(Self(attr))
    }

    pub(super) fn apply(self, pid: i32) -> Result<()> {
        sched::sched_setattr(pid, self.0).property(PROPERTY)
    }
}

fn policy(name: &str) -> Result<u32> {
    match POLICIES.iter().find(|(known, _)| *known == name) {
        Some((_, policy)) => Ok(*policy),
        None if name == "SCHED_ISO" => {
            Err(PROPERTY.field("policy").unsupported("SCHED_ISO, which Linux does not implement"))
        }
        None => Err(PROPERTY.field("policy").invalid(format!("{name:?} is no scheduling policy"))),
    }
}

fn flags(names: &[String]) -> Result<u64> {
    let mut flags = 0;
    for (index, name) in names.iter().enumerate() {
        let Some((_, flag)) = FLAGS.iter().find(|(known, _)| known == name) else {
            return Err(Property::at("process.scheduler.flags", index).invalid(format!("{name:?} is unknown")));
        };
        flags |= *flag as u64;
    }
    Ok(flags)
}

/// 1 to 99 with a real-time policy, and none (0) with others.
fn priority(scheduler: &Scheduler) -> Result<u32> {
    let Scheduler { policy, priority, .. } = scheduler;
    let real_time = matches!(policy.as_str(), "SCHED_FIFO" | "SCHED_RR");
    match u32::try_from(*priority) {
        Ok(value @ 1..=99) if real_time => Ok(value),
        Ok(0) if !real_time => Ok(0),
        _ if real_time => {
            Err(PROPERTY.field("priority").invalid(format!("{priority} is not between 1 and 99 ({policy})")))
        }
        _ => Err(PROPERTY.field("priority").invalid(format!("is {priority}, but {policy} has no priorities"))),
    }
}

/// runtime <= deadline <= period, in nanoseconds; a period of 0 is the deadline. Less than 1024 is
/// less than the kernel counts.
fn check_deadline(scheduler: &Scheduler) -> Result<()> {
    let Scheduler { policy, runtime, deadline, period, .. } = scheduler;
    if policy != "SCHED_DEADLINE" {
        let given = [("runtime", runtime), ("deadline", deadline), ("period", period)];
        return match given.into_iter().find(|(_, value)| **value != 0) {
            Some((field, _)) => Err(PROPERTY.field(field).invalid(format!("is for SCHED_DEADLINE, not for {policy}"))),
            None => Ok(()),
        };
    }
    if *runtime < 1024 {
        return Err(PROPERTY.field("runtime").invalid(format!("{runtime} is less than 1024 ns")));
    }
    if runtime > deadline {
        return Err(PROPERTY.field("deadline").invalid(format!("{deadline} is less than the runtime, {runtime}")));
    }
    if *period != 0 && period < deadline {
        return Err(PROPERTY.field("period").invalid(format!("{period} is less than the deadline, {deadline}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap())
    }

    /// CFG-31, CFG-32, CFG-33, CFG-35: the numbers are those of the kernel's linux/sched.h.
    #[test]
    fn policies_and_defaults() {
        for (policy, priority, number) in [
            ("SCHED_OTHER", 0, 0),
            ("SCHED_FIFO", 1, 1),
            ("SCHED_RR", 99, 2),
            ("SCHED_BATCH", 0, 3),
            ("SCHED_IDLE", 0, 5),
        ] {
            let plan = compile(&format!(r#"{{"policy": "{policy}", "priority": {priority}}}"#)).unwrap();
            assert_eq!(plan.0, Attr { policy: number, priority, ..Attr::default() });
        }
        let plan = compile(r#"{"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 1024, "period": 2000}"#);
        let expected = Attr { policy: 6, runtime: 1024, deadline: 1024, period: 2000, ..Attr::default() };
        assert_eq!(plan.unwrap().0, expected);
        assert_eq!(compile(r#"{"policy": "SCHED_OTHER"}"#).unwrap().0, Attr::default());
        assert_eq!(compile(r#"{"policy": "SCHED_BATCH", "nice": -20}"#).unwrap().0.nice, -20);
    }

    /// CFG-34
    #[test]
    fn seven_flags() {
        for (bit, (name, _)) in FLAGS.iter().enumerate() {
            let plan = compile(&format!(r#"{{"policy": "SCHED_OTHER", "flags": ["{name}"]}}"#)).unwrap();
            assert_eq!(plan.0.flags, 1 << bit, "{name}");
        }
        let both = r#"{"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_KEEP_POLICY"]}"#;
        assert_eq!(compile(both).unwrap().0.flags, 9);
    }

    /// CFG-31 … CFG-35
    #[test]
    fn wrong_values_name_their_property() {
        for (rest, text) in [
            (r#""policy": "SCHED_ISO""#, "policy: not supported: SCHED_ISO, which Linux does not implement"),
            (r#""policy": "SCHED_EXT""#, r#"policy: "SCHED_EXT" is no scheduling policy"#),
            (r#""policy": "SCHED_OTHER", "nice": 20"#, "nice: 20 is not between -20 and 19"),
            (r#""policy": "SCHED_FIFO""#, "priority: 0 is not between 1 and 99 (SCHED_FIFO)"),
            (r#""policy": "SCHED_RR", "priority": 100"#, "priority: 100 is not between 1 and 99 (SCHED_RR)"),
            (r#""policy": "SCHED_RR", "priority": -1"#, "priority: -1 is not between 1 and 99 (SCHED_RR)"),
            (r#""policy": "SCHED_IDLE", "priority": 1"#, "priority: is 1, but SCHED_IDLE has no priorities"),
            (r#""policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_ALL"]"#, r#"flags[0]: "SCHED_FLAG_ALL" is unknown"#),
            (
                r#""policy": "SCHED_FIFO", "priority": 1, "period": 1"#,
                "period: is for SCHED_DEADLINE, not for SCHED_FIFO",
            ),
            (r#""policy": "SCHED_DEADLINE", "deadline": 9999"#, "runtime: 0 is less than 1024 ns"),
            (
                r#""policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 4999"#,
                "deadline: 4999 is less than the runtime, 5000",
            ),
            (
                r#""policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": 5999"#,
                "period: 5999 is less than the deadline, 6000",
            ),
        ] {
            let error = compile(&format!("{{{rest}}}")).unwrap_err().to_string();
            assert_eq!(error, format!("process.scheduler.{text}"));
        }
        assert!(serde_json::from_str::<Scheduler>("{}").is_err());
    }
}
