//! What is kept of a container between commands, and what others are told of it.
//!
//! Runs in: both · runtime.md#state

use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::{CreateOptions, Status};
use crate::cgroup;
use crate::clock::Utc;
use crate::hooks::{Hook, Output};
use crate::intel_rdt;
use crate::plan::Plan;
use crate::seccomp::Listener;
use crate::spec::map::Map;
use crate::spec::{self, Config};

/// Everything later commands need to know: config.json may change or go after `create` (RT-19).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) oci_version: String,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// RFC 3339, UTC, with nanoseconds.
    pub(crate) created: String,
    /// Name of the user who created it.
    pub(crate) owner: String,
    pub(crate) annotations: Map<String>,
    /// Absent until init is ready.
    pub(crate) init: Option<Init>,
    /// Lower directories of a root file system of layers, the topmost first: `image prune` leaves them
    /// alone, and the state directory holds the rest of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<PathBuf>,
    /// Without `process` there is nothing to start (RT-50).
    pub(crate) has_process: bool,
    /// With a pid namespace of its own, nothing of the container outlives its first process.
    pub(crate) own_pid_namespace: bool,
    /// Its processes have a session keyring of their own.
    pub(crate) keyring: bool,
    /// Until init is known: where the cgroup is going to be.
    pub(crate) cgroup: cgroup::Record,
    /// The same for its class of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intel_rdt: Option<intel_rdt::Record>,
    pub(crate) hooks: LaterHooks,
    /// Who `start` gives the seccomp listener to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listener: Option<Listener>,
}

/// The hooks that run after `create`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LaterHooks {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) poststart: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) poststop: Vec<Hook>,
    #[serde(default, skip_serializing_if = "Output::is_empty")]
    pub(crate) output: Output,
}

/// The container's first process. The start time tells it from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Init {
    pub(crate) pid: i32,
    /// Clock ticks after boot, field 22 of /proc/PID/stat.
    pub(crate) start_time: u64,
}

/// runtime.md#state, and the fields that runc adds to it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    pub(super) oci_version: &'a str,
    pub(super) id: &'a str,
    pub(super) pid: i32,
    pub(super) status: Status,
    pub(super) bundle: &'a Path,
    pub(super) rootfs: &'a Path,
    pub(super) created: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) annotations: &'a Map<String>,
    pub(super) owner: &'a str,
}

impl Record {
    /// What `create` is about to make, written down before the first effect.
    pub(crate) fn intent(config: &Config, plan: &Plan, options: &CreateOptions) -> Self {
        Self {
            oci_version: spec::VERSION.to_owned(),
            id: options.id.to_string(),
            bundle: options.bundle.clone(),
            rootfs: plan.rootfs.root.path.clone(),
            created: Utc::now().to_string(),
            owner: user_name(nix::unistd::getuid().as_raw()),
            annotations: config.annotations.clone(),
            init: None,
            layers: plan.rootfs.overlay.as_ref().map_or_else(Vec::new, |overlay| overlay.lower.dirs.clone()),
            has_process: plan.process.is_some(),
            own_pid_namespace: plan.namespaces.makes(CloneFlags::CLONE_NEWPID),
            keyring: plan.keyring,
            cgroup: plan.cgroup.record(),
            intel_rdt: plan.intel_rdt.as_ref().map(intel_rdt::Plan::record),
            hooks: LaterHooks {
                poststart: plan.hooks.poststart.clone(),
                poststop: plan.hooks.poststop.clone(),
                output: plan.hooks.output.clone(),
            },
            listener: plan.seccomp.as_ref().and_then(|seccomp| seccomp.listener()).cloned(),
        }
    }

    /// The state as JSON in one line, for the standard input of hooks.
    pub(crate) fn document(&self, status: Status, pid: Option<i32>) -> Vec<u8> {
        // The one thing that JSON cannot hold, a path that is no UTF-8, `create` has refused.
        serde_json::to_vec(&self.state(status, pid)).unwrap_or_default()
    }

    /// A container without a process has pid 0, as runc prints it.
    pub(crate) fn state(&self, status: Status, pid: Option<i32>) -> Document<'_> {
        Document {
            oci_version: &self.oci_version,
            id: &self.id,
            pid: pid.unwrap_or_default(),
            status,
            bundle: &self.bundle,
            rootfs: &self.rootfs,
            created: &self.created,
            annotations: &self.annotations,
            owner: &self.owner,
        }
    }
}

/// As /etc/passwd has it: without a dynamic libc there is no other source. A number, failing that.
fn user_name(uid: u32) -> String {
    if uid == 0 {
        return "root".to_owned();
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid).map_or_else(|| uid.to_string(), str::to_owned)
}

fn name_in(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
pub(super) fn fixture(init: Option<Init>) -> Record {
    Record {
        oci_version: "1.3.0".into(),
        id: "box".into(),
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        created: "2026-01-31T12:00:00.000000001Z".into(),
        owner: "root".into(),
        annotations: serde_json::from_str(r#"{"b": "1", "a": "2"}"#).unwrap(),
        init,
        layers: Vec::new(),
        has_process: true,
        own_pid_namespace: true,
        keyring: true,
        cgroup: cgroup::Record::default(),
        intel_rdt: None,
        hooks: LaterHooks::default(),
        listener: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RT-02, RT-03, RT-05, RT-11, RT-13, RT-14
    #[test]
    fn the_document_is_what_runtime_md_says_and_what_runc_adds() {
        let document = fixture(None).document(Status::Created, Some(7));
        assert_eq!(
            String::from_utf8(document).unwrap(),
            r#"{"ociVersion":"1.3.0","id":"box","pid":7,"status":"created","bundle":"/bundle","#.to_owned()
                + r#""rootfs":"/bundle/rootfs","created":"2026-01-31T12:00:00.000000001Z","#
                + r#""annotations":{"b":"1","a":"2"},"owner":"root"}"#
        );
    }

    #[test]
    fn owners_by_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n+\nada:x:1000:100:Ada:/home/ada:/bin/sh\n";
        assert_eq!(name_in(passwd, 1000), Some("ada"));
        assert_eq!(name_in(passwd, 100), None);
    }
}
