//! What `orlop features` prints: the parts of the runtime-spec that this build implements.
//!
//! Runs in: parent · features.md, features-linux.md
//!
//! Fixed when the program is built: it says nothing about the machine.

use serde_json::{Value, json};

use super::VERSION;
use crate::cgroup::systemd;
use crate::hooks;
use crate::image::bundle;
use crate::memory_policy;
use crate::process::{landlock, user};
use crate::rootfs;
use crate::seccomp;

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// Those of the byte order of x86-64 and aarch64: one filter cannot serve both orders.
const ARCHITECTURES: [&str; 10] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

/// All that the spec knows.
const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// The document, valid against the spec's features-schema.json (FEAT-32).
pub(crate) fn document() -> Value {
    let mut capabilities: Vec<_> = caps::all().into_iter().collect();
    capabilities.sort_unstable_by_key(|capability| capability.index());
    let capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": HOOKS,
        "mountOptions": rootfs::options::known(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": ACTIONS,
                "operators": OPERATORS,
                "archs": ARCHITECTURES,
                "knownFlags": FLAGS,
                "supportedFlags": FLAGS,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": {
                "modes": memory_policy::modes().collect::<Vec<_>>(),
                "flags": memory_policy::flags().collect::<Vec<_>>(),
            },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": {
            "io.github.seccomp.libseccomp.version": libseccomp_version(),
        },
        "potentiallyUnsafeConfigAnnotations": annotations(),
    })
}

/// Every annotation of config.json that changes what this runtime does; one that ends with a dot is a prefix.
fn annotations() -> Vec<&'static str> {
    let others = [
        bundle::IMAGE,
        systemd::annotations::PREFIX,
        user::KEEP_GROUPS,
        hooks::STDOUT,
        hooks::STDERR,
        seccomp::FAIL_UNKNOWN,
    ];
    [rootfs::overlay::ANNOTATIONS, landlock::ANNOTATIONS, &others].concat()
}

/// Of the library linked in.
pub(crate) fn libseccomp_version() -> String {
    libseccomp::ScmpVersion::current().map_or_else(
        |_| "unknown".to_owned(),
        |version| format!("{}.{}.{}", version.major, version.minor, version.micro),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The source of every file without its tests.
    fn sources(dir: &Path, all: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(path).unwrap();
                all.push_str(text.split("#[cfg(test)]").next().unwrap());
            }
        }
    }

    /// CFG-54, CFG-55, CFG-65: our own annotations are in our own domain.
    #[test]
    fn annotations_of_our_own_are_not_the_specifications() {
        let document = document();
        let described = document["annotations"].as_object().unwrap().keys().map(String::as_str);
        for key in annotations().into_iter().chain(described) {
            assert!(key.contains('.') && !key.starts_with("org.opencontainers"), "{key}");
        }
    }

    /// FEAT-13: the annotations named in the source are those that the document lists.
    #[test]
    fn every_annotation_that_is_read_is_listed() {
        let mut source = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
        let listed = annotations();
        let covers = |known: &str, key: &str| known == key || known.ends_with('.') && key.starts_with(known);
        let owners = ["org.orlop.", "org.systemd.", "org.criu.", "run.oci.", "io.kubernetes.", "io.podman."];
        let read: Vec<&str> = source
            .split('"')
            .filter(|text| owners.iter().any(|owner| text.starts_with(owner)) && !text.contains(' '))
            .collect();
        for key in &read {
            // A constant that is only the beginning of others is no annotation.
            let is_prefix = key.ends_with('.') && listed.iter().any(|known| known.starts_with(key));
            assert!(is_prefix || listed.iter().any(|known| covers(known, key)), "{key} is not listed");
        }
        for known in listed {
            assert!(read.contains(&known), "{known} is listed, and nothing reads it");
        }
    }

    /// FEAT-07, FEAT-12
    #[test]
    fn versions_are_in_order_and_annotations_are_strings() {
        let document = document();
        let number = |name: &str| -> Vec<u32> {
            document[name].as_str().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
        };
        assert!(number("ociVersionMin") <= number("ociVersionMax"));
        let annotations = document["annotations"].as_object().unwrap();
        assert!(annotations.iter().all(|(key, value)| !key.is_empty() && value.is_string()));
    }

    /// FEAT-11
    #[test]
    fn no_option_of_a_file_system_is_listed() {
        for option in rootfs::options::known() {
            assert!(!option.contains('='), "{option}");
            assert!(!["size", "mode", "uid", "gid", "nr_inodes", "lowerdir", "acl", "user_xattr"].contains(&&*option));
        }
    }
}
