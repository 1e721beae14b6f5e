//! A copy of config.json from which what is wrong is set aside, piece by piece.
//!
//! Runs in: parent (`validate`)

use serde_json::{Value, json};

use crate::error::Error;
use crate::error::report::Report;
use crate::spec::position;

/// What no configuration can do without, and what stands in for it while the rest is judged.
fn stand_in(pointer: &str) -> Option<Value> {
    Some(match pointer {
        "/ociVersion" => json!("1.0.0"),
        "/root" => json!({"path": "/"}),
        "/root/path" | "/process/cwd" => json!("/"),
        "/process/args" => json!(["/bin/true"]),
        "/process/user" => json!({"uid": 0, "gid": 0}),
        "/process/user/uid" | "/process/user/gid" => json!(0),
        "/linux/uidMappings" | "/linux/gidMappings" => json!([{"containerID": 0, "hostID": 0, "size": 1}]),
        _ => return None,
    })
}

pub(super) struct Document {
    value: Value,
    /// Elements of lists that are gone, as they were numbered in the beginning: the list and the index.
    gone: Vec<(String, usize)>,
    /// Everything that was set aside or replaced, as it is numbered in the beginning.
    touched: Vec<String>,
}

impl Document {
    pub(super) fn new(value: Value) -> Self {
        Self { value, gone: Vec::new(), touched: Vec::new() }
    }

    pub(super) fn text(&self) -> Vec<u8> {
        // A document that was read can be written.
        serde_json::to_vec(&self.value).unwrap_or_default()
    }

    /// Which value of the document, as it is now, an error is about: by its property, or by its first words.
    /// What is missing is named by the object that it is missing from.
    pub(super) fn pointer(&self, error: &Error) -> String {
        let report = Report::of(error);
        let message = report.message.strip_prefix("config.json: ").unwrap_or(&report.message);
        let property = match report.details.property.as_str() {
            "" => message.split(": ").next().filter(|name| !name.contains(' ')).unwrap_or_default(),
            property => property,
        };
        let mut pointer = position::pointer(property);
        // "missing field `cwd`" says nothing of an object at the top.
        if self.nearest(&pointer).is_empty() && report.details.property.is_empty() {
            pointer.clear();
        }
        match message.split_once("missing field `").and_then(|(_, rest)| rest.split_once('`')) {
            Some((name, _)) => pointer + "/" + &position::escape(name),
            None => pointer,
        }
    }

    /// The longest part of a pointer that leads to something.
    fn nearest(&self, pointer: &str) -> String {
        let mut pointer = pointer;
        while self.value.pointer(pointer).is_none() {
            pointer = pointer.rsplit_once('/').map_or("", |(around, _)| around);
        }
        pointer.to_owned()
    }

    /// An error about an object with free keys as a whole is usually one about a single member, without which it is another error or
    /// none: `differs` compiles a text and says so.
    pub(super) fn narrowed(&self, pointer: String, differs: impl Fn(&[u8]) -> bool) -> String {
        let Some(Value::Object(members)) = self.value.pointer(&pointer) else { return pointer };
        let is_element = pointer.rsplit_once('/').is_none_or(|(around, _)| self.is_list(around));
        if is_element || stand_in(&pointer).is_some() {
            return pointer;
        }
        let without = |name: &String| {
            let mut copy = self.value.clone();
            let map = copy.pointer_mut(&pointer).and_then(Value::as_object_mut);
            map.map(|map| map.remove(name));
            serde_json::to_vec(&copy).unwrap_or_default()
        };
        match members.keys().find(|name| differs(&without(name))) {
            Some(name) => format!("{pointer}/{}", position::escape(name)),
            None => pointer,
        }
    }

    /// Whether the value, or one around it or in it, has been touched: then the error may be our own doing.
    pub(super) fn is_consequence(&self, pointer: &str) -> bool {
        let written = self.original(pointer);
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.touched.iter().any(|touched| within(&written, touched) || within(touched, &written))
    }

    fn is_list(&self, pointer: &str) -> bool {
        self.value.pointer(pointer).is_some_and(Value::is_array)
    }

    /// The pointer as it was in the beginning.
    pub(super) fn original(&self, pointer: &str) -> String {
        let mut written = String::new();
        let mut now = String::new();
        for part in pointer.split('/').skip(1) {
            let index = part.parse::<usize>().ok().filter(|_| self.is_list(&now));
            let part_written = match index {
                Some(index) => self.written_index(&written, index).to_string(),
                None => part.to_owned(),
            };
            now = format!("{now}/{part}");
            written = format!("{written}/{part_written}");
        }
        written
    }

    fn written_index(&self, list: &str, index: usize) -> usize {
        let mut gone: Vec<usize> = self.gone.iter().filter(|(of, _)| of == list).map(|(_, index)| *index).collect();
        gone.sort_unstable();
        gone.into_iter().fold(index, |index, gone| if gone <= index { index + 1 } else { index })
    }

