//! What `orlop features` prints: the parts of the runtime-spec that this build implements.
//!
//! Runs in: parent · features.md, features-linux.md
//!
//! Fixed when the program is built: it says nothing about the machine.

use serde_json::{Value, json};

use super::VERSION;

const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];

/// The document, valid against the spec's features-schema.json (FEAT-32).
pub(crate) fn document() -> Value {
    let mut capabilities: Vec<_> = caps::all().into_iter().collect();
    capabilities.sort_unstable_by_key(|capability| capability.index());
    let capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": HOOKS,
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": false } },
            "netDevices": { "enabled": false },
        },
        "annotations": {
            "io.github.seccomp.libseccomp.version": libseccomp_version(),
        },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

/// Of the library linked in.
pub(crate) fn libseccomp_version() -> String {
    libseccomp::ScmpVersion::current().map_or_else(
        |_| "unknown".to_owned(),
        |version| format!("{}.{}.{}", version.major, version.minor, version.micro),
    )
}
