//! `process.ioPriority`: who is served first by a disk's scheduler.
//!
//! Runs in: both (compile in parent; `super::Plan::prioritise` says who applies) · config.md
//! "Linux Process" (CFG-37, CFG-38), ioprio_set(2)

use crate::error::{For as _, Property, Result};
use crate::spec::config::IoPriority;
use crate::sys::sched;

const PROPERTY: Property = Property::of("process.ioPriority");

/// IOPRIO_CLASS_* of the kernel's linux/ioprio.h; 0 is none, which the spec has no name for.
const CLASSES: [(&str, u32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];

const CLASS_SHIFT: u32 = 13;

/// Class and level, as the kernel wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan(u32);

impl Plan {
    pub(super) fn compile(io_priority: &IoPriority) -> Result<Self> {
        let IoPriority { class, priority } = io_priority;
        let Some((_, number)) = CLASSES.iter().find(|(known, _)| known == class) else {
            return Err(PROPERTY.field("class").invalid(format!("{class:?} is no class of I/O priorities")));
        };
        match u32::try_from(*priority) {
            Ok(level @ 0..=7) => Ok(Self(number << CLASS_SHIFT | level)),
            _ => Err(PROPERTY.field("priority").invalid(format!("{priority} is not between 0 and 7"))),
        }
    }

    pub(super) fn apply(self, pid: i32) -> Result<()> {
        sched::ioprio_set(pid, self.0).property(PROPERTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap())
    }

    /// CFG-37, CFG-38
    #[test]
    fn classes_and_levels() {
        for (class, level, value) in [("RT", 0, 0x2000), ("BE", 7, 0x4007), ("IDLE", 4, 0x6004)] {
            let plan = compile(&format!(r#"{{"class": "IOPRIO_CLASS_{class}", "priority": {level}}}"#));
            assert_eq!(plan.unwrap(), Plan(value));
        }
    }

    /// CFG-37, CFG-38
    #[test]
    fn wrong_values_name_their_property() {
        for (json, text) in [
            (
                r#"{"class": "IOPRIO_CLASS_NONE", "priority": 0}"#,
                r#"class: "IOPRIO_CLASS_NONE" is no class of I/O priorities"#,
            ),
            (r#"{"class": "IOPRIO_CLASS_BE", "priority": 8}"#, "priority: 8 is not between 0 and 7"),
            (r#"{"class": "IOPRIO_CLASS_BE", "priority": -1}"#, "priority: -1 is not between 0 and 7"),
        ] {
            assert_eq!(compile(json).unwrap_err().to_string(), format!("process.ioPriority.{text}"));
        }
        for json in [r#"{"priority": 0}"#, r#"{"class": "IOPRIO_CLASS_BE"}"#] {
            assert!(serde_json::from_str::<IoPriority>(json).is_err(), "{json}");
        }
    }
}
