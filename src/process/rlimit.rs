//! `process.rlimits`: resource limits of the container's process.
//!
//! Runs in: both · config.md "POSIX process" (CFG-18 … CFG-23)
//!
//! Hard limits above our own are raised by the parent, on itself, before the clone: init inherits
//! them, also into a user namespace where it could not raise anything. The rest is lowering, which
//! needs no privilege, and is done by init last, so that no limit hinders the set-up or the wait for
//! `start` (which takes a descriptor).

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::error::{Error, Meaning, Property, Result};
use crate::spec::config;
use crate::sys::{Call as _, Error as SysError, waiter};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    property: Property,
    resource: Resource,
    soft: u64,
    hard: u64,
}

/// Every limit of the kernel, by the name the configuration uses.
const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::RLIMIT_AS),
    ("RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("RLIMIT_CPU", Resource::RLIMIT_CPU),
    ("RLIMIT_DATA", Resource::RLIMIT_DATA),
    ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
    ("RLIMIT_RSS", Resource::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", Resource::RLIMIT_RTTIME),
    ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", Resource::RLIMIT_STACK),
];

fn name(resource: Resource) -> &'static str {
    RESOURCES.iter().find(|(_, known)| *known == resource).map_or("", |(name, _)| name)
}

pub(crate) fn compile(rlimits: &[config::Rlimit]) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::with_capacity(rlimits.len());
    for (index, rlimit) in rlimits.iter().enumerate() {
        let property = Property::at("process.rlimits", index);
        let kind = rlimit.kind.as_str();
        let Some((_, resource)) = RESOURCES.iter().find(|(name, _)| *name == kind) else {
            return Err(property.field("type").invalid(format!("{kind:?} is not a resource limit")));
        };
        if steps.iter().any(|step| step.resource == *resource) {
            return Err(property.field("type").invalid(format!("{kind} is given twice")));
        }
        let (soft, hard) = (rlimit.soft, rlimit.hard);
        if soft > hard {
            return Err(property.invalid(format!("{kind}: the soft limit {soft} is above the hard limit {hard}")));
        }
        steps.push(Step { property, resource: *resource, soft, hard });
    }
    Ok(steps)
}

/// Parent, before the clone: raises the hard limits that are below the configured ones.
pub(crate) fn raise(steps: &[Step]) -> Result<()> {
    for step in steps {
        let (soft, hard) = getrlimit(step.resource).call("getrlimit").map_err(|error| step.failed(error, ""))?;
        if step.hard > hard {
            setrlimit(step.resource, soft, step.hard).call("setrlimit").map_err(|error| {
                let (from, to) = (show(hard), show(step.hard));
                step.failed(error, &format!(" (raising the hard limit from {from} to {to} needs CAP_SYS_RESOURCE)"))
            })?;
        }
    }
    Ok(())
}

/// Init: the exact values.
pub(super) fn apply(steps: &[Step]) -> Result<()> {
    for step in steps {
        setrlimit(step.resource, step.soft, step.hard).call("setrlimit").map_err(|error| step.failed(error, ""))?;
    }
    Ok(())
}

impl Step {
    /// For an init that is the small program by then.
    pub(super) fn for_waiter<'a>(&self, name: &'a str) -> waiter::Limit<'a> {
        waiter::Limit { resource: self.resource as u32, soft: self.soft, hard: self.hard, name }
    }

    /// How the error begins that it then says.
    pub(super) fn refusal(&self) -> String {
        format!("{}: {}: setrlimit: ", self.property, name(self.resource))
    }

    fn failed(&self, error: SysError, hint: &str) -> Error {
        let (name, call, meaning) = (name(self.resource), error.call, Meaning(error.errno));
        self.property.invalid(format!("{name}: {call}: {meaning}{hint}"))
    }
}

fn show(limit: u64) -> String {
    if limit == RLIM_INFINITY { "unlimited".to_owned() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile_json(json: &str) -> Result<Vec<Step>> {
        compile(&serde_json::from_str::<Vec<config::Rlimit>>(json).unwrap())
    }

    /// CFG-18, CFG-21, CFG-22
    #[test]
    fn limits_are_taken_as_written() {
        let steps = compile_json(
            r#"[{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}]"#,
        )
        .unwrap();
        assert_eq!((steps[0].resource, steps[0].soft, steps[0].hard), (Resource::RLIMIT_NOFILE, 10, 20));
        assert_eq!((steps[1].soft, steps[1].hard), (0, RLIM_INFINITY));
    }

    /// CFG-19, CFG-23
    #[test]
    fn wrong_limits_are_refused() {
        for (json, message) in [
            (
                r#"[{"type": "RLIMIT_TEST", "soft": 1, "hard": 1}]"#,
                r#"process.rlimits[0].type: "RLIMIT_TEST" is not a resource limit"#,
            ),
            (
                r#"[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]"#,
                "process.rlimits[1].type: RLIMIT_CPU is given twice",
            ),
            (
                r#"[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]"#,
                "process.rlimits[0]: RLIMIT_CPU: the soft limit 2 is above the hard limit 1",
            ),
        ] {
            assert_eq!(compile_json(json).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn every_limit_of_this_kernel_is_known() {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        assert_eq!(limits.lines().count() - 1, RESOURCES.len());
    }

    #[test]
    fn raising_names_limit_and_capability() {
        let step = &compile_json(r#"[{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]"#).unwrap()[0];
        let error = SysError { call: "setrlimit", errno: nix::errno::Errno::EPERM };
        assert_eq!(
            step.failed(error, " (why)").to_string(),
            "process.rlimits[0]: RLIMIT_NOFILE: setrlimit: EPERM: operation not permitted (why)"
        );
    }
}
