//! W3C Trace Context: `TRACEPARENT` of the caller, and the spans that are children of it.
//!
//! Runs in: both · w3.org/TR/trace-context, section 3.2

use std::sync::atomic::{AtomicU64, Ordering};

/// The caller's trace, as far as it is ours to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    /// 32 digits.
    id: String,
    /// The caller's span.
    pub(super) parent: u64,
    /// The command's.
    pub(super) root: u64,
    flags: String,
}

static SPANS: AtomicU64 = AtomicU64::new(1);

impl Trace {
    pub(super) fn of_caller() -> Option<Self> {
        let mut trace = Self::parse(&std::env::var("TRACEPARENT").ok()?)?;
        trace.root = random() | 1;
        Some(trace)
    }

    /// `00-<trace>-<span>-<flags>`, in lower case; a later version may have more behind it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut next = |length: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            parts.next().filter(|part| part.len() == length && part.bytes().all(is_digit))
        };
        let (version, id, parent, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let parent = u64::from_str_radix(parent, 16).ok()?;
        let ends = parts.next().is_none();
        let is_valid =
            version != "ff" && (version != "00" || ends) && parent != 0 && id.bytes().any(|digit| digit != b'0');
        is_valid.then(|| Self { id: id.to_owned(), parent, root: 0, flags: flags.to_owned() })
    }

    /// The number of a new span of the parent's or init's, which count for themselves.
    pub(super) fn next(&self, lane: u64) -> u64 {
        let number = lane << 48 | SPANS.fetch_add(1, Ordering::Relaxed);
        self.root.wrapping_add(number << 1)
    }

    pub(super) fn header(&self, span: u64) -> String {
        format!("00-{}-{span:016x}-{}", self.id, self.flags)
    }

    /// What an event says of it.
    pub(super) fn args(&self, span: u64, parent: u64) -> String {
        let id = &self.id;
        format!(r#","args":{{"trace_id":"{id}","span_id":"{span:016x}","parent_span_id":"{parent:016x}"}}"#)
    }
}

fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let trace = Trace::parse(GOOD).unwrap();
        assert_eq!(trace.header(trace.parent), GOOD);
        assert_ne!(trace.next(1), trace.next(1));
        assert_ne!(trace.next(1), trace.next(2));
        assert_eq!(Trace::parse(&format!("01{}-more", &GOOD[2..])), Some(trace));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad}");
        }
    }
}
