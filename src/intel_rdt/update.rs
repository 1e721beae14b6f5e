//! `update`: other limits for a container's class of service.
//!
//! Runs in: parent · config-linux.md#intelrdt, kernel documentation resctrl
//!
//! Who else is in the class gets them too: that is what a class is for.

use std::path::PathBuf;

use super::group::{Record, explain, write};
use super::{PROPERTY, schemata};
use crate::error::{On as _, Result};
use crate::spec::config::IntelRdt;
use crate::sys::Call as _;

/// New limits in force; dropped, the former ones are again.
#[derive(Debug)]
pub(crate) struct Limits {
    file: PathBuf,
    former: Option<String>,
}

impl Record {
    /// Writes the lines that a change makes; a class keeps what they do not name.
    pub(crate) fn update(&self, change: &IntelRdt) -> Result<Limits> {
        let class = self.class();
        let file = class.join("schemata");
        let former = std::fs::read_to_string(&file).call("read").on(file.display());
        let former = former.map_err(|error| error.property(PROPERTY))?;
        let text = schemata(change)?.join("\n") + "\n";
        // A write that fails may have changed some lines already.
        let limits = Limits { file, former: Some(former) };
        write(&limits.file, &text).map_err(|error| explain(error, class, &limits.file))?;
        Ok(limits)
    }
}

impl Limits {
    pub(crate) fn keep(mut self) {
        self.former = None;
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        if let Some(former) = &self.former
            && let Err(error) = write(&self.file, former).on(self.file.display())
        {
            log::warn!("while an update was taken back: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_until_they_are_kept() {
        let class = std::env::temp_dir().join(format!("orlop-resctrl-update-{}", std::process::id()));
        let monitor = class.join("mon_groups/box");
        std::fs::create_dir_all(&monitor).unwrap();
        let file = class.join("schemata");
        let read = || std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, "L3:0=ff\nMB:0=50\n").unwrap();
        let json = format!(r#"{{"group": {monitor:?}, "made": []}}"#);
        let record: Record = serde_json::from_str(&json).unwrap();
        let change: IntelRdt = serde_json::from_str(r#"{"l3CacheSchema": "L3:0=0f"}"#).unwrap();
        // An ordinary file is overwritten from its beginning; resctrl's takes the line for what it is.
        let limits = record.update(&change).unwrap();
        assert!(read().starts_with("L3:0=0f\n"));
        drop(limits);
        assert_eq!(read(), "L3:0=ff\nMB:0=50\n");
        record.update(&change).unwrap().keep();
        assert!(read().starts_with("L3:0=0f\n"));
        let bad: IntelRdt = serde_json::from_str(r#"{"memBwSchema": "L3:0=0f"}"#).unwrap();
        assert!(record.update(&bad).unwrap_err().to_string().starts_with("linux.intelRdt.memBwSchema: "));
        std::fs::remove_dir_all(&class).unwrap();
    }
}
