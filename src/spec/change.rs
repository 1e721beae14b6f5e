//! `linux.resources` and `linux.intelRdt` as `update` changes them: what is given, what it becomes.
//!
//! Runs in: parent · config-linux.md#control-groups, `update`
//!
//! What a change does not name stays. It is merged as JSON, so that the kept configuration also
//! keeps what this version of orlop does not know.

use serde_json::value::RawValue;
use serde_json::{Map as Object, Value};

use super::config::{IntelRdt, Resources};
use super::map::Map;
use super::place;
use crate::error::{Error, Result};

/// What `update` was asked for.
#[derive(Debug)]
pub(crate) struct Change {
    /// An object like `linux.resources`, without what is not set in it.
    resources: Value,
    /// One like `linux.intelRdt`.
    rdt: Option<Value>,
}

/// A change and the resources before and after it.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    pub(crate) before: Resources,
    pub(crate) after: Resources,
    change: &'a Change,
}

impl Change {
    /// From the JSON of `--resources` or of the flags.
    pub(crate) fn new(mut resources: Value, rdt: Option<Value>) -> Result<Self> {
        if !resources.is_object() {
            return Err(Error::other("resources: not a JSON object"));
        }
        drop_unset(&mut resources, "");
        parse(&resources)?;
        Ok(Self { resources, rdt })
    }

    pub(crate) fn rdt(&self) -> Result<Option<IntelRdt>> {
        let parsed = self.rdt.as_ref().map(IntelRdt::deserialize).transpose();
        parsed.map_err(|error| Error::other(format!("linux.intelRdt: {error}")))
    }

    /// On its own: what it says about properties that nothing else depends on.
    pub(crate) fn resources(&self) -> Result<Resources> {
        parse(&self.resources)
    }

    /// The configuration's text with the change merged into its `linux.resources`, and both states of
    /// them. Device rules are left alone, as by runc: engines send a "deny all" with every update.
    pub(crate) fn merge(&self, config: &[u8]) -> Result<(Vec<u8>, Changed<'_>)> {
        let mut document = object(config)?;
        let mut linux =
            document.get("linux").map_or_else(|| Ok(Map::default()), |text| object(text.get().as_bytes()))?;
        let member = |name: &str| linux.get(name).map_or_else(|| Ok(Value::Null), |text| value(text.get().as_bytes()));
        let stored = member("resources")?;
        let mut rdt = member("intelRdt")?;
        let stored = if stored.is_object() { stored } else { Value::Object(Object::new()) };
        let mut merged = stored.clone();
        let mut change = self.resources.clone();
        if let Some(rules) = change.as_object_mut().and_then(|change| change.remove("devices"))
            && rules != Value::Array(vec![serde_json::json!({"allow": false, "access": "rwm"})])
            && Some(&rules) != stored.get("devices")
        {
            log::warn!("linux.resources.devices stays as it is: update does not change device rules");
        }
        merge(&mut merged, change);
        let changed = Changed { before: parse(&stored)?, after: parse(&merged)?, change: self };
        if let Some(change) = &self.rdt {
            merge(&mut rdt, change.clone());
            linux.set("intelRdt", raw(&rdt)?);
        }
        linux.set("resources", raw(&merged)?);
        document.set("linux", raw(&linux)?);
        let text = serde_json::to_vec(&document).map_err(|error| Error::other(error.to_string()))?;
        Ok((text, changed))
    }
}

impl Changed<'_> {
    /// Whether the change names a property: `cpu.shares`, `unified.io.max`.
    pub(crate) fn names(&self, property: &str) -> bool {
        let mut value = &self.change.resources;
        let mut rest = property;
        while let Some((name, inner)) = rest.split_once('.') {
            match value.get(name) {
                // The names in `unified` have dots of their own.
                Some(found) if name == "unified" => return found.get(inner).is_some(),
                Some(found) => (value, rest) = (found, inner),
                None => return false,
            }
        }
        value.get(rest).is_some()
    }
}

fn object(text: &[u8]) -> Result<Map<Box<RawValue>>> {
    serde_json::from_slice(text).map_err(|error| Error::other(format!("config.json: {error}")))
}

fn value(text: &[u8]) -> Result<Value> {
    serde_json::from_slice(text).map_err(|error| Error::other(format!("config.json: {error}")))
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value).map_err(|error| Error::other(error.to_string()))
}

fn parse(value: &Value) -> Result<Resources> {
    let text = value.to_string();
    serde_json::from_slice(text.as_bytes()).map_err(|error| {
        let (path, reason) = (place::path(text.as_bytes(), &error), place::reason(&error));
        Error::other(format!("linux.resources.{path}: {reason}"))
    })
}

/// `null`, empty lists, and the zeros and empty strings that Go programs write for "not set".
fn drop_unset(value: &mut Value, path: &str) {
    let Value::Object(members) = value else { return };
    members.retain(|name, member| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        drop_unset(member, &path);
        match member {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Number(number) => number.as_i64() != Some(0) || !ZERO_IS_UNSET.contains(&path.as_str()),
            Value::String(text) => !text.is_empty() || !ZERO_IS_UNSET.contains(&path.as_str()),
            _ => true,
        }
    });
}

