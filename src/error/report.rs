//! All that is known of an error, field by field: for the log's JSON, and for init's last message.
//!
//! Runs in: both

use serde::Serialize;

use super::code::Code;
use super::{Error, Kind};
use crate::phase::Phase;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) code: Code,
    pub(crate) phase: Phase,
    /// The whole of it as one line of text, hint and all.
    pub(crate) message: String,
    pub(crate) details: Details,
}

/// What is empty is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) property: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) object: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) syscall: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) errno: String,
    /// The kernel's own words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) kernel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) hint: String,
}

impl Report {
    pub(crate) fn of(error: &Error) -> Self {
        let message = error.to_string();
        if let Kind::Init(report) = error.kind() {
            return Self { code: error.code(), message, ..(**report).clone() };
        }
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let mut details = Details { kernel: text(&error.0.kernel), hint: text(&error.0.hint), ..Details::default() };
        match error.kind() {
            Kind::Config { property, .. } | Kind::Unsupported { property, .. } => {
                details.property = property.to_string();
            }
            Kind::Sys { property, call, on, errno } => {
                details.property = property.map(|property| property.to_string()).unwrap_or_default();
                details.object = on.clone();
                details.syscall = (*call).to_owned();
                details.errno = format!("{errno:?}");
            }
            Kind::State { id, .. } => details.object = id.clone(),
            Kind::Hook { property, path, .. } => {
                details.property = property.to_string();
                details.object = path.clone();
            }
            Kind::Init(_) | Kind::Other(_) => {}
        }
        Self { code: error.code(), phase: error.0.phase, message, details }
    }

    /// For the channel: two numbers, and the texts with a NUL behind each but the last, the message, of which
    /// as much is sent as there is room for.
    pub(crate) fn to_bytes(&self, longest: usize) -> Vec<u8> {
        let Details { property, object, syscall, errno, kernel, hint } = &self.details;
        let mut bytes = vec![self.code as u8, self.phase as u8];
        for text in [property, object, syscall, errno, kernel, hint] {
            if bytes.len() + text.len() < longest / 2 {
                bytes.extend(text.bytes().filter(|byte| *byte != 0));
            }
            bytes.push(0);
        }
        let room = longest.saturating_sub(bytes.len());
        bytes.extend_from_slice(&self.message.as_bytes()[..self.message.floor_char_boundary(room)]);
        bytes
    }

    /// `None` if that is not what `to_bytes` makes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[code, phase], texts) = bytes.split_first_chunk()?;
        let mut texts = texts.splitn(7, |byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let mut next = || texts.next();
        let details = Details {
            property: next()?,
            object: next()?,
            syscall: next()?,
            errno: next()?,
            kernel: next()?,
            hint: next()?,
        };
        Some(Self { code: Code::from_number(code)?, phase: Phase::from_number(phase)?, message: next()?, details })
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::super::{On as _, Property};
    use super::*;
    use crate::sys;

    fn failed_mount() -> Error {
        let failed: sys::Result<()> = Err(sys::Error { call: "fsconfig", errno: Errno::EINVAL });
        let error = failed.on("/data").unwrap_err().property(Property::at("mounts", 4));
        error.kernel("tmpfs: Unknown parameter 'x'").hint("there is no option x")
    }

    #[test]
    fn a_report_names_every_part() {
        let report = Report::of(&failed_mount());
        assert_eq!(
            report.message,
            "mounts[4]: /data: fsconfig: EINVAL: invalid argument (kernel: tmpfs: Unknown parameter 'x'); \
             hint: there is no option x"
        );
        assert_eq!(
            serde_json::to_string(&report.details).unwrap(),
            r#"{"property":"mounts[4]","object":"/data","syscall":"fsconfig","errno":"EINVAL","#.to_owned()
                + r#""kernel":"tmpfs: Unknown parameter 'x'","hint":"there is no option x"}"#
        );
        assert_eq!(report.code, Code::SystemCall);
    }

    #[test]
    fn what_init_reports_is_what_its_parent_shows() {
        let report = Report::of(&failed_mount());
        let told = Report::from_bytes(&report.to_bytes(16 * 1024)).unwrap();
        assert_eq!(told, report);
        let error = Error::from(Kind::Init(Box::new(told)));
        assert_eq!(Report::of(&error), report);
        assert_eq!(error.to_string(), report.message);
    }

    #[test]
    fn a_long_message_is_cut_and_not_lost() {
        let report = Report::of(&Error::other("ä".repeat(1000)));
        let told = Report::from_bytes(&report.to_bytes(500)).unwrap();
        assert!(told.message.len() > 480 && told.message.len() <= 500, "{}", told.message.len());
        assert_eq!(Report::from_bytes(b""), None);
        assert_eq!(Report::from_bytes(b"\x01\x01abc"), None);
        assert_eq!(Report::from_bytes(b"\xff\x01\0\0\0\0\0\0x"), None);
    }
}
