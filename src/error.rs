//! The one error type, and how a line on stderr comes to name property, object, call and errno.
//!
//! Runs in: both
//!
//! Texts here are read by people and matched by engines (podman and containerd look for phrases
//! such as "does not exist"), so errno meanings are in lower case, as runc prints them.

pub(crate) mod code;
pub(crate) mod report;

use std::fmt::{self, Display};

use nix::errno::Errno;

use crate::phase::{self, Phase};
use crate::sys;
use code::Code;
use report::Report;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A place in config.json, such as `mounts[4].options`. Free to make; rendered only in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    base: &'static str,
    index: Option<usize>,
    field: &'static str,
}

impl Property {
    /// A property that is no list element: `linux.rootfsPropagation`.
    pub(crate) const fn of(base: &'static str) -> Self {
        Self { base, index: None, field: "" }
    }

    /// An element of a list: `Property::at("mounts", 4)`.
    pub(crate) const fn at(base: &'static str, index: usize) -> Self {
        Self { base, index: Some(index), field: "" }
    }

    /// A field of it: `Property::at("mounts", 4).field("options")`.
    pub(crate) const fn field(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    /// The list it is in or the whole of it: `linux.mounts` for `linux.mounts[4].options`.
    pub(crate) fn base(self) -> &'static str {
        self.base
    }

    /// An error about this property's value.
    pub(crate) fn invalid(self, reason: impl Into<String>) -> Error {
        Kind::Config { property: self, reason: reason.into() }.into()
    }

    /// An error about something valid that this build or host cannot do.
    pub(crate) fn unsupported(self, needs: impl Into<String>) -> Error {
        Kind::Unsupported { property: self, needs: needs.into() }.into()
    }
}

impl Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        if !self.field.is_empty() {
            write!(f, ".{}", self.field)?;
        }
        Ok(())
    }
}

/// What went wrong. Boxed: one word on the good path.
pub(crate) struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    /// When it went wrong.
    phase: Phase,
    /// More exact than what the kind says.
    code: Option<Code>,
    /// The kernel's own words.
    kernel: Option<String>,
    /// What the cause may be, or what to do about it.
    hint: Option<String>,
    /// The larger thing that it is a part of.
    place: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    /// A value that the spec forbids.
    #[error("{property}: {reason}")]
    Config { property: Property, reason: String },
    /// A value that is valid, but not possible here.
    #[error("{property}: not supported: {needs}")]
    Unsupported { property: Property, needs: String },
    /// A system call that failed on an object, usually while a property was applied.
    #[error("{}{}{call}: {}", prefix(property), subject(on), Meaning(*errno))]
    Sys { property: Option<Property>, call: &'static str, on: String, errno: Errno },
    /// A container that is missing, or in the wrong status for the command.
    #[error("container {id:?}: {problem}")]
    State { id: String, problem: String },
    /// A hook that failed.
    #[error("{property} ({path}): {reason}")]
    Hook { property: Property, path: String, reason: String },
    /// Init's own error, told to the parent before init died.
    #[error("{}", .0.message)]
    Init(Box<Report>),
    /// Anything whose text says it all: wrong usage, unreadable JSON, an unknown signal.
    #[error("{0}")]
    Other(String),
}

/// `mounts[4] (/data): ` from property and object; nothing where there is none.
fn prefix(property: &Option<Property>) -> String {
    property.map_or_else(String::new, |property| format!("{property}: "))
}

fn subject(on: &str) -> String {
    if on.is_empty() { String::new() } else { format!("{on}: ") }
}

/// `ENOENT: no such file or directory`
pub(crate) struct Meaning(pub(crate) Errno);

impl Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.desc();
        let mut rest = text.chars();
        // "RPC failed", "I/O error" and the like keep their capitals.
        match (rest.next(), rest.clone().next()) {
            (Some(first), Some(second)) if second.is_lowercase() => {
                write!(f, "{:?}: {}{}", self.0, first.to_lowercase(), rest.as_str())
            }
            _ => write!(f, "{:?}: {text}", self.0),
        }
    }
}

/// The same for an error of the standard library.
pub(crate) fn io_meaning(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => Meaning(Errno::from_raw(errno)).to_string(),
        None => error.to_string(),
    }
}

