//! linux.intelRdt: which share of the cache and of the memory's bandwidth a container has.
//!
//! Runs in: parent · config-linux.md#intelrdt, LNX-99…LNX-121, kernel documentation resctrl
//!
//! The kernel's interface is a file system: a directory is a class of service, with its limits in
//! `schemata` and its processes in `tasks`; one below its `mon_groups` counts without limiting. Here
//! is what the configuration wants; `group` makes it.

mod group;
mod update;

use std::path::{Path, PathBuf};

use crate::container::ContainerId;
use crate::error::{Property, Result};
use crate::mountinfo;
use crate::spec::config::IntelRdt;

pub(crate) use group::Record;

const PROPERTY: Property = Property::of("linux.intelRdt");

/// What resctrl itself has in a group's directory.
const RESERVED: [&str; 5] = [".", "..", "info", "mon_groups", "mon_data"];

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The directory of the class of service.
    group: PathBuf,
    /// `closID` is given: the group is somebody else's as well, and so not ours to remove.
    shared: bool,
    /// Lines for `schemata`, in their order; none, and the file is left alone (LNX-111).
    schemata: Vec<String>,
    /// The directory of the container's own monitoring group.
    monitor: Option<PathBuf>,
}

impl Plan {
    /// `root` says where resctrl is mounted, and is only asked once it matters (LNX-101).
    pub(crate) fn compile(
        rdt: &IntelRdt,
        id: &ContainerId,
        root: impl FnOnce() -> Result<Option<PathBuf>>,
    ) -> Result<Self> {
        let schemata = schemata(rdt)?;
        let class = rdt.clos_id.as_deref().filter(|class| !class.is_empty());
        if class != Some("/") {
            check_class(class.unwrap_or(id.as_str()))?;
        }
        let Some(root) = root()? else {
            return Err(PROPERTY.unsupported("resctrl, which is not mounted here"));
        };
        let group = match class {
            Some("/") => root,
            Some(class) => root.join(class),
            None => root.join(id.as_str()),
        };
        let monitor = rdt.enable_monitoring.then(|| group.join("mon_groups").join(id.as_str()));
        Ok(Self { group, shared: class.is_some(), schemata, monitor })
    }
}

/// Where this machine has it.
pub(crate) fn root() -> Result<Option<PathBuf>> {
    Ok(mountinfo::read()?.into_iter().find(|mount| mount.kind == "resctrl").map(|mount| mount.point))
}

/// One directory right below the root, and none that the kernel made.
fn check_class(class: &str) -> Result<()> {
    let is_name = Path::new(class).file_name().is_some_and(|name| name == class) && !class.contains(['\0', '\n']);
    if !is_name || RESERVED.contains(&class) {
        return Err(PROPERTY.field("closID").invalid(format!("{class:?} is not the name of a class of service")));
    }
    Ok(())
}

/// l3CacheSchema, memBwSchema, then what may say it all again (LNX-108…LNX-110).
fn schemata(rdt: &IntelRdt) -> Result<Vec<String>> {
    let given = |written: &Option<String>| written.clone().filter(|schema| !schema.is_empty());
    let mut lines = Vec::new();
    if let Some(schema) = given(&rdt.l3_cache_schema) {
        if !schema.starts_with("L3:") {
            log::warn!("{}: {schema:?} does not begin with \"L3:\"", PROPERTY.field("l3CacheSchema"));
        }
        // Two lines are how code and data were given their own parts before `schemata` came.
        lines.extend(schema.lines().map(str::to_owned));
    }
    if let Some(schema) = given(&rdt.mem_bw_schema) {
        let property = PROPERTY.field("memBwSchema");
        if !schema.starts_with("MB:") {
            return Err(property.invalid(format!("{schema:?} does not begin with \"MB:\"")));
        }
        lines.push(one_line(schema, property)?);
    }
    for (index, schema) in rdt.schemata.iter().enumerate() {
        lines.push(one_line(schema.clone(), Property::at("linux.intelRdt.schemata", index))?);
    }
    Ok(lines)
}

