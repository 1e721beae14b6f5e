//! `linux.resources.network`: the class of a container's packets, and their priority by interface.
//!
//! Runs in: parent · config-linux.md#network (LNX-91, LNX-92), kernel documentation cgroup-v1/net_cls,
//! net_prio
//!
//! v2 has neither: there, packets are told apart by BPF programs and by the cgroup match of nftables.

use super::resources::given;
use super::{Version, Write, v2};
use crate::error::{Property, Result};
use crate::spec::config::{InterfacePriority, Network};

const CLASS: Property = Property::of("linux.resources.network.classID");
const PRIORITIES: Property = Property::of("linux.resources.network.priorities");

pub(super) fn compile(config: &Network, version: Version, writes: &mut Vec<Write>) -> Result<()> {
    // 0 is no class.
    let class = given(config.class_id);
    if version == Version::V2 {
        return match (class, config.priorities.as_slice()) {
            (Some(_), _) => Err(v2::v1_only(CLASS)),
            (None, []) => Ok(()),
            (None, _) => Err(v2::v1_only(PRIORITIES)),
        };
    }
    writes.extend(class.map(|class| Write::new("net_cls.classid", class, CLASS)));
    for (index, InterfacePriority { name, priority }) in config.priorities.iter().enumerate() {
        let at = Property::at("linux.resources.network.priorities", index);
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(at.field("name").invalid(format!("{name:?} is not the name of a network interface")));
        }
        writes.push(Write::new("net_prio.ifpriomap", format!("{name} {priority}"), at));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, v1, v2, writes};

    /// LNX-91, LNX-92, LNX-98
    #[test]
    fn class_and_priorities() {
        let class = r#"{"network": {"classID": 1048577}}"#;
        let priorities =
            r#"{"network": {"priorities": [{"name": "lo", "priority": 0}, {"name": "eth0", "priority": 7}]}}"#;
        assert_eq!(writes(&v1(), class), ["net_cls.classid=1048577"]);
        assert_eq!(writes(&v1(), priorities), ["net_prio.ifpriomap=lo 0", "net_prio.ifpriomap=eth0 7"]);
        assert!(error(&v2(), class).starts_with("linux.resources.network.classID: not supported: cgroup v1"));
        assert!(error(&v2(), priorities).starts_with("linux.resources.network.priorities: not supported: cgroup v1"));
        let bad = r#"{"network": {"priorities": [{"name": "a b", "priority": 0}]}}"#;
        assert!(error(&v1(), bad).starts_with("linux.resources.network.priorities[0].name: \"a b\" is not"));
    }
}
