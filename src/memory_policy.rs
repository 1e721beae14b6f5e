//! linux.memoryPolicy: on which NUMA nodes the container's memory is allocated.
//!
//! Runs in: both (compile in parent, apply in init) · config-linux.md#memory-policy,
//! LNX-122…LNX-124, set_mempolicy(2)
//!
//! The policy is of a process, and what it starts inherits it. It is set once init is in its cgroup:
//! nodes are checked against, and relative to, those that its cpuset allows.

use crate::error::{For as _, On as _, Property, Result};
use crate::spec::config::MemoryPolicy;
use crate::spec::list;
use crate::sys::mempolicy::set_mempolicy;

const PROPERTY: Property = Property::of("linux.memoryPolicy");
const NODES: Property = PROPERTY.field("nodes");
const FLAGS: Property = PROPERTY.field("flags");

const DEFAULT: i32 = 0;
const PREFERRED: i32 = 1;
const BIND: i32 = 2;
const LOCAL: i32 = 4;
const PREFERRED_MANY: i32 = 5;

/// By the numbers of linux/mempolicy.h.
const MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", DEFAULT),
    ("MPOL_PREFERRED", PREFERRED),
    ("MPOL_BIND", BIND),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", LOCAL),
    ("MPOL_PREFERRED_MANY", PREFERRED_MANY),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

const NUMA_BALANCING: i32 = 1 << 13;
const RELATIVE_NODES: i32 = 1 << 14;
const STATIC_NODES: i32 = 1 << 15;

const FLAG_NAMES: [(&str, i32); 3] = [
    ("MPOL_F_NUMA_BALANCING", NUMA_BALANCING),
    ("MPOL_F_RELATIVE_NODES", RELATIVE_NODES),
    ("MPOL_F_STATIC_NODES", STATIC_NODES),
];

/// As many as Linux can be built for.
const MOST_NODES: usize = 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// As written, for messages.
    name: &'static str,
    mode: i32,
    flags: i32,
    /// Bit n is node n; empty if there is none.
    nodes: Vec<u64>,
}

/// What `features` lists.
pub(crate) fn modes() -> impl Iterator<Item = &'static str> {
    MODES.iter().map(|(name, _)| *name)
}

pub(crate) fn flags() -> impl Iterator<Item = &'static str> {
    FLAG_NAMES.iter().map(|(name, _)| *name)
}

impl Plan {
    pub(crate) fn compile(policy: &MemoryPolicy) -> Result<Self> {
        let (name, mode) = MODES
            .into_iter()
            .find(|(name, _)| *name == policy.mode)
            .ok_or_else(|| PROPERTY.field("mode").invalid(format!("{:?} is not a mode", policy.mode)))?;
        let mut flags = 0;
        for written in &policy.flags {
            let known = FLAG_NAMES.into_iter().find(|(name, _)| name == written);
            flags |= known.ok_or_else(|| FLAGS.invalid(format!("{written:?} is not a flag")))?.1;
        }
        let plan = Self {
            name,
            mode,
            flags,
            nodes: list::bits(policy.nodes.as_deref().unwrap_or_default(), "node", MOST_NODES, NODES)?,
        };
        plan.check()?;
        Ok(plan)
    }

    /// What no kernel takes together.
    fn check(&self) -> Result<()> {
        let (name, given) = (self.name, |flags| self.flags & flags != 0);
        let none = self.nodes.is_empty();
        if given(STATIC_NODES) && given(RELATIVE_NODES) {
            return Err(FLAGS.invalid("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other"));
        }
        if given(NUMA_BALANCING) && ![BIND, PREFERRED_MANY].contains(&self.mode) {
            return Err(FLAGS.invalid(format!("MPOL_F_NUMA_BALANCING does not go with {name}")));
        }
        let about_nodes = given(STATIC_NODES | RELATIVE_NODES);
        match self.mode {
            DEFAULT | LOCAL if !none => Err(NODES.invalid(format!("{name} takes none"))),
            // Without nodes it is local allocation.
            LOCAL | PREFERRED if none && about_nodes => {
                Err(FLAGS.invalid(format!("{name} without nodes takes no flag about nodes")))
            }
            DEFAULT | LOCAL | PREFERRED => Ok(()),
            _ if none => Err(NODES.invalid(format!("{name} needs at least one"))),
            _ => Ok(()),
        }
    }