fn one_line(schema: String, property: Property) -> Result<String> {
    if schema.contains('\n') { Err(property.invalid(format!("{schema:?} is more than a line"))) } else { Ok(schema) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Result<Plan> {
        let id = ContainerId::new("box")?;
        Plan::compile(&serde_json::from_str(json).unwrap(), &id, || Ok(Some("/r".into())))
    }

    /// LNX-99, LNX-102, LNX-112, LNX-119
    #[test]
    fn groups_by_name() {
        let plan = compile("{}").unwrap();
        assert_eq!((plan.group.to_str(), plan.shared, plan.monitor), (Some("/r/box"), false, None));
        let plan = compile(r#"{"closID": "gold", "enableMonitoring": true}"#).unwrap();
        assert_eq!((plan.group.to_str(), plan.shared), (Some("/r/gold"), true));
        assert_eq!(plan.monitor.unwrap().to_str(), Some("/r/gold/mon_groups/box"));
        let plan = compile(r#"{"closID": "/", "enableMonitoring": true}"#).unwrap();
        assert_eq!((plan.group.to_str(), plan.shared), (Some("/r"), true));
        assert_eq!(plan.monitor.unwrap().to_str(), Some("/r/mon_groups/box"));
        assert!(!compile(r#"{"closID": ""}"#).unwrap().shared);
    }

    /// LNX-103, LNX-104, LNX-108…LNX-111 (the first two are SHOULDs for authors: a warning, and two lines)
    #[test]
    fn schemata_in_their_order() {
        let lines = |json: &str| compile(json).unwrap().schemata;
        let all = r#"{"schemata": ["L2:0=3", "MB:0=30"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f"}"#;
        assert_eq!(lines(all), ["L3:0=f", "MB:0=20", "L2:0=3", "MB:0=30"]);
        assert_eq!(lines(r#"{"memBwSchema": "MB:0=20"}"#), ["MB:0=20"]);
        assert_eq!(lines(r#"{"l3CacheSchema": "L3DATA:0=f\nL3CODE:0=3"}"#), ["L3DATA:0=f", "L3CODE:0=3"]);
        assert!(lines(r#"{"closID": "gold", "schemata": null, "memBwSchema": ""}"#).is_empty());
    }

    /// LNX-100, LNX-105, LNX-106, LNX-107
    #[test]
    fn refusals() {
        for (json, text) in [
            (r#"{"memBwSchema": "L3:0=f"}"#, r#"memBwSchema: "L3:0=f" does not begin with "MB:""#),
            (r#"{"memBwSchema": "MB:0=20\nL3:0=f"}"#, r#"memBwSchema: "MB:0=20\nL3:0=f" is more than a line"#),
            (r#"{"schemata": ["L3:0=f", "MB:0=20\n"]}"#, r#"schemata[1]: "MB:0=20\n" is more than a line"#),
            (r#"{"closID": "a/b"}"#, r#"closID: "a/b" is not the name of a class of service"#),
            (r#"{"closID": ".."}"#, r#"closID: ".." is not the name of a class of service"#),
            (r#"{"closID": "a/"}"#, r#"closID: "a/" is not the name of a class of service"#),
            (r#"{"closID": "mon_groups"}"#, r#"closID: "mon_groups" is not the name of a class of service"#),
        ] {
            assert_eq!(compile(json).unwrap_err().to_string(), format!("linux.intelRdt.{text}"));
        }
        let id = ContainerId::new("box").unwrap();
        let info = ContainerId::new("info").unwrap();
        assert!(Plan::compile(&serde_json::from_str("{}").unwrap(), &info, || Ok(Some("/r".into()))).is_err());
        let nowhere = Plan::compile(&serde_json::from_str("{}").unwrap(), &id, || Ok(None));
        assert_eq!(
            nowhere.unwrap_err().to_string(),
            "linux.intelRdt: not supported: resctrl, which is not mounted here"
        );
    }
}
