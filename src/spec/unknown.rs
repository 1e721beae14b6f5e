//! Properties that the specification does not have: most are misspelt.
//!
//! Runs in: parent · config.md#extensibility (VAL-01, VAL-02)
//!
//! They are ignored, as they must be, and named at the log level `info`. The list of what there is is
//! looked at for nothing else.

use serde_json::Value;

use super::position::{escape, property};

/// The properties of each object that the specification describes. `[]` stands for an index, `{}` for a
/// name that the configuration chooses. Objects that are not here, such as those of other platforms,
/// may hold anything.
const PROPERTIES: &[(&str, &str)] = &[
    ("", "ociVersion root mounts process hostname domainname hooks annotations linux windows solaris freebsd vm zos"),
    ("root", "path readonly"),
    ("mounts[]", "destination type source options uidMappings gidMappings"),
    ("mounts[].uidMappings[]", ID_MAPPING),
    ("mounts[].gidMappings[]", ID_MAPPING),
    (
        "process",
        "terminal consoleSize user args commandLine env cwd capabilities rlimits noNewPrivileges apparmorProfile \
         oomScoreAdj scheduler selinuxLabel ioPriority execCPUAffinity",
    ),
    ("process.consoleSize", "height width"),
    ("process.user", "uid gid umask additionalGids username"),
    ("process.capabilities", "bounding effective inheritable permitted ambient"),
    ("process.rlimits[]", "type soft hard"),
    ("process.scheduler", "policy nice priority flags runtime deadline period"),
    ("process.ioPriority", "class priority"),
    ("process.execCPUAffinity", "initial final"),
    ("hooks", "prestart createRuntime createContainer startContainer poststart poststop"),
    ("hooks.prestart[]", HOOK),
    ("hooks.createRuntime[]", HOOK),
    ("hooks.createContainer[]", HOOK),
    ("hooks.startContainer[]", HOOK),
    ("hooks.poststart[]", HOOK),
    ("hooks.poststop[]", HOOK),
    (
        "linux",
        "namespaces uidMappings gidMappings timeOffsets devices netDevices cgroupsPath resources intelRdt \
         memoryPolicy sysctl seccomp rootfsPropagation maskedPaths readonlyPaths mountLabel personality",
    ),
    ("linux.namespaces[]", "type path"),
    ("linux.uidMappings[]", ID_MAPPING),
    ("linux.gidMappings[]", ID_MAPPING),
    ("linux.timeOffsets", "monotonic boottime"),
    ("linux.timeOffsets.monotonic", "secs nanosecs"),
    ("linux.timeOffsets.boottime", "secs nanosecs"),
    ("linux.devices[]", "type path major minor fileMode uid gid"),
    ("linux.netDevices.{}", "name"),
    ("linux.intelRdt", "closID schemata l3CacheSchema memBwSchema enableMonitoring"),
    ("linux.memoryPolicy", "mode nodes flags"),
    ("linux.seccomp", "defaultAction defaultErrnoRet architectures flags listenerPath listenerMetadata syscalls"),
    ("linux.seccomp.syscalls[]", "names action errnoRet args"),
    ("linux.seccomp.syscalls[].args[]", "index value valueTwo op"),
    ("linux.personality", "domain flags"),
    ("linux.resources", "devices memory cpu pids blockIO hugepageLimits network rdma unified"),
    ("linux.resources.devices[]", "allow type major minor access"),
    (
        "linux.resources.memory",
        "limit reservation swap kernel kernelTCP swappiness disableOOMKiller useHierarchy checkBeforeUpdate",
    ),
    ("linux.resources.cpu", "shares quota burst period realtimeRuntime realtimePeriod cpus mems idle"),
    ("linux.resources.pids", "limit"),
    (
        "linux.resources.blockIO",
        "weight leafWeight weightDevice throttleReadBpsDevice throttleWriteBpsDevice throttleReadIOPSDevice \
         throttleWriteIOPSDevice",
    ),
    ("linux.resources.blockIO.weightDevice[]", "major minor weight leafWeight"),
    ("linux.resources.blockIO.throttleReadBpsDevice[]", THROTTLE),
    ("linux.resources.blockIO.throttleWriteBpsDevice[]", THROTTLE),
    ("linux.resources.blockIO.throttleReadIOPSDevice[]", THROTTLE),
    ("linux.resources.blockIO.throttleWriteIOPSDevice[]", THROTTLE),
    ("linux.resources.hugepageLimits[]", "pageSize limit"),
    ("linux.resources.network", "classID priorities"),
    ("linux.resources.network.priorities[]", "name priority"),
    ("linux.resources.rdma.{}", "hcaHandles hcaObjects"),
];

const ID_MAPPING: &str = "containerID hostID size";
const HOOK: &str = "path args env timeout";
const THROTTLE: &str = "major minor rate";

/// Logs every unknown property of a configuration, if anybody wants to know.
pub(crate) fn report(text: &[u8]) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let config = serde_json::from_slice(text).unwrap_or_default();
    visit(&config, &mut |pointer, hint| {
        let path = property(pointer);
        match hint {
            Some(hint) => log::info!("config.json: {path}: unknown property, ignored; did you mean {hint}?"),
            None => log::info!("config.json: {path}: unknown property, ignored"),
        }
    });
}

/// Calls `found` for each unknown property with a JSON pointer and perhaps the name of one that is like it.
pub(crate) fn visit(config: &Value, found: &mut dyn FnMut(&str, Option<&str>)) {
    descend(config, "", "", found);
}