impl Error {
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Kind::Other(text.into()).into()
    }

    pub(crate) fn state(id: impl Display, problem: impl Into<String>) -> Self {
        Kind::State { id: id.to_string(), problem: problem.into() }.into()
    }

    pub(crate) fn no_such_container(id: impl Display) -> Self {
        Self::state(id, "container does not exist").code_is(Code::ContainerNotFound)
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0.kind
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code.unwrap_or_else(|| match self.kind() {
            Kind::Config { .. } => Code::ConfigInvalid,
            Kind::Unsupported { .. } => Code::Unsupported,
            Kind::Sys { errno, .. } => Code::of_errno(*errno),
            Kind::State { .. } => Code::ContainerStatus,
            Kind::Hook { .. } => Code::HookFailed,
            Kind::Init(report) => report.code,
            Kind::Other(_) => Code::Failed,
        })
    }

    /// Gives it a code that says more than its kind.
    pub(crate) fn code_is(mut self, code: Code) -> Self {
        self.0.code = Some(code);
        self
    }

    /// Adds what the kernel says of it.
    pub(crate) fn kernel(mut self, text: impl Into<String>) -> Self {
        self.0.kernel = Some(text.into());
        self
    }

    /// Adds what may be the cause, or a way out. Not in words that engines look for (`docs/engines.md`).
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.0.hint = Some(text.into());
        self
    }

    /// Whether a hook failed: then the container is destroyed (runtime.md#lifecycle).
    pub(crate) fn is_hook(&self) -> bool {
        self.code().is_hook()
    }

    /// The errno behind a failed system call.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self.kind() {
            Kind::Sys { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// The same error, as one of something larger.
    pub(crate) fn within(mut self, place: impl Display) -> Self {
        self.0.place = Some(match self.0.place {
            Some(inner) => format!("{place}: {inner}"),
            None => place.to_string(),
        });
        self
    }

    /// Names the property that was being applied, unless a more exact one is named already.
    pub(crate) fn property(mut self, name: Property) -> Self {
        if let Kind::Sys { property: property @ None, .. } = &mut self.0.kind {
            *property = Some(name);
        }
        self
    }
}

/// One line: `mounts[4]: /data: fsconfig: EINVAL: invalid argument (kernel: ...); hint: ...`
impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, kernel, hint, place, .. } = self.0.as_ref();
        if let Some(place) = place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{kind}")?;
        if let Some(kernel) = kernel {
            write!(f, " (kernel: {kernel})")?;
        }
        match hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.kind(), f)
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        let phase = phase::current();
        Self(Box::new(Inner { kind, phase, code: None, kernel: None, hint: None, place: None }))
    }
}

impl From<sys::Error> for Error {
    fn from(error: sys::Error) -> Self {
        error.on("")
    }
}

impl sys::Error {
    /// Names the object of the failed call: a path, a cgroup file, a namespace.
    pub(crate) fn on(self, object: impl Display) -> Error {
        Kind::Sys { property: None, call: self.call, on: object.to_string(), errno: self.errno }.into()
    }
}

/// Adds the object to a failed system call; nothing is formatted on the good path.
pub(crate) trait On<T> {
    fn on(self, object: impl Display) -> Result<T>;
}

impl<T> On<T> for sys::Result<T> {
    fn on(self, object: impl Display) -> Result<T> {
        self.map_err(|error| error.on(object))
    }
}

/// Adds the property to whatever failed while it was applied.
pub(crate) trait For<T> {
    fn property(self, property: Property) -> Result<T>;
}

impl<T> For<T> for Result<T> {
    fn property(self, property: Property) -> Result<T> {
        self.map_err(|error| error.property(property))
    }
}

impl<T> For<T> for sys::Result<T> {
    fn property(self, property: Property) -> Result<T> {
        self.map_err(|error| error.on("").property(property))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_names_property_object_call_and_errno() {
        let failed: sys::Result<()> = Err(sys::Error { call: "move_mount", errno: Errno::ENOENT });
        let error = failed.on("/data").property(Property::at("mounts", 4)).unwrap_err();
        assert_eq!(error.to_string(), "mounts[4]: /data: move_mount: ENOENT: no such file or directory");
    }

    #[test]
    fn the_first_property_named_stays() {
        let error = sys::Error { call: "open", errno: Errno::EACCES }
            .on("x")
            .property(Property::at("mounts", 1).field("source"))
            .property(Property::of("mounts"));
        assert_eq!(error.to_string(), "mounts[1].source: x: open: EACCES: permission denied");
    }

    #[test]
    fn an_invalid_value_names_its_property() {
        let error = Property::at("process.rlimits", 2).field("type").invalid("RLIMIT_TEST is unknown");
        assert_eq!(error.to_string(), "process.rlimits[2].type: RLIMIT_TEST is unknown");
    }
}
