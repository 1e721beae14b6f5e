//! Where in a JSON text an error is: the path of what was being read.
//!
//! Runs in: parent
//!
//! serde_json tells line and column. Types that keep track of the path instead would be all the code
//! that reads config.json a second time.

use std::fmt::Write as _;

use super::unique::{length, unescaped};

/// An object or list that has been opened.
enum Level {
    /// The member that is being read, as soon as its name is known.
    Object {
        name: String,
        before_colon: bool,
    },
    List {
        index: usize,
    },
}

/// `mounts[0].options`: the innermost value that has begun and not ended where the error is.
pub(crate) fn path(text: &[u8], error: &serde_json::Error) -> String {
    let mut levels: Vec<Level> = Vec::new();
    let mut rest = &text[..offset(text, error)];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, levels.last_mut()) {
            (b'"', level) => {
                let (string, after) = after.split_at(length(after));
                rest = after.get(1..).unwrap_or_default();
                if let Some(Level::Object { name, before_colon: true }) = level {
                    *name = String::from_utf8_lossy(&unescaped(string)).into_owned();
                }
            }
            (b'{', _) => levels.push(Level::Object { name: String::new(), before_colon: true }),
            (b'[', _) => levels.push(Level::List { index: 0 }),
            (b'}' | b']', _) => drop(levels.pop()),
            (b':', Some(Level::Object { before_colon, .. })) => *before_colon = false,
            (b',', Some(Level::Object { name, before_colon })) => (*name, *before_colon) = (String::new(), true),
            (b',', Some(Level::List { index })) => *index += 1,
            _ => {}
        }
    }
    render(&levels)
}

/// Without the place in the text, which the path says better.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or_else(|| text.clone(), |(reason, _)| reason.to_owned())
}

/// How much had been read.
fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let before: usize = lines.map(<[u8]>::len).sum();
    (before + error.column()).min(text.len())
}

fn render(levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        // Writing to a string cannot fail.
        let _ = match level {
            Level::Object { name, .. } if name.is_empty() => Ok(()),
            Level::Object { name, .. } if path.is_empty() => write!(path, "{name}"),
            Level::Object { name, .. } => write!(path, ".{name}"),
            Level::List { index } => write!(path, "[{index}]"),
        };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Config;

    #[test]
    fn paths() {
        for (json, expected) in [
            (
                r#"{"mounts": [{"destination": "/a"}, {"destination": "/b", "options": ["ro", 1]}]}"#,
                "mounts[1].options[1]",
            ),
            (r#"{"mounts": [{}, {"destination": "/b"}]}"#, "mounts[0]"),
            ("{\"hostname\": \"a,\\\"]\",\n \"root\":\n {\"path\": 7}}", "root.path"),
            (r#"{"hostname": "a", "linux": {"resources": {"pids": {"limit": "1"}}}}"#, "linux.resources.pids.limit"),
            (r#"{"linux": {"devices": [{"path": "/x", "type": "x"}]}}"#, "linux.devices[0].type"),
            (r#"{"root": {"path": "a"}, "root": {"path": "b"}}"#, "root"),
            (r#"{"r\u006fot": []}"#, "root"),
            (r#"{"annotations": {"a": "b", "c": 1}}"#, "annotations.c"),
            (r#"{"mounts": [{"destination": "/a"},]}"#, "mounts"),
            (r#"{"process": {"user": {"uid": 1"#, "process.user.uid"),
            ("{}", ""),
            ("[1]", ""),
            ("", ""),
        ] {
            let error = serde_json::from_slice::<Config>(json.as_bytes()).unwrap_err();
            assert_eq!(path(json.as_bytes(), &error), expected, "{json}: {error}");
        }
    }

    #[test]
    fn reasons() {
        let error = serde_json::from_slice::<Config>(b"{}").unwrap_err();
        assert_eq!(reason(&error), "missing field `ociVersion`");
    }
}
