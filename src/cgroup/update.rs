//! New limits for the cgroup of a container that exists.
//!
//! Runs in: parent · config-linux.md#control-groups, `update`
//!
//! All resources are compiled, so that what belongs together (memory and swap, quota and period) is
//! checked and converted together. Written is only what the update names or changes: other files may
//! have been changed by somebody else since.

use std::path::Path;

use super::journal::Journal;
use super::systemd::Manager;
use super::{Cgroup, Layout, Write, resources, shrink};
use crate::error::{Error, Result};
use crate::spec::change::Changed;

impl Cgroup {
    /// Carries out a change, or nothing of it. The values stay once the journal is told to keep them.
    pub(crate) fn update(&self, changed: &Changed<'_>, layout: &Layout) -> Result<Journal> {
        let writes = select(changed, layout)?;
        let placed = writes.iter().map(|write| Ok((self.directory(write)?, write))).collect::<Result<Vec<_>>>()?;
        if changed.after.memory.as_ref().is_some_and(|memory| memory.check_before_update() == Some(true)) {
            placed.iter().try_for_each(|(dir, write)| shrink::check(dir, write))?;
        }
        let mut journal = Journal::default();
        journal.apply(&placed)?;
        if let Some(unit) = &self.unit {
            // It writes what it is told as well, and rounds a quota: the exact values come last.
            journal.tell(Manager::connect()?, unit, &writes)?;
            journal.apply(&placed)?;
        }
        Ok(journal)
    }

    fn directory(&self, write: &Write) -> Result<&Path> {
        let controller = write.controller().unwrap_or_default();
        let missing = || -> Error { write.property.unsupported(format!("the {controller} controller")) };
        self.find(controller).map(|group| group.dir.as_path()).ok_or_else(missing)
    }
}

fn select(changed: &Changed<'_>, layout: &Layout) -> Result<Vec<Write>> {
    let before = resources::compile(&changed.before, layout)?;
    let mut after = resources::compile(&changed.after, layout)?;
    let named = |write: &Write| changed.names(&write.name_in_resources());
    let is_chosen = |write: &Write| named(write) || !before.contains(write);
    // A cgroup that stops being idle has lost its weight.
    let idle = after.iter().any(|write| write.file == "cpu.idle" && is_chosen(write));
    after.retain(|write| is_chosen(write) || (idle && write.property == resources::SHARES));
    Ok(after)
}

impl Write {
    /// `cpu.shares`, `unified.io.max`
    fn name_in_resources(&self) -> String {
        let base = self.property.base().trim_start_matches("linux.resources.");
        if self.property == resources::UNIFIED { format!("{base}.{}", self.file) } else { base.to_owned() }
    }
}
