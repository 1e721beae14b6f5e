//! Where in config.json a value is written: a JSON pointer (RFC 6901) to a line and a column.
//!
//! Runs in: parent (`validate`)

use super::unique::{length, unescaped};

/// Every value of a document, in the order written, by the place of its name or, in a list, of itself.
#[derive(Debug)]
pub(crate) struct Positions<'a> {
    text: &'a [u8],
    values: Vec<(String, usize)>,
}

/// An object or list that has been opened, and how long its own pointer is.
enum Level {
    Object { own: usize, before_colon: bool },
    List { own: usize, next: usize, expecting: bool },
}

impl<'a> Positions<'a> {
    /// `text` must be valid JSON.
    pub(crate) fn of(text: &'a [u8]) -> Self {
        let mut values = Vec::new();
        let mut levels: Vec<Level> = Vec::new();
        let mut pointer = String::new();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if let Some(Level::List { own, next, expecting: expecting @ true }) = levels.last_mut()
                && byte != b']'
                && !byte.is_ascii_whitespace()
            {
                *expecting = false;
                pointer.truncate(*own);
                pointer.push_str(&format!("/{next}"));
                *next += 1;
                values.push((pointer.clone(), at));
            }
            match (byte, levels.last_mut()) {
                (b'"', level) => {
                    let string = &text[at + 1..][..length(&text[at + 1..])];
                    if let Some(Level::Object { own, before_colon: true }) = level {
                        pointer.truncate(*own);
                        pointer.push('/');
                        pointer.push_str(&escape(&String::from_utf8_lossy(&unescaped(string))));
                        values.push((pointer.clone(), at));
                    }
                    at += string.len() + 1;
                }
                (b'{', _) => levels.push(Level::Object { own: pointer.len(), before_colon: true }),
                (b'[', _) => levels.push(Level::List { own: pointer.len(), next: 0, expecting: true }),
                (b'}' | b']', _) => {
                    if let Some(Level::Object { own, .. } | Level::List { own, .. }) = levels.pop() {
                        pointer.truncate(own);
                    }
                }
                (b':', Some(Level::Object { before_colon, .. })) => *before_colon = false,
                (b',', Some(Level::Object { before_colon, .. })) => *before_colon = true,
                (b',', Some(Level::List { expecting, .. })) => *expecting = true,
                _ => {}
            }
            at += 1;
        }
        Self { text, values }
    }

    /// Line and column, from 1, of a value, or of the nearest one around it that is written down.
    pub(crate) fn find(&self, pointer: &str) -> (usize, usize) {
        let mut pointer = pointer;
        loop {
            if let Some((_, at)) = self.values.iter().find(|(known, _)| known == pointer) {
                return self.line(*at);
            }
            match pointer.rsplit_once('/') {
                Some((around, _)) => pointer = around,
                None => return (1, 1),
            }
        }
    }

    /// Whether something is written there.
    pub(crate) fn has(&self, pointer: &str) -> bool {
        self.values.iter().any(|(known, _)| known == pointer)
    }

    /// Names that their object has already, with their places.
    pub(crate) fn repeated(&self) -> Vec<(&str, (usize, usize))> {
        let mut seen = std::collections::HashSet::new();
        let again = self.values.iter().filter(|(pointer, _)| !seen.insert(pointer));
        again.map(|(pointer, at)| (pointer.as_str(), self.line(*at))).collect()
    }

    fn line(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..at];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        (1 + before.iter().filter(|byte| **byte == b'\n').count(), 1 + at - start)
    }
}

/// A name as part of a pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The pointer to a property as errors name it: `/mounts/4/options` for `mounts[4].options`.
pub(crate) fn pointer(property: &str) -> String {
    let mut pointer = String::new();
    for part in property.split('.').filter(|part| !part.is_empty()) {
        let (name, indexes) = part.split_at(part.find('[').unwrap_or(part.len()));
        pointer.push('/');
        pointer.push_str(&escape(name));
        for index in indexes.split(['[', ']']).filter(|index| !index.is_empty()) {
            pointer.push('/');
            pointer.push_str(index);
        }
    }
    pointer
}

/// And back.
pub(crate) fn property(pointer: &str) -> String {
    let mut property = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() && !property.is_empty() {
            property.push_str(&format!("[{part}]"));
        } else {
            let name = part.replace("~1", "/").replace("~0", "~");
            property.push_str(if property.is_empty() { "" } else { "." });
            property.push_str(&name);
        }
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "a": {"b/c": [1, {"d": "x,]}"},
    []], "e": null},
  "list": [
    "one",
    "tw\"o" ],
  "a": 2
}"#;

    #[test]
    fn values_are_found() {
        let positions = Positions::of(TEXT.as_bytes());
        for (pointer, line) in [
            ("", (1, 1)),
            ("/a", (2, 3)),
            ("/a/b~1c", (2, 9)),
            ("/a/b~1c/0", (2, 17)),
            ("/a/b~1c/1/d", (2, 21)),
            ("/a/b~1c/2", (3, 5)),
            ("/a/e", (3, 10)),
            ("/list/0", (5, 5)),
            ("/list/1", (6, 5)),
            ("/list/7/x", (4, 3)),
            ("/nosuch/x", (1, 1)),
        ] {
            assert_eq!(positions.find(pointer), line, "{pointer}");
        }
        assert_eq!(positions.repeated(), [("/a", (7, 3))]);
    }

    #[test]
    fn properties_and_pointers() {
        for (name, path) in [
            ("mounts[4].options", "/mounts/4/options"),
            ("ociVersion", "/ociVersion"),
            ("linux.seccomp.syscalls[3].args[0]", "/linux/seccomp/syscalls/3/args/0"),
        ] {
            assert_eq!(pointer(name), path);
            assert_eq!(property(path), name);
        }
        assert_eq!(property("/linux/sysctl/net~1x"), "linux.sysctl.net/x");
    }
}
