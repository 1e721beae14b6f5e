//! `image history`: how an image came to be, as its configuration tells it, newest first.
//!
//! Runs in: parent · image-spec config.md (`history`)

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::list::{human, printable};
use super::{Digest, Image, Store, gc};

/// An element of `history`. What is not of the right type says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Note {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    empty_layer: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// The diff id of the layer that it made, if it made one.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<Digest>,
    /// Bytes that the layer takes, unpacked.
    size: u64,
}

pub(crate) fn steps(store: &Store, image: &Image) -> Vec<Step> {
    let mut steps = told(&image.history, &image.rootfs.diff_ids);
    for step in &mut steps {
        step.size = step.layer.as_ref().map_or(0, |layer| gc::disk_usage(&store.layer(layer)));
    }
    steps
}

/// Steps and layers side by side. A history may be absent or short: then layers are left, and come last.
fn told(history: &[Value], layers: &[Digest]) -> Vec<Step> {
    let mut layers = layers.iter().cloned();
    let notes = history.iter().map(|note| Note::deserialize(note).unwrap_or_default());
    let step = |note: Note, layer| Step {
        created: note.created,
        created_by: note.created_by,
        author: note.author,
        comment: note.comment,
        layer,
        size: 0,
    };
    let mut steps: Vec<Step> = notes
        .map(|note| {
            let layer = if note.empty_layer { None } else { layers.next() };
            step(note, layer)
        })
        .collect();
    steps.extend(layers.map(|layer| step(Note::default(), Some(layer))));
    steps.reverse();
    steps
}

pub(crate) fn table(steps: &[Step]) -> String {
    let mut text = format!("{:12}  {:20}  {:>10}  CREATED BY\n", "LAYER", "CREATED", "SIZE");
    for step in steps {
        let layer = step.layer.as_ref().map_or("-".to_owned(), Digest::short);
        let created = step.created.as_deref().map_or("-".to_owned(), seconds);
        let created_by = shortened(&printable(step.created_by.as_deref().unwrap_or("-")));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{layer:12}  {created:20}  {:>10}  {created_by}", human(step.size));
    }
    text
}

/// RFC 3339 without the fraction of a second.
fn seconds(time: &str) -> String {
    let time = printable(time);
    match time.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}{}", fraction.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => time,
    }
}

/// A script in a line of the table; JSON has all of it.
fn shortened(command: &str) -> String {
    const LONGEST: usize = 70;
    if command.chars().count() <= LONGEST {
        return command.to_owned();
    }
    command.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_and_layers() {
        let layers = [Digest::of(b"a"), Digest::of(b"b")];
        let history = [
            json!({"created": "2026-01-31T12:00:00.123456789Z", "created_by": "ADD\u{1b}[2J"}),
            json!({"created_by": "CMD", "empty_layer": true}),
        ];
        let steps = told(&history, &layers);
        let made: Vec<_> = steps.iter().map(|step| (step.created_by.as_deref(), step.layer.clone())).collect();
        let [a, b] = layers;
        assert_eq!(made, [(None, Some(b)), (Some("CMD"), None), (Some("ADD\u{1b}[2J"), Some(a))]);
        let table = table(&steps);
        assert!(table.contains("  2026-01-31T12:00:00Z  ") && table.contains("ADD\\u{1b}[2J\n"), "{table}");
    }

    #[test]
    fn a_history_of_anything_is_no_error() {
        assert_eq!(told(&[json!(3), json!({"created": 5})], &[]).len(), 2);
        assert_eq!(shortened(&"é".repeat(100)).chars().count(), 70);
    }
}
