//! Config → Plan: everything that can be decided and refused before anything is done.
//!
//! Runs in: parent · runtime.md#create (RT-44, RT-46)
//!
//! Each topic compiles its own part and names its own properties; here is the order, and the few
//! checks that need two topics at once.

use std::ffi::CString;
use std::path::PathBuf;

use nix::sched::CloneFlags;

use crate::cgroup;
use crate::container::{ContainerId, CreateOptions};
use crate::error::{Property, Result};
use crate::hooks::Hooks;
use crate::host::Host;
use crate::intel_rdt;
use crate::namespace::Namespaces;
use crate::namespace::enter::Launch;
use crate::net_devices;
use crate::process;
use crate::rootfs::{self, Switch};
use crate::seccomp;
use crate::spec::Config;
use crate::sync::Rendezvous;
use crate::sys;
use crate::sysctl;

/// What `create` is going to do; no option is left to interpret.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: ContainerId,
    pub(crate) bundle: PathBuf,
    pub(crate) launch: Launch,
    pub(crate) namespaces: Namespaces,
    pub(crate) cgroup: cgroup::Plan,
    pub(crate) rootfs: rootfs::Plan,
    /// A container may be created without a process, and cannot be started then (RT-50).
    pub(crate) process: Option<process::Plan>,
    pub(crate) seccomp: Option<seccomp::Plan>,
    pub(crate) hooks: Hooks,
    pub(crate) sysctl: Vec<sysctl::Step>,
    pub(crate) net_devices: net_devices::Plan,
    pub(crate) intel_rdt: Option<intel_rdt::Plan>,
    pub(crate) names: Names,
    /// Init gets a session keyring of its own.
    pub(crate) keyring: bool,
    pub(crate) preserve_fds: u32,
}

/// hostname and domainname.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) host: Option<CString>,
    pub(crate) domain: Option<CString>,
}

impl Plan {
    pub(crate) fn compile(config: &Config, host: &Host, options: &CreateOptions) -> Result<Self> {
        check_annotations(config)?;
        let linux = &config.linux;
        let namespaces = Namespaces::compile(linux)?;
        let process = config.process.as_ref();
        let plan = Self {
            id: options.id.clone(),
            bundle: options.bundle.clone(),
            launch: namespaces.launch(host),
            cgroup: cgroup::Plan::compile(config, &options.id, host, options.driver)?,
            rootfs: rootfs::Plan::compile(
                config,
                &options.bundle,
                &options.root.join(&options.id),
                switch(&namespaces, options),
                &namespaces,
            )?,
            process: process
                .map(|p| process::Plan::compile(p, linux, &namespaces, host))
                .map(|plan| plan?.with(&config.annotations))
                .transpose()?
                .map(|plan| plan.listening(options.listen_fds.as_ref())),
            seccomp: seccomp::Plan::compile(linux, &config.annotations)?,
            hooks: Hooks::compile(&config.hooks, &config.annotations, &options.bundle)?,
            sysctl: sysctl::compile(config, &namespaces)?,
            net_devices: net_devices::Plan::compile(&linux.net_devices, &namespaces)?,
            intel_rdt: linux
                .intel_rdt
                .as_ref()
                .map(|rdt| intel_rdt::Plan::compile(rdt, &options.id, intel_rdt::root))
                .transpose()?,
            names: Names::compile(config, &namespaces)?,
            namespaces,
            keyring: !options.no_new_keyring,
            preserve_fds: options.preserve_fds,
        };
        plan.check_mount_namespace(config)?;
        Ok(plan)
    }

    /// With the container's ids init may not reach the host's directories; without CAP_SYS_ADMIN we
    /// cannot help.
    pub(crate) fn opens_for_init(&self, host: &Host) -> bool {
        host.is_root() && self.namespaces.has(CloneFlags::CLONE_NEWUSER)
    }

    /// Which messages init and parent exchange; `joinable` depends on how the clone went.
    pub(crate) fn rendezvous(&self, joinable: bool) -> Rendezvous {
        Rendezvous {
            mapped: self.namespaces.makes(CloneFlags::CLONE_NEWUSER) || self.launch == Launch::Relay,
            joinable,
            devices: !self.net_devices.is_empty(),
            hooks: !self.hooks.prestart.is_empty() || !self.hooks.create_runtime.is_empty(),
            filter: self.seccomp.as_ref().is_some_and(|plan| plan.ready().is_none()),
        }
    }

    /// Without a mount namespace of its own the container's mounts are the caller's: what would
    /// change existing ones there is refused.
    fn check_mount_namespace(&self, config: &Config) -> Result<()> {
        if self.rootfs.root.switch != Switch::Chroot {
            return Ok(());
        }
        let given = [
            ("root.readonly", config.root.as_ref().is_some_and(|root| root.readonly)),
            ("linux.rootfsPropagation", config.linux.rootfs_propagation.is_some()),
            ("linux.maskedPaths", !config.linux.masked_paths.is_empty()),
            ("linux.readonlyPaths", !config.linux.readonly_paths.is_empty()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((property, _)) => Err(Property::of(property).invalid("needs a mount namespace in linux.namespaces")),
            None => Ok(()),
        }
    }
}

fn switch(namespaces: &Namespaces, options: &CreateOptions) -> Switch {
    if !namespaces.isolates(CloneFlags::CLONE_NEWNS) {
        Switch::Chroot
    } else if options.no_pivot {
        Switch::Move
    } else {
        Switch::Pivot
    }
}

/// CFG-53
fn check_annotations(config: &Config) -> Result<()> {
    match config.annotations.get("") {
        Some(_) => Err(Property::of("annotations").invalid("a key is empty")),
        None => Ok(()),
    }
}

impl Names {
    /// CFG-46, CFG-47: without a UTS namespace it would be the host that is renamed.
    fn compile(config: &Config, namespaces: &Namespaces) -> Result<Self> {
        let name = |property: Property, written: &Option<String>| match written.as_deref() {
            None | Some("") => Ok(None),
            Some(_) if !namespaces.isolates(CloneFlags::CLONE_NEWUTS) => {
                Err(property.invalid("needs a uts namespace in linux.namespaces"))
            }
            Some(name) if name.len() > 64 => Err(property.invalid(format!("{name:?} is longer than 64 bytes"))),
            Some(name) => sys::c_string(name).map(Some).map_err(|_| property.invalid("has a NUL byte")),
        };
        Ok(Self {
            host: name(Property::of("hostname"), &config.hostname)?,
            domain: name(Property::of("domainname"), &config.domainname)?,
        })
    }
}

#[cfg(test)]
mod malformed;
