//! `process.execCPUAffinity`: the processors of a process that `exec` adds, before and after it enters
//! the container's cgroup.
//!
//! Runs in: both · config.md "Linux Process" (CFG-39 … CFG-41)
//!
//! A container with processors of its own is not disturbed by what comes before. It does not
//! apply to init; `create` only checks it.

use crate::error::{For as _, On as _, Property, Result};
use crate::spec::config::ExecCpuAffinity;
use crate::spec::list;
use crate::sys::sched;

const PROPERTY: Property = Property::of("process.execCPUAffinity");

/// Far more than any kernel is built for (NR_CPUS is 8192 at most).
const MOST_CPUS: usize = 1 << 16;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    initial: Vec<u64>,
    last: Vec<u64>,
}

/// The parent's own processors, left for the sake of its child.
#[derive(Debug)]
pub(crate) struct Detour(Vec<u64>);

impl Detour {
    pub(crate) fn back(self) -> Result<()> {
        sched::set_affinity(&self.0).on("orlop")
    }
}

impl Plan {
    pub(super) fn compile(affinity: &ExecCpuAffinity) -> Result<Self> {
        let cpus = |field: &'static str, list: &Option<String>| {
            list::bits(list.as_deref().unwrap_or_default(), "CPU", MOST_CPUS, PROPERTY.field(field))
        };
        Ok(Self { initial: cpus("initial", &affinity.initial)?, last: cpus("final", &affinity.last)? })
    }

    /// Parent: where its child is to begin.
    pub(super) fn begin(&self) -> Result<Option<Detour>> {
        if self.initial.is_empty() {
            return Ok(None);
        }
        let own = sched::affinity().on("orlop")?;
        sched::set_affinity(&self.initial).property(PROPERTY.field("initial"))?;
        Ok(Some(Detour(own)))
    }

    /// The process, once in the cgroup. Without a list it is the kernel's decision: since Linux 6.2 what
    /// it was asked for before stays in force.
    pub(super) fn go_on(&self) -> Result<()> {
        if self.last.is_empty() { Ok(()) } else { sched::set_affinity(&self.last).property(PROPERTY.field("final")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap())
    }

    /// CFG-40, CFG-41
    #[test]
    fn lists_of_processors() {
        assert_eq!(compile(r#"{"initial": "0-1", "final": "3"}"#).unwrap(), Plan { initial: vec![3], last: vec![8] });
        assert_eq!(compile(r#"{"final": ""}"#).unwrap(), Plan { initial: vec![], last: vec![] });
        for (json, text) in [
            (r#"{"initial": "x"}"#, r#"initial: "x" is not a list of CPUs such as 0-3,7"#),
            (r#"{"final": "65536"}"#, "final: there is no CPU 65536"),
        ] {
            assert_eq!(compile(json).unwrap_err().to_string(), format!("process.execCPUAffinity.{text}"));
        }
    }

    #[test]
    fn the_caller_keeps_its_processors() {
        let own = sched::affinity().unwrap();
        let first = own.iter().position(|word| *word != 0).unwrap();
        let mut one = vec![0; first + 1];
        one[first] = 1 << own[first].trailing_zeros();
        let plan = Plan { initial: one.clone(), last: Vec::new() };
        let detour = plan.begin().unwrap().unwrap();
        assert_eq!(sched::affinity().unwrap()[..=first], one);
        detour.back().unwrap();
        assert_eq!(sched::affinity().unwrap(), own);
        let nowhere = Plan { initial: vec![0; 2], last: Vec::new() };
        assert!(nowhere.begin().unwrap_err().to_string().contains("execCPUAffinity.initial"));
    }
}