/// In the others 0 is a value: no swapping, no burst, not idle, no processes.
const ZERO_IS_UNSET: [&str; 15] = [
    "memory.limit",
    "memory.reservation",
    "memory.swap",
    "memory.kernel",
    "memory.kernelTCP",
    "cpu.shares",
    "cpu.quota",
    "cpu.period",
    "cpu.realtimeRuntime",
    "cpu.realtimePeriod",
    "cpu.cpus",
    "cpu.mems",
    "blockIO.weight",
    "blockIO.leafWeight",
    "network.classID",
];

/// Members replace those of the same name; so do list entries about the same thing.
fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(change)) => {
            for item in change {
                match into.iter_mut().find(|known| subject(known) == subject(&item)) {
                    Some(known) => merge(known, item),
                    None => into.push(item),
                }
            }
        }
        (into, change) => *into = change,
    }
}

/// What an entry of `hugepageLimits`, `network.priorities` or one of `blockIO`'s lists is about.
fn subject(item: &Value) -> [Option<&Value>; 4] {
    ["pageSize", "name", "major", "minor"].map(|name| item.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"ociVersion":"1.3.0","x": [1, 2],"linux":{"seccomp":{ "a" :1},"resources":{
        "devices":[{"allow":false}],"memory":{"limit":100,"swap":200,"x":1},"cpu":{"shares":5},
        "hugepageLimits":[{"pageSize":"2MB","limit":1},{"pageSize":"1GB","limit":2}],
        "unified":{"io.max":"8:0 rbps=1"}},"cgroupsPath":"/a"}}"#;

    fn change(json: &str) -> Change {
        Change::new(serde_json::from_str(json).unwrap(), None).unwrap()
    }

    fn merged(json: &str) -> Value {
        let change = change(json);
        let (text, _) = change.merge(CONFIG.as_bytes()).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["linux"]["resources"].take()
    }

    #[test]
    fn only_the_resources_change() {
        let change = change(r#"{"memory": {"limit": 150}}"#);
        let (text, changed) = change.merge(CONFIG.as_bytes()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (before, rest) = text.split_once(r#""resources":"#).unwrap();
        assert_eq!(before, r#"{"ociVersion":"1.3.0","x":[1, 2],"linux":{"seccomp":{ "a" :1},"#);
        assert!(rest.ends_with(r#","cgroupsPath":"/a"}}"#), "{rest}");
        assert!(rest.contains(r#""memory":{"limit":150,"swap":200,"x":1}"#), "{rest}");
        assert_eq!(changed.before.memory.unwrap().limit(), Some(100));
        assert_eq!(changed.after.memory.unwrap().limit(), Some(150));
    }

    #[test]
    fn what_is_unset_changes_nothing() {
        let unset = r#"{"memory": {"limit": 0, "swap": null}, "cpu": {"shares": 0, "cpus": ""}, "hugepageLimits": [],
                        "pids": null, "blockIO": {"weight": 0}, "devices": [{"allow": false, "access": "rwm"}]}"#;
        let before: Value = serde_json::from_str(CONFIG).unwrap();
        let after = merged(unset);
        assert_eq!(after["memory"], before["linux"]["resources"]["memory"]);
        assert_eq!(after["cpu"], before["linux"]["resources"]["cpu"]);
        assert_eq!(after["devices"], before["linux"]["resources"]["devices"]);
        // LNX-93
        assert_eq!(merged(r#"{"pids": {"limit": 0}}"#)["pids"]["limit"], 0);
        assert_eq!(merged(r#"{"cpu": {"idle": 0}}"#)["cpu"], serde_json::json!({"shares": 5, "idle": 0}));
    }

    #[test]
    fn entries_of_lists_are_found_by_what_they_are_about() {
        assert_eq!(
            merged(r#"{"hugepageLimits": [{"pageSize": "1GB", "limit": 7}, {"pageSize": "64KB", "limit": 8}]}"#)["hugepageLimits"],
            serde_json::json!([{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 7}, {"pageSize": "64KB", "limit": 8}])
        );
        assert_eq!(
            merged(r#"{"unified": {"pids.max": "5"}}"#)["unified"],
            serde_json::json!({"io.max": "8:0 rbps=1", "pids.max": "5"})
        );
    }

    #[test]
    fn what_a_change_names() {
        let change = change(r#"{"memory": {"limit": 1, "swap": 0}, "unified": {"io.max": "a"}, "rdma": {"m": {}}}"#);
        let (_, changed) = change.merge(CONFIG.as_bytes()).unwrap();
        for name in ["memory.limit", "unified.io.max", "rdma"] {
            assert!(changed.names(name), "{name}");
        }
        for name in ["memory.swap", "cpu.shares", "unified.io", "pids.limit", "devices"] {
            assert!(!changed.names(name), "{name}");
        }
    }

    #[test]
    fn values_of_a_wrong_type_name_their_property() {
        let error = |json: &str| Change::new(serde_json::from_str(json).unwrap(), None).unwrap_err().to_string();
        assert!(error(r#"{"memory": {"limit": "1G"}}"#).starts_with("linux.resources.memory.limit: invalid type"));
        assert_eq!(error("[]"), "resources: not a JSON object");
    }

    #[test]
    fn a_configuration_without_resources_gets_some() {
        for config in [r#"{"ociVersion":"1.3.0"}"#, r#"{"linux":{"resources":null}}"#] {
            let (text, _) = change(r#"{"pids": {"limit": 3}}"#).merge(config.as_bytes()).map(|(t, _)| (t, ())).unwrap();
            assert!(String::from_utf8(text).unwrap().contains(r#""linux":{"resources":{"pids":{"limit":3}}}"#));
        }
    }
}
