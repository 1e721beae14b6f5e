//! Where messages go: the file of `--log`, else standard error; as text or JSON lines.
//!
//! Runs in: both
//!
//! One descriptor, opened for appending, that init inherits and execve closes. Engines read the
//! last line with `"level":"error"` as the reason of a failure, and its `msg` is what they show.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata};
use serde::Serialize;

use crate::clock::Utc;
use crate::error::report::{Details, Report};
use crate::error::{Error, On as _, Result};
use crate::sys::Call as _;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Default)]
struct Logger {
    file: Option<File>,
    format: Format,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Warnings that are wanted as values, instead of in the log.
static CAPTURED: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// From here on warnings are kept.
pub(crate) fn capture() {
    *CAPTURED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
}

/// What has been kept, each once; from here on warnings are logged again.
pub(crate) fn captured() -> Vec<String> {
    CAPTURED.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// Called once, before anything is logged.
pub(crate) fn init(path: Option<&Path>, format: Format, level: LevelFilter) -> Result<()> {
    let open = |path: &Path| OpenOptions::new().append(true).create(true).open(path).call("open").on(path.display());
    let file = path.map(open).transpose()?;
    let logger = LOGGER.get_or_init(|| Logger { file, format });
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// The one error that ends a command: on standard error for people, and in the log for engines.
pub(crate) fn fatal(error: &Error) {
    let logger = LOGGER.get_or_init(Logger::default);
    let mut report = Report::of(error);
    report.message = report.message.replace('\n', " ");
    if logger.file.is_some() || logger.format == Format::Json {
        logger.put(&logger.line(Level::Error, &report.message, Some(&report)));
    }
    if logger.file.is_some() || logger.format == Format::Text {
        write(&mut std::io::stderr(), format_args!("orlop: {}\n", report.message));
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if let Some(kept) = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let text = record.args().to_string();
            if record.level() == Level::Warn && !kept.contains(&text) {
                kept.push(text);
            }
            return;
        }
        self.put(&self.line(record.level(), &record.args().to_string(), None));
    }

    fn flush(&self) {}
}

impl Logger {
    fn put(&self, line: &str) {
        match &self.file {
            Some(file) => write(&mut &*file, format_args!("{line}")),
            None => write(&mut std::io::stderr(), format_args!("{line}")),
        }
    }

    fn line(&self, level: Level, msg: &str, report: Option<&Report>) -> String {
        let level = name(level);
        match (self.format, &self.file) {
            (Format::Json, _) => {
                let error = report.map(|report| Fields {
                    code: report.code.name(),
                    phase: report.phase.name(),
                    details: &report.details,
                });
                let line = Line { level, msg, time: Utc::now().to_string(), error };
                // Strings only: cannot fail.
                serde_json::to_string(&line).unwrap_or_default() + "\n"
            }
            (Format::Text, Some(_)) => {
                let code = report.map_or_else(String::new, |report| format!(" code={}", report.code.name()));
                format!("time=\"{}\" level={level} msg={msg:?}{code}\n", Utc::now())
            }
            (Format::Text, None) => format!("orlop: {level}: {msg}\n"),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    msg: &'a str,
    time: String,
    #[serde(flatten)]
    error: Option<Fields<'a>>,
}

/// What ended the command, in parts; `docs/errors.md` has the words.
#[derive(Serialize)]
struct Fields<'a> {
    code: &'static str,
    phase: &'static str,
    #[serde(flatten)]
    details: &'a Details,
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// One write call a line, so that lines of several processes do not mix. A full disk or a closed
/// pipe is no reason to fail what the line is about.
fn write(to: &mut dyn std::io::Write, line: std::fmt::Arguments<'_>) {
    let _ = to.write_all(line.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Property;

    #[test]
    fn a_json_line_is_one_object_with_level_msg_and_time() {
        let logger = Logger { file: None, format: Format::Json };
        let line = logger.line(Level::Warn, "a \"b\"\nc", None);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "warning");
        assert_eq!(object["msg"], "a \"b\"\nc");
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(object.as_object().unwrap().len(), 3);
    }

    #[test]
    fn the_line_of_an_error_names_code_phase_and_parts() {
        let logger = Logger { file: None, format: Format::Json };
        let report = Report::of(&Property::at("mounts", 2).field("source").invalid("no"));
        let object: serde_json::Value =
            serde_json::from_str(&logger.line(Level::Error, &report.message, Some(&report))).unwrap();
        assert_eq!(object["msg"], "mounts[2].source: no");
        assert_eq!(object["code"], "config-invalid");
        assert_eq!(object["phase"], "arguments");
        assert_eq!(object["property"], "mounts[2].source");
        assert_eq!(object.get("hint"), None);
    }

    #[test]
    fn a_text_line_is_for_people_on_stderr_and_for_programs_in_a_file() {
        let stderr = Logger { file: None, format: Format::Text };
        assert_eq!(stderr.line(Level::Warn, "careful", None), "orlop: warning: careful\n");
        let file = Logger { file: Some(File::open("/dev/null").unwrap()), format: Format::Text };
        assert!(file.line(Level::Warn, "a \"b\"", None).ends_with("level=warning msg=\"a \\\"b\\\"\"\n"));
    }
}
