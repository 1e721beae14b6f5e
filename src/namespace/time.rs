//! linux.timeOffsets: the clocks of a new time namespace.
//!
//! Runs in: both · config-linux.md#offset-for-time-namespace, LNX-21, time_namespaces(7)

use std::fmt::Write as _;

use nix::sched::CloneFlags;

use crate::error::{On as _, Property, Result};
use crate::spec::config::TimeOffset;
use crate::spec::map::Map;
use crate::sys::Call as _;

use super::NEWTIME;

const PROPERTY: Property = Property::of("linux.timeOffsets");

/// The lines for `/proc/self/timens_offsets`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offsets(String);

impl Offsets {
    pub(crate) fn compile(offsets: &Map<TimeOffset>, new: CloneFlags) -> Result<Option<Self>> {
        if offsets.is_empty() {
            return Ok(None);
        }
        if !new.contains(NEWTIME) {
            return Err(PROPERTY.invalid("needs a new time namespace in linux.namespaces"));
        }
        let mut lines = String::new();
        for (clock, offset) in offsets.iter() {
            if clock != "monotonic" && clock != "boottime" {
                return Err(PROPERTY.invalid(format!("{clock:?} is not a clock with an offset: monotonic, boottime")));
            }
            let TimeOffset { secs, nanosecs } = *offset;
            if nanosecs > 999_999_999 {
                return Err(PROPERTY.invalid(format!("{clock}: {nanosecs} nanosecs are a second or more")));
            }
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{clock} {secs} {nanosecs}");
        }
        Ok(Some(Self(lines)))
    }

    /// Sets the clocks of the time namespace that this process has made and nobody has entered.
    pub(crate) fn apply(&self) -> Result<()> {
        let file = "/proc/self/timens_offsets";
        std::fs::write(file, &self.0).call("write").on(file).map_err(|error| error.property(PROPERTY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str, new: CloneFlags) -> Result<Option<Offsets>> {
        Offsets::compile(&serde_json::from_str(json).unwrap(), new)
    }

    /// LNX-21
    #[test]
    fn offsets() {
        let lines =
            compile(r#"{"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 100}}"#, NEWTIME).unwrap();
        assert_eq!(lines, Some(Offsets("monotonic -5 7\nboottime 100 0\n".into())));
        assert_eq!(compile("{}", CloneFlags::empty()).unwrap(), None);
        for bad in [r#"{"realtime": {"secs": 1}}"#, r#"{"boottime": {"nanosecs": 1000000000}}"#] {
            assert!(compile(bad, NEWTIME).is_err(), "{bad}");
        }
        assert!(compile(r#"{"boottime": {"secs": 1}}"#, CloneFlags::empty()).is_err());
    }
}
