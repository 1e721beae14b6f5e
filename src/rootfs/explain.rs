//! How the root file system is built, as system calls: for `explain`.
//!
//! Runs in: parent

use std::fmt::{self, Display};

use crate::error::Property;
use crate::explain::Steps;
use crate::sys::mount::Attr;

use super::mount::{MountStep, What};
use super::options::Change;
use super::{Plan, mask};

impl Plan {
    pub(crate) fn explain(&self, steps: &mut Steps) {
        let root = self.root.path.display();
        steps.add_for(Property::of("root"), format_args!("open_tree({root}, CLONE|RECURSIVE); move_mount -> {root}"));
        for step in &self.mounts {
            steps.add_for(step.property, step);
        }
        for node in self.devices.iter().flatten() {
            steps.add_for(node.property, node);
        }
        match &self.devices {
            Some(_) => steps.add("symlink fd, stdin, stdout, stderr, ptmx in /dev"),
            None => steps.add("leave /dev as it is: the host's is bound there"),
        }
    }

    pub(crate) fn explain_masks(&self, steps: &mut Steps) {
        for (index, path) in self.masks.readonly.iter().enumerate() {
            steps.add_for(Property::at(mask::READONLY, index), format_args!("bind {path} over itself, read-only"));
        }
        for (index, path) in self.masks.masked.iter().enumerate() {
            steps.add_for(Property::at(mask::MASKED, index), format_args!("cover {path}"));
        }
    }
}

/// `fsopen(tmpfs); fsconfig(mode=755); fsmount(NOSUID|NODEV); move_mount -> /dev`
impl Display for MountStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        match &self.what {
            What::Bind { source, recursive } => {
                let flags = if *recursive { "CLONE|RECURSIVE" } else { "CLONE" };
                write!(f, "open_tree({}, {flags})", source.to_string_lossy())?;
            }
            What::Fs { kind, source } => {
                write!(f, "fsopen({})", kind.to_string_lossy())?;
                let source = source.iter().map(|source| format!("source={}", source.to_string_lossy()));
                let data = options.data.iter().map(|data| match &data.value {
                    Some(value) => format!("{}={}", data.key.to_string_lossy(), value.to_string_lossy()),
                    None => data.key.to_string_lossy().into_owned(),
                });
                let all: Vec<_> = source.chain(data).collect();
                write!(
                    f,
                    "; fsconfig({}); fsmount({})",
                    all.join(", "),
                    Names(options.attr.set | options.recursive.set)
                )?;
            }
            What::Cgroup => f.write_str("the container's cgroups")?,
            What::Remount { .. } => write!(f, "open {}", self.dest)?,
        }
        if self.idmap.is_some() {
            f.write_str("; mount_setattr(IDMAP)")?;
        }
        if !matches!(self.what, What::Fs { .. }) {
            for (change, recursive) in [(options.attr, ""), (options.recursive, ", RECURSIVE")] {
                if !change.is_empty() {
                    write!(f, "; mount_setattr({change}{recursive})")?;
                }
            }
        }
        if options.copy_up {
            write!(f, "; copy what is below {} into it", self.dest)?;
        }
        if !matches!(self.what, What::Remount { .. }) {
            write!(f, "; move_mount -> {}", self.dest)?;
        }
        for (kind, recursive) in &options.propagation {
            write!(f, "; mount_setattr({kind:?}{})", if *recursive { ", RECURSIVE" } else { "" })?;
        }
        Ok(())
    }
}

/// `set RDONLY, clear ATIME`
impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("set", self.set), ("clear", self.clear)].into_iter().filter(|(_, attr)| !attr.is_empty());
        let parts: Vec<_> = parts.map(|(what, attr)| format!("{what} {}", Names(attr))).collect();
        f.write_str(&parts.join(", "))
    }
}

struct Names(Attr);

impl Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter_names().map(|(name, _)| name).collect();
        f.write_str(&names.join("|"))
    }
}