/// `pattern` is the path as [`PROPERTIES`] has it.
fn descend(value: &Value, pointer: &str, pattern: &str, found: &mut dyn FnMut(&str, Option<&str>)) {
    match value {
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                descend(inner, &format!("{pointer}/{index}"), &format!("{pattern}[]"), found);
            }
        }
        Value::Object(members) => {
            let known = PROPERTIES.iter().find(|(object, _)| *object == pattern).map(|(_, names)| *names);
            for (name, inner) in members {
                let pointer = format!("{pointer}/{}", escape(name));
                match known {
                    Some(names) if !names.split(' ').any(|known| known == name) => {
                        found(&pointer, nearest(name, names));
                    }
                    Some(_) => descend(inner, &pointer, &join(pattern, name), found),
                    None => descend(inner, &pointer, &join(pattern, "{}"), found),
                }
            }
        }
        _ => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The name that differs least, in case or in up to a third of its letters.
fn nearest<'a>(name: &str, known: &'a str) -> Option<&'a str> {
    let distances = known.split(' ').map(|known| (distance(&name.to_lowercase(), &known.to_lowercase()), known));
    let (distance, nearest) = distances.min()?;
    (distance <= (nearest.len() / 3).clamp(1, 3)).then_some(nearest)
}

/// How many letters have to be added, taken away, replaced or exchanged with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use serde::de::{Deserialize as _, Deserializer, Error as _, Visitor, value};

    use super::*;
    use crate::spec::config;

    fn unknown(json: &str) -> Vec<(String, Option<String>)> {
        let mut all = Vec::new();
        visit(&serde_json::from_str(json).unwrap(), &mut |pointer, hint| {
            all.push((property(pointer), hint.map(str::to_owned)));
        });
        all
    }

    /// VAL-01
    #[test]
    fn misspelt_properties_have_a_path_and_a_suggestion() {
        for (json, path, hint) in [
            (r#"{"hostName": "x"}"#, "hostName", Some("hostname")),
            (r#"{"linux": {"maskedPath": []}}"#, "linux.maskedPath", Some("maskedPaths")),
            (r#"{"mounts": [{}, {"optoins": []}]}"#, "mounts[1].optoins", Some("options")),
            (r#"{"linux": {"seccomp": {"syscalls": [{"arsg": 1}]}}}"#, "linux.seccomp.syscalls[0].arsg", Some("args")),
            (r#"{"linux": {"netDevices": {"eth0": {"nam": 1}}}}"#, "linux.netDevices.eth0.nam", Some("name")),
            (r#"{"process": {"noNewPrivs": true}}"#, "process.noNewPrivs", None),
            (r#"{"orgExampleOwn": {"anything": {}}}"#, "orgExampleOwn", None),
        ] {
            assert_eq!(unknown(json), [(path.to_owned(), hint.map(str::to_owned))], "{json}");
        }
    }

    #[test]
    fn names_that_the_configuration_chooses_are_no_properties() {
        let json = r#"{"annotations": {"hostName": "x"}, "linux": {"sysctl": {"net.x": "1"}, "netDevices": {"a": {}},
            "resources": {"unified": {"x": "y"}, "rdma": {"mlx5": {"hcaHandles": 1}}}}, "windows": {"x": {"y": 1}},
            "vm": {"x": 1}}"#;
        assert_eq!(unknown(json), []);
    }

    /// The fields that serde asks for when it reads a `T`.
    struct Fields(Vec<&'static str>);

    impl<'de> Deserializer<'de> for &mut Fields {
        type Error = value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(value::Error::custom("no struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0 = fields.to_vec();
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    macro_rules! read_by {
        ($type:ty) => {{
            let mut fields = Fields(Vec::new());
            let _ = <$type>::deserialize(&mut fields);
            fields.0
        }};
    }

    /// What is read from a configuration is never called unknown.
    #[test]
    fn what_is_read_is_known() {
        for (object, fields) in [
            ("", read_by!(config::Config)),
            ("root", read_by!(config::Root)),
            ("mounts[]", read_by!(config::Mount)),
            ("mounts[].uidMappings[]", read_by!(config::IdMapping)),
            ("process", read_by!(config::Process)),
            ("process.consoleSize", read_by!(config::ConsoleSize)),
            ("process.user", read_by!(config::User)),
            ("process.capabilities", read_by!(config::Capabilities)),
            ("process.rlimits[]", read_by!(config::Rlimit)),
            ("hooks", read_by!(config::Hooks)),
            ("hooks.prestart[]", read_by!(oci_spec::runtime::Hook)),
            ("linux", read_by!(config::Linux)),
            ("linux.namespaces[]", read_by!(config::Namespace)),
            ("linux.devices[]", read_by!(config::Device)),
            ("linux.resources", read_by!(config::Resources)),
            ("linux.resources.devices[]", read_by!(config::DeviceRule)),
            ("linux.resources.pids", read_by!(config::Pids)),
            ("linux.resources.memory", read_by!(oci_spec::runtime::LinuxMemory)),
            ("linux.resources.cpu", read_by!(oci_spec::runtime::LinuxCpu)),
            ("linux.resources.blockIO", read_by!(oci_spec::runtime::LinuxBlockIo)),
        ] {
            let (_, known) = PROPERTIES.iter().find(|(name, _)| *name == object).unwrap();
            assert!(!fields.is_empty(), "{object}");
            for field in fields {
                assert!(known.split(' ').any(|name| name == field), "{object}: {field}");
            }
        }
    }
}
