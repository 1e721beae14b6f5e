//! `validate`: every finding about a bundle at once, without a side effect.
//!
//! Runs in: parent
//!
//! The judges are the functions that `create` calls, and each of them ends at the first thing that is wrong. So
//! what is wrong is set aside in a copy of the document, and the copy is judged again, until nothing is left:
//! what comes out is what would be found next if the finding before were repaired. Then the host is asked for
//! what the plan refers to.

mod document;
mod host;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::container::CreateOptions;
use crate::error::code::Code;
use crate::error::report::Report;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::log as output;
use crate::plan::Plan;
use crate::spec::position::{self, Positions};
use crate::spec::{self, unknown};
use document::Document;

/// More than anybody reads.
const MOST: usize = 200;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    /// RFC 6901; empty for the whole document.
    pub(crate) pointer: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// `create` would fail.
    Error,
    /// `create` would go on, and probably not as meant.
    Warning,
}

/// What is to be said of a bundle, in the order of its lines.
pub(crate) fn validate(options: &CreateOptions) -> Result<Vec<Finding>> {
    let text = spec::read(&options.bundle)?;
    let mut findings = match serde_json::from_slice::<Value>(&text) {
        Ok(document) => judge(&text, document, options),
        Err(error) => vec![Finding {
            severity: Severity::Error,
            code: Code::ConfigSyntax.name(),
            pointer: String::new(),
            line: error.line().max(1),
            column: error.column().max(1),
            message: error.to_string(),
        }],
    };
    findings.sort_by_key(|finding| (finding.line, finding.column, finding.severity));
    Ok(findings)
}

fn judge(text: &[u8], document: Value, options: &CreateOptions) -> Vec<Finding> {
    let positions = Positions::of(text);
    let mut list = List { positions: &positions, findings: Vec::new() };
    for (pointer, (line, column)) in positions.repeated() {
        let message = format!("{}: duplicate name: an object may have it once", position::property(pointer));
        list.at(Severity::Error, Code::ConfigSyntax.name(), pointer, message);
        if let Some(last) = list.findings.last_mut() {
            (last.line, last.column) = (line, column);
        }
    }
    unknown::visit(&document, &mut |pointer, nearest| {
        let advice = nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        let message = format!("{}: unknown property, ignored{advice}", position::property(pointer));
        list.at(Severity::Warning, "unknown-property", pointer, message);
    });
    output::capture();
    let mut document = Document::new(document);
    let plan = errors(&mut document, options, &mut list);
    for warning in output::captured() {
        let named = warning.split(": ").next().map(|words| words.split(' ').next().unwrap_or_default());
        let pointer = document.original(&position::pointer(named.unwrap_or_default()));
        let pointer = if positions.has(&pointer) { pointer } else { String::new() };
        list.at(Severity::Warning, "warning", &pointer, warning);
    }
    if let Some(plan) = plan {
        for error in host::check(&plan, &document) {
            list.error(&document, &document.pointer(&error), &error);
        }
    }
    list.findings
}

/// All errors, and the plan of what is left.
fn errors(document: &mut Document, options: &CreateOptions, list: &mut List<'_>) -> Option<Plan> {
    let host = Host::new();
    let compile = |text: &[u8]| spec::parse(text).and_then(|config| Plan::compile(&config, &host, options));
    while list.findings.len() < MOST {
        let error = match compile(&document.text()) {
            Ok(plan) => return Some(plan),
            Err(error) => error,
        };
        let said = error.to_string();
        let place = document.pointer(&error);
        let place = document.narrowed(place, |text| compile(text).err().is_none_or(|other| other.to_string() != said));
        if !document.is_consequence(&place) {
            list.error(document, &place, &error);
        }
        if !document.set_aside(&place) {
            return None;
        }
    }
    None
}

struct List<'a> {
    positions: &'a Positions<'a>,
    findings: Vec<Finding>,
}

impl List<'_> {
    fn at(&mut self, severity: Severity, code: &'static str, pointer: &str, message: String) {
        let (line, column) = self.positions.find(pointer);
        let finding = Finding { severity, code, pointer: pointer.to_owned(), line, column, message };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// `place` is in the document as it is now, and told as it was written.
    fn error(&mut self, document: &Document, place: &str, error: &Error) {
        let report = Report::of(error);
        let message = report.message.strip_prefix("config.json: ").unwrap_or(&report.message);
        // Of the copy, which is one line.
        let message = message.split_once(" at line 1 column ").map_or(message, |(message, _)| message);
        let now = position::property(&document.pointer(error));
        let written = position::property(&document.original(&document.pointer(error)));
        let message = match message.strip_prefix(&now) {
            Some(rest) if !now.is_empty() => written + rest,
            _ => message.to_owned(),
        };
        self.at(Severity::Error, report.code.name(), &document.original(place), message);
    }
}

/// For people: one line for each finding, as compilers write them, and one about all.
pub(crate) fn text(path: &Path, findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { severity, code, line, column, message, .. } in findings {
        let severity = if *severity == Severity::Error { "error" } else { "warning" };
        text += &format!("{}:{line}:{column}: {severity}: {message} [{code}]\n", path.display());
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let verdict = if errors == 0 { "valid" } else { "not valid" };
    text + &format!("{}: {verdict}; errors: {errors}, warnings: {}\n", path.display(), findings.len() - errors)
}
