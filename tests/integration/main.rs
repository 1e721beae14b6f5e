//! Integration tests: drive the real binary, as root, against real bundles.
//!
//! One program, so that it is linked once and can be carried into a virtual machine as it is. One file
//! per command or configuration property; ids such as `LNX-16` number the requirements of the
//! runtime-spec. `ORLOP_TEST_RUNTIME=/usr/sbin/runc` runs the tests against another runtime: what fails
//! there without the runtime deviating from the specification is a wrong test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod harness;

mod bad_values;
mod build;
mod callers;
mod capabilities;
mod cgroup_devices;
mod cgroup_mounts;
mod cgroups;
mod cli;
mod coffee;
mod commit;
mod debug;
mod delete;
mod devices;
mod diff;
mod doctor;
mod drivers;
mod engine_configs;
mod errors;
mod events;
mod exec;
mod exec_errors;
mod exec_inside;
mod explain;
#[cfg(target_arch = "x86_64")]
mod faults;
mod features;
mod hook_failures;
mod hooks;
mod hostile_layers;
mod idmap;
mod image_export;
mod image_import;
mod images;
mod intel_rdt;
mod kill;
mod labels;
mod lifecycle;
mod list;
mod listen_fds;
mod malformed;
mod memory_policy;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod notify_socket;
mod overlay;
mod overlay_images;
mod pause;
mod pid_reuse;
mod process;
mod ps;
mod races;
mod resources;
mod rlimits;
mod rollback;
mod rootfs;
mod rootless;
mod run;
mod scheduler;
mod seccomp;
mod seccomp_notify;
#[path = "../security/mod.rs"]
mod security;
mod state;
mod store_crashes;
mod sysctl;
mod systemd;
mod terminal;
mod timings;
mod update;
mod user_namespace;
mod validate;
mod validation;