    /// Init, in its cgroup.
    pub(crate) fn apply(&self) -> Result<()> {
        set_mempolicy(self.mode | self.flags, &self.nodes).on(self.name).property(PROPERTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Plan> {
        Plan::compile(&serde_json::from_str(json).unwrap())
    }

    /// LNX-122, LNX-123, LNX-124
    #[test]
    fn modes_flags_and_nodes() {
        let all = ["MPOL_F_NUMA_BALANCING", "MPOL_F_STATIC_NODES"];
        let plan = compile(&format!(r#"{{"mode": "MPOL_BIND", "nodes": "0-2, 5,64", "flags": {all:?}}}"#)).unwrap();
        assert_eq!((plan.mode, plan.flags), (2, 0xa000));
        assert_eq!(plan.nodes, [0b10_0111, 1]);
        for (name, number) in MODES {
            let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&name) { "" } else { "1" };
            let plan = compile(&format!(r#"{{"mode": "{name}", "nodes": "{nodes}"}}"#)).unwrap();
            assert_eq!((plan.mode, plan.flags), (number, 0), "{name}");
        }
        assert!(compile(r#"{"mode": "MPOL_PREFERRED"}"#).unwrap().nodes.is_empty());
    }

    /// LNX-122, LNX-123, LNX-124
    #[test]
    fn refusals() {
        for (json, text) in [
            (r#"{"mode": "MPOL_X"}"#, r#"mode: "MPOL_X" is not a mode"#),
            (r#"{"mode": "MPOL_BIND", "flags": ["X"]}"#, r#"flags: "X" is not a flag"#),
            (r#"{"mode": "MPOL_BIND", "nodes": ""}"#, "nodes: MPOL_BIND needs at least one"),
            (r#"{"mode": "MPOL_WEIGHTED_INTERLEAVE"}"#, "nodes: MPOL_WEIGHTED_INTERLEAVE needs at least one"),
            (r#"{"mode": "MPOL_DEFAULT", "nodes": "0"}"#, "nodes: MPOL_DEFAULT takes none"),
            (r#"{"mode": "MPOL_LOCAL", "nodes": "0"}"#, "nodes: MPOL_LOCAL takes none"),
            (
                r#"{"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"]}"#,
                "flags: MPOL_LOCAL without nodes takes no flag about nodes",
            ),
            (
                r#"{"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_RELATIVE_NODES"]}"#,
                "flags: MPOL_PREFERRED without nodes takes no flag about nodes",
            ),
            (
                r#"{"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}"#,
                "flags: MPOL_F_NUMA_BALANCING does not go with MPOL_INTERLEAVE",
            ),
            (
                r#"{"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}"#,
                "flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other",
            ),
            (r#"{"mode": "MPOL_BIND", "nodes": "1024"}"#, "nodes: there is no node 1024"),
            (r#"{"mode": "MPOL_BIND", "nodes": "3-1"}"#, r#"nodes: "3-1" is not a list of nodes such as 0-3,7"#),
            (r#"{"mode": "MPOL_BIND", "nodes": "0,"}"#, r#"nodes: "0," is not a list of nodes such as 0-3,7"#),
        ] {
            assert_eq!(compile(json).unwrap_err().to_string(), format!("linux.memoryPolicy.{text}"), "{json}");
        }
        assert!(serde_json::from_str::<MemoryPolicy>(r#"{"nodes": "0"}"#).is_err());
    }
}
