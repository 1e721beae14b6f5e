//! Thousands of configurations with mistakes: each is an error or a plan, never a panic.

use serde_json::Value;

use crate::fuzzing::{self, compile, hosts};

#[path = "../../tests/integration/harness/mutate.rs"]
mod mutate;

/// Every property there is, and what engines write.
const CONFIGS: [&str; 8] = [
    EVERYTHING,
    include_str!("../../tests/configs/containerd.json"),
    include_str!("../../tests/configs/containerd-cri.json"),
    include_str!("../../tests/configs/containerd-options.json"),
    include_str!("../../tests/configs/crio.json"),
    include_str!("../../tests/configs/docker.json"),
    include_str!("../../tests/configs/podman.json"),
    include_str!("../../tests/configs/podman-read-only.json"),
];
const EVERYTHING: &str = include_str!("../../tests/configs/everything.json");

/// VAL-03, RT-17, RT-46
#[test]
fn mutated_configurations() {
    let hosts = hosts();
    let (mut plans, mut errors) = (0, 0);
    for (index, text) in CONFIGS.iter().enumerate() {
        let config: Value = serde_json::from_str(&text.replace("rootfs\"", "src\"")).unwrap();
        for seed in 0..400 {
            let text = mutate::mutated(&config, seed * CONFIGS.len() as u64 + index as u64);
            let compiled = || compile(&text, &hosts[seed as usize % 2]).map(drop).map_err(|error| error.to_string());
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(compiled)) {
                Ok(Ok(())) => plans += 1,
                Ok(Err(error)) if !error.is_empty() => errors += 1,
                _ => panic!("configuration {index}, seed {seed}: {}", String::from_utf8_lossy(&text)),
            }
        }
    }
    assert_eq!(plans + errors, 3_200);
    // Neither a mutator that changes nothing nor one that spoils everything would show much.
    assert!(plans > 300 && errors > 1_000, "{plans} plans, {errors} errors");
}

/// VAL-03: what has to be an object is one, all over the configuration. (serde takes lists for structs,
/// an empty one where no member is required.)
#[test]
fn no_list_is_taken_for_an_object() {
    fn objects(value: &Value, path: &str, all: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                all.push(path.to_owned());
                members.iter().for_each(|(name, inner)| objects(inner, &format!("{path}/{name}"), all));
            }
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(index, inner)| objects(inner, &format!("{path}/{index}"), all));
            }
            _ => {}
        }
    }
    let config: Value = serde_json::from_str(EVERYTHING).unwrap();
    let mut paths = Vec::new();
    objects(&config, "", &mut paths);
    assert!(paths.len() > 60);
    for path in paths {
        let mut config = config.clone();
        *config.pointer_mut(&path).unwrap() = Value::Array(Vec::new());
        if path.starts_with("/linux/seccomp") {
            // It is parsed when it is compiled: after resources, which here are those of no single host,
            // and after a root directory has been looked for.
            config["linux"]["resources"] = Value::Null;
            config["root"]["path"] = "/".into();
        }
        let error = compile(config.to_string().as_bytes(), &hosts()[0]).unwrap_err().to_string();
        assert!(error.contains("invalid type: sequence"), "{path}: {error}");
    }
}

/// The parsers of files and messages, with the same mistakes: whatever they make of it, they return.
#[test]
fn other_parsers() {
    let everything: Value = serde_json::from_str(EVERYTHING).unwrap();
    let state: Value = serde_json::from_str(include_str!("../../tests/configs/state.json")).unwrap();
    for (config, pointer, parse) in [
        (&state, "", fuzzing::state as fn(&[u8])),
        (&everything, "/process", fuzzing::arguments),
        (&everything, "/linux/resources", fuzzing::arguments),
        (&everything, "/linux/seccomp", fuzzing::filter),
        (&everything, "/process", fuzzing::wire),
        (&everything, "", fuzzing::tables),
        (&everything, "", fuzzing::passwd),
    ] {
        let part = config.pointer(pointer).unwrap();
        for seed in 0..100 {
            parse(&mutate::mutated(part, seed));
        }
    }
}
