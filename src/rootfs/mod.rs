//! The container's file system: what is planned, and the order in which init builds it.
//!
//! Runs in: parent (compile), init (build, finish) · config.md#root, #mounts

pub(crate) mod cgroupfs;
pub(crate) mod copyup;
pub(crate) mod device;
mod explain;
pub(crate) mod idmap;
pub(crate) mod mask;
pub(crate) mod mount;
pub(crate) mod options;
pub(crate) mod overlay;
pub(crate) mod resolve;
pub(crate) mod root;
pub(crate) mod tools;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::error::{Property, Result};
use crate::namespace::{Joined, Namespaces};
use crate::process::selinux;
use crate::spec::Config;
use crate::sys;

pub(crate) use mount::MountStep;
pub(crate) use resolve::{InRoot, Root};
pub(crate) use root::{Builder, Cgroups, Switch};

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: root::Plan,
    pub(crate) overlay: Option<overlay::Plan>,
    pub(crate) mounts: Vec<MountStep>,
    /// None where the host's /dev is bound: its nodes are not ours to touch.
    devices: Option<Vec<device::Node>>,
    masks: mask::Plan,
}

impl Plan {
    /// `state` is the container's state directory, which does not exist yet.
    pub(crate) fn compile(
        config: &Config,
        bundle: &Path,
        state: &Path,
        switch: Switch,
        namespaces: &Namespaces,
    ) -> Result<Self> {
        let overlay = overlay::Plan::compile(config, bundle, switch, namespaces)?;
        let mount_point = overlay.is_some().then(|| state.join(overlay::MOUNT_POINT));
        let root = root::Plan::compile(config, bundle, mount_point, switch)?;
        let mut mounts: Vec<MountStep> = (config.mounts.iter().enumerate())
            .map(|(index, mount)| MountStep::compile(index, mount, bundle, namespaces))
            .collect::<Result<_>>()?;
        if let Some(label) = mount_label(config.linux.mount_label.as_deref(), selinux::is_enabled)? {
            mounts.iter_mut().for_each(|step| step.label(&label));
        }
        let nodes = device::compile(&config.linux.devices)?;
        let devices = (!mounts.iter().any(|step| step.binds("/dev"))).then_some(nodes);
        let masks = mask::Plan::compile(&config.linux.masked_paths, &config.linux.readonly_paths)?;
        Ok(Self { root, overlay, mounts, devices, masks })
    }

    /// Parent: what init could not map, or with `for_init` not reach, with its own ids.
    pub(crate) fn open_sources(
        &self,
        for_init: bool,
        namespaces: &Namespaces,
        joined: &[Joined],
    ) -> Result<Vec<Option<OwnedFd>>> {
        self.mounts.iter().map(|step| self.open_source(step, for_init, namespaces, joined)).collect()
    }

    /// Parent: that of one mount, if it is one of those.
    pub(crate) fn open_source(
        &self,
        step: &MountStep,
        for_init: bool,
        namespaces: &Namespaces,
        joined: &[Joined],
    ) -> Result<Option<OwnedFd>> {
        // What a user namespace mounts never reaches the host.
        let shared = self.root.is_shared() && !for_init;
        if for_init || step.idmap.is_some() { step.open_mapped(shared, namespaces, joined) } else { Ok(None) }
    }

    /// Init, where the container's mounts may reach the host: the other sources, as long as the host's
    /// tree is shared.
    pub(crate) fn open_shared(&self, sources: &mut [Option<OwnedFd>]) -> Result<()> {
        for (step, source) in self.mounts.iter().zip(sources).filter(|(_, source)| source.is_none()) {
            *source = step.open(true)?;
        }
        Ok(())
    }

    /// Init: everything that is mounted, and /dev.
    pub(crate) fn build(&self, builder: &mut Builder<'_>, sources: Vec<Option<OwnedFd>>) -> Result<()> {
        let mut sources = sources.into_iter();
        for step in &self.mounts {
            step.apply(builder, sources.next().flatten())?;
        }
        builder.enter_cgroups()?;
        let Some(devices) = &self.devices else {
            return Ok(());
        };
        device::apply(devices, builder)?;
        device::links(builder)
    }

    /// Init, after the last hook that may add mounts: what hides and protects.
    pub(crate) fn mask(&self, builder: &Builder<'_>) -> Result<()> {
        self.masks.apply(builder)
    }
}

/// LNX-147. As for runc and crun, a label is no error where SELinux is off: engines write it anyway.
fn mount_label(label: Option<&str>, selinux_is_enabled: impl FnOnce() -> bool) -> Result<Option<CString>> {
    let Some(label) = label.filter(|label| !label.is_empty() && selinux_is_enabled()) else { return Ok(None) };
    sys::c_string(label).map(Some).map_err(|_| Property::of("linux.mountLabel").invalid("has a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LNX-147
    #[test]
    fn mount_labels_are_for_selinux() {
        assert_eq!(mount_label(Some("l"), || true).unwrap().as_deref(), Some(c"l"));
        for (label, enabled) in [(Some("l"), false), (Some(""), true), (None, true)] {
            assert_eq!(mount_label(label, || enabled).unwrap(), None);
        }
        let error = mount_label(Some("\0"), || true).unwrap_err().to_string();
        assert_eq!(error, "linux.mountLabel: has a NUL byte");
    }
}
