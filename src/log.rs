//! Where messages go: the file of `--log`, else standard error; as text or JSON lines.
//!
//! Runs in: both
//!
//! One descriptor, opened for appending, that init inherits and execve closes. Engines read the
//! last line with `"level":"error"` as the reason of a failure, and its `msg` is what they show.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata};
use serde::Serialize;

use crate::clock::Utc;
use crate::error::{On as _, Result};
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
pub(crate) fn fatal(error: &dyn Display) {
    let logger = LOGGER.get_or_init(Logger::default);
    let text = error.to_string().replace('\n', " ");
    if logger.file.is_some() {
        logger.write(Level::Error, &text);
        write(&mut std::io::stderr(), format_args!("orlop: {text}\n"));
    } else if logger.format == Format::Json {
        logger.write(Level::Error, &text);
    } else {
        write(&mut std::io::stderr(), format_args!("orlop: {text}\n"));
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.write(record.level(), &record.args().to_string());
    }

    fn flush(&self) {}
}

impl Logger {
    fn write(&self, level: Level, message: &str) {
        let line = self.line(level, message);
        match &self.file {
            Some(file) => write(&mut &*file, format_args!("{line}")),
            None => write(&mut std::io::stderr(), format_args!("{line}")),
        }
    }

    fn line(&self, level: Level, message: &str) -> String {
        let level = name(level);
        match (self.format, &self.file) {
            (Format::Json, _) => {
                let line = Line { level, msg: message, time: Utc::now().to_string() };
                // Strings only: cannot fail.
                serde_json::to_string(&line).unwrap_or_default() + "\n"
            }
            (Format::Text, Some(_)) => format!("time=\"{}\" level={level} msg={message:?}\n", Utc::now()),
            (Format::Text, None) => format!("orlop: {level}: {message}\n"),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    level: &'static str,
    msg: &'a str,
    time: String,
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

    #[test]
    fn a_json_line_is_one_object_with_level_msg_and_time() {
        let logger = Logger { file: None, format: Format::Json };
        let line = logger.line(Level::Warn, "a \"b\"\nc");
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["level"], "warning");
        assert_eq!(object["msg"], "a \"b\"\nc");
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_text_line_is_for_people_on_stderr_and_for_programs_in_a_file() {
        let stderr = Logger { file: None, format: Format::Text };
        assert_eq!(stderr.line(Level::Warn, "careful"), "orlop: warning: careful\n");
        let file = Logger { file: Some(File::open("/dev/null").unwrap()), format: Format::Text };
        assert!(file.line(Level::Warn, "a \"b\"").ends_with("level=warning msg=\"a \\\"b\\\"\"\n"));
    }
}