    /// Takes what is wrong out of the way: an element of a list, or a property. False when what is left would
    /// only be judged for what is gone.
    pub(super) fn set_aside(&mut self, pointer: &str) -> bool {
        let types = self.namespace_types();
        let written = self.original(pointer);
        if let Some(value) = stand_in(pointer) {
            return self.replace(pointer, written, value);
        }
        let place = self.removable(pointer);
        let Some((around, name)) = place.rsplit_once('/') else { return false };
        let place_written = self.original(&place);
        let list_written = self.original(around);
        match self.value.pointer_mut(around) {
            Some(Value::Array(list)) => {
                let Some(index) = name.parse::<usize>().ok().filter(|index| *index < list.len()) else { return false };
                let gone = (list_written.clone(), self.written_index(&list_written, index));
                if let Some(Value::Array(list)) = self.value.pointer_mut(around) {
                    list.remove(index);
                }
                self.gone.push(gone);
            }
            Some(Value::Object(map)) => {
                if map.remove(&name.replace("~1", "/").replace("~0", "~")).is_none() {
                    return false;
                }
            }
            _ => return false,
        }
        self.touched.extend([place_written, written]);
        types == self.namespace_types()
    }

    fn replace(&mut self, pointer: &str, written: String, value: Value) -> bool {
        let Some((around, name)) = pointer.rsplit_once('/') else { return false };
        let Some(map) = self.value.pointer_mut(around).and_then(Value::as_object_mut) else { return false };
        let before = map.insert(name.to_owned(), value.clone());
        self.touched.push(written);
        before != Some(value)
    }

    /// The smallest thing that can be without leaving something half: the innermost element of a list, else the
    /// property. A namespace stays, without its path, because much else depends on there being one.
    fn removable(&self, pointer: &str) -> String {
        let nearest = self.nearest(pointer);
        if nearest.starts_with("/linux/namespaces/") && nearest.ends_with("/path") {
            return nearest;
        }
        let mut place = nearest.as_str();
        while let Some((around, _)) = place.rsplit_once('/') {
            if self.is_list(around) {
                return place.to_owned();
            }
            place = around;
        }
        nearest
    }

    fn namespace_types(&self) -> Vec<Value> {
        let list = self.value.pointer("/linux/namespaces").and_then(Value::as_array);
        let mut types: Vec<Value> = Vec::new();
        for namespace in list.into_iter().flatten() {
            if let Some(kind) = namespace.get("type").filter(|kind| !types.contains(kind)) {
                types.push(kind.clone());
            }
        }
        types.sort_by_key(Value::to_string);
        types
    }

    /// Whether anything at or below a pointer was set aside or replaced.
    pub(super) fn is_touched(&self, pointer: &str) -> bool {
        self.touched.iter().any(|touched| touched.starts_with(pointer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Property;

    #[test]
    fn indexes_stay_those_that_were_written() {
        let mut document = Document::new(json!({"mounts": [{"a": 0}, {"a": 1}, {"a": 2}, {"a": 3}]}));
        for (now, written) in [("/mounts/1/a", "/mounts/1/a"), ("/mounts/1", "/mounts/2"), ("/mounts/0", "/mounts/0")] {
            assert_eq!(document.original(now), written);
            assert!(document.set_aside(now));
        }
        assert_eq!(document.text(), br#"{"mounts":[{"a":3}]}"#);
        assert_eq!(document.original("/mounts/0/a"), "/mounts/3/a");
        assert!(document.is_consequence("/mounts"));
        assert!(!document.is_consequence("/mounts/0"));
    }

    #[test]
    fn what_is_needed_is_replaced() {
        let mut document =
            Document::new(json!({"process": {"cwd": "x"}, "root": {"path": "/nosuch", "readonly": true}}));
        let error = Error::other("config.json: process: missing field `user`");
        assert_eq!(document.pointer(&error), "/process/user");
        assert!(document.set_aside("/process/user") && document.set_aside("/process/cwd"));
        assert!(!document.set_aside("/process/cwd"), "what stands in cannot be replaced");
        assert!(document.is_consequence("/process/user") && !document.is_consequence("/process/rlimits"));
        let text = String::from_utf8(document.text()).unwrap();
        assert!(text.contains(r#""cwd":"/""#) && text.contains(r#""user":{"gid":0,"uid":0}"#), "{text}");
    }

    #[test]
    fn a_map_is_narrowed_to_a_member() {
        let document = Document::new(json!({"linux": {"sysctl": {"a": "1", "b/c": "2", "d": "3"}}}));
        let differs = |text: &[u8]| !String::from_utf8_lossy(text).contains("b/c");
        assert_eq!(document.narrowed("/linux/sysctl".to_owned(), differs), "/linux/sysctl/b~1c");
        let error = Property::of("linux.sysctl").invalid("no");
        assert_eq!(document.pointer(&error), "/linux/sysctl");
    }

    #[test]
    fn namespaces_are_what_the_rest_depends_on() {
        let two = json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "net", "path": "x"}, {"type": "pid"}]}});
        let mut document = Document::new(two);
        assert!(document.set_aside("/linux/namespaces/2"), "its type is still there");
        assert!(document.set_aside("/linux/namespaces/1/path"));
        assert!(!document.set_aside("/linux/namespaces/0"));
    }
}
