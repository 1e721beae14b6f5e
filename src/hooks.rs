//! Hooks: programs that an engine wants run at points of a container's life.
//!
//! Runs in: both · config.md, "POSIX-platform Hooks"; runtime.md, "Lifecycle"
//!
//! A hook gets the container's state on stdin and a session of its own. What it prints is shown if
//! it fails, or goes to files (`output`). It may leave daemons behind; after a timeout, though, its whole process group is killed.

mod output;

use std::ffi::CString;
use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::pwrite;
use nix::sys::wait::WaitStatus;
use nix::unistd::{AccessFlags, pipe2, read};
use serde::{Deserialize, Serialize};

use crate::error::code::Code;
use crate::error::{self, Error, For as _, Meaning, On as _, Property, Result};
use crate::seccomp::Filter;
use crate::spec::config;
use crate::spec::map::Map;
use crate::sys;
use crate::sys::Call as _;
use crate::sys::spawn::{Child, Program};
use crate::timings;

pub(crate) use output::{Output, STDERR, STDOUT, Streams};

/// All hooks of a container, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) prestart: Vec<Hook>,
    pub(crate) create_runtime: Vec<Hook>,
    pub(crate) create_container: Vec<Hook>,
    pub(crate) start_container: Vec<Hook>,
    pub(crate) poststart: Vec<Hook>,
    pub(crate) poststop: Vec<Hook>,
    pub(crate) output: Output,
}

/// One hook. Those that run after create are kept in the container's record in this form, because
/// config.json may change meanwhile, without effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hook {
    kind: Kind,
    index: usize,
    path: PathBuf,
    args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Vec<String>>,
    /// Seconds, above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Kind {
    const fn property(self) -> &'static str {
        match self {
            Self::Prestart => "hooks.prestart",
            Self::CreateRuntime => "hooks.createRuntime",
            Self::CreateContainer => "hooks.createContainer",
            Self::StartContainer => "hooks.startContainer",
            Self::Poststart => "hooks.poststart",
            Self::Poststop => "hooks.poststop",
        }
    }
}

impl Hooks {
    pub(crate) fn compile(config: &config::Hooks, annotations: &Map<String>, bundle: &Path) -> Result<Self> {
        let list = |kind, hooks: &[oci_spec::runtime::Hook]| {
            hooks.iter().enumerate().map(|(index, hook)| Hook::compile(kind, index, hook)).collect::<Result<Vec<_>>>()
        };
        let mut hooks = Self {
            prestart: list(Kind::Prestart, &config.prestart)?,
            create_runtime: list(Kind::CreateRuntime, &config.create_runtime)?,
            create_container: list(Kind::CreateContainer, &config.create_container)?,
            start_container: list(Kind::StartContainer, &config.start_container)?,
            poststart: list(Kind::Poststart, &config.poststart)?,
            poststop: list(Kind::Poststop, &config.poststop)?,
            output: Output::default(),
        };
        if hooks.any_in_create() || any([&hooks.start_container, &hooks.poststart, &hooks.poststop]) {
            hooks.output = Output::compile(annotations, bundle)?;
        }
        Ok(hooks)
    }

    fn any_in_create(&self) -> bool {
        any([&self.prestart, &self.create_runtime, &self.create_container])
    }

    /// For those that run in `create`.
    pub(crate) fn open_output(&self) -> Result<Streams> {
        if self.any_in_create() { self.output.open() } else { Ok(Streams::default()) }
    }
}

fn any(kinds: [&Vec<Hook>; 3]) -> bool {
    kinds.into_iter().any(|hooks| !hooks.is_empty())
}

impl Hooks {
    /// Those that are programs of the host.
    pub(crate) fn of_host(&self) -> impl Iterator<Item = &Hook> {
        let lists = [&self.prestart, &self.create_runtime, &self.create_container, &self.poststart, &self.poststop];
        lists.into_iter().flatten()
    }
}

/// `/usr/bin/hook add (timeout 5 s)`, for `explain`.
impl Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.args.iter().skip(1).try_for_each(|arg| write!(f, " {arg}"))?;
        self.timeout.map_or(Ok(()), |seconds| write!(f, " (timeout {seconds} s)"))
    }
}

/// What the hooks that run at one moment share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    /// The container's state as JSON, right for this moment.
    state: &'a [u8],
    directory: Option<&'a Path>,
    env: Option<&'a [CString]>,
    output: Option<&'a Streams>,
    filter: Option<&'a Filter>,
}

impl<'a> Moment<'a> {
    /// For programs of the host: they start in the bundle (as under runc and crun, whose create goes
    /// there) and inherit our environment unless their `env` is set; many need its PATH and HOME.
    pub(crate) fn runtime(state: &'a [u8], bundle: &'a Path) -> Self {
        Self { state, directory: Some(bundle), env: None, output: None, filter: None }
    }

    /// For programs from the container's image: they start where the container's process will, with
    /// its environment and under its filter. Our environment may hold an engine's secrets and is no
    /// business of theirs.
    pub(crate) fn container(state: &'a [u8], env: &'a [CString], filter: Option<&'a Filter>) -> Self {
        Self { state, directory: None, env: Some(env), output: None, filter }
    }

    pub(crate) fn printing_to(self, output: &'a Streams) -> Self {
        Self { output: Some(output), ..self }
    }
}

/// Runs hooks in order; the first failure ends it.
pub(crate) fn run(hooks: &[Hook], moment: &Moment<'_>) -> Result<()> {
    hooks.iter().try_for_each(|hook| hook.run(moment))
}

/// Runs the poststop hooks. They undo something, and so run whatever fails.
pub(crate) fn run_last(hooks: &[Hook], output: &Output, moment: &Moment<'_>) {
    if !hooks.is_empty() {
        run_all(hooks, &moment.printing_to(&output.open_or_warn()));
    }
}

/// Runs all hooks in order; failures are warnings (runtime.md, lifecycle step 13).
fn run_all(hooks: &[Hook], moment: &Moment<'_>) {
    for error in hooks.iter().filter_map(|hook| hook.run(moment).err()) {
        log::warn!("{error}");
    }
}

impl Hook {
    fn compile(kind: Kind, index: usize, hook: &oci_spec::runtime::Hook) -> Result<Self> {
        let property = Property::at(kind.property(), index);
        let path = hook.path();
        if !path.is_absolute() {
            return Err(property.field("path").invalid(format!("{path:?} is not an absolute path")));
        }
        let timeout = match hook.timeout() {
            None => None,
            Some(seconds) => match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => Some(seconds),
                _ => return Err(property.field("timeout").invalid(format!("{seconds} is not greater than zero"))),
            },
        };
        let args = hook.args().clone().unwrap_or_default();
        let env = hook.env().clone();
        let no_nul = |field, bytes: &[u8]| match bytes.contains(&0) {
            true => Err(property.field(field).invalid("contains a NUL character")),
            false => Ok(()),
        };
        no_nul("path", path.as_os_str().as_bytes())?;
        args.iter().try_for_each(|arg| no_nul("args", arg.as_bytes()))?;
        env.iter().flatten().try_for_each(|variable| no_nul("env", variable.as_bytes()))?;
        Ok(Self { kind, index, path: path.clone(), args, env, timeout })
    }

    /// Whether there is a program that could be executed.
    pub(crate) fn check(&self) -> Result<()> {
        let executable = nix::unistd::access(&self.path, AccessFlags::X_OK).call("access");
        executable.on(self.path.display()).property(self.property().field("path"))
    }

    pub(crate) const fn property(&self) -> Property {
        Property::at(self.kind.property(), self.index)
    }

    fn run(&self, moment: &Moment<'_>) -> Result<()> {
        let started = Instant::now();
        let span = timings::begin();
        let mut output = Tail::default();
        let ended = self.execute(moment, &mut output, timings::traceparent(span.as_ref()));
        if let Some(span) = span {
            span.end(&format!("{} {}", self.property(), self.path.display()));
        }
        let code = if matches!(ended, Ok(End::TimedOut(_))) { Code::HookTimeout } else { Code::HookFailed };
        let problem = match ended {
            Ok(End::Exited(WaitStatus::Exited(_, 0))) => None,
            Ok(End::Exited(WaitStatus::Exited(_, status))) => Some(format!("exited with status {status}")),
            Ok(End::Exited(WaitStatus::Signaled(_, signal, _))) => Some(format!("killed by {signal}")),
            Ok(End::Exited(status)) => Some(format!("ended with {status:?}")),
            Ok(End::TimedOut(limit)) => Some(format!("killed after its timeout of {} s", limit.as_secs())),
            Err(error) => Some(format!("{}: {}", error.call, Meaning(error.errno))),
        };
        let property = self.property();
        log::debug!("{property} ({}): ran for {} ms{output}", self.path.display(), started.elapsed().as_millis());
        match problem {
            None => Ok(()),
            Some(problem) => {
                let reason = format!("{problem}{output}");
                let kind = error::Kind::Hook { property, path: self.path.display().to_string(), reason };
                Err(Error::from(kind).code_is(code))
            }
        }
    }

    fn execute(&self, moment: &Moment<'_>, output: &mut Tail, trace: Option<String>) -> sys::Result<End> {
        let stdin = stdin_with(moment.state)?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).call("pipe2")?;
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).call("fcntl")?;
        let path = sys::c_path(&self.path)?;
        let args = match self.args.is_empty() {
            true => vec![path.clone()],
            false => c_strings(&self.args)?,
        };
        let mut env = self.env(moment)?;
        // Not for the image's programs, to which it is nobody's business.
        if let Some(trace) = trace.filter(|_| moment.env.is_none() && !self.has_variable(b"TRACEPARENT=")) {
            env.retain(|variable| !variable.to_bytes().starts_with(b"TRACEPARENT="));
            env.push(sys::c_string(format!("TRACEPARENT={trace}"))?);
        }
        let directory = moment.directory.map(sys::c_path).transpose()?;
        let program = Program {
            path: &path,
            args: &args,
            env: &env,
            directory: directory.as_deref(),
            stdin: stdin.as_fd(),
            stdout: moment.output.and_then(Streams::stdout).unwrap_or(writer.as_fd()),
            stderr: moment.output.and_then(Streams::stderr).unwrap_or(writer.as_fd()),
            filter: moment.filter.map(|filter| (filter.flags(), filter.program())),
        };
        let child = program.spawn()?;
        // Only the hook holds the other end now: end-of-file means that nobody can print any more.
        drop(writer);
        attend(child, self.timeout.map(Duration::from_secs), &reader, output)
    }

    fn has_variable(&self, prefix: &[u8]) -> bool {
        self.env.iter().flatten().any(|variable| variable.as_bytes().starts_with(prefix))
    }

    fn env(&self, moment: &Moment<'_>) -> sys::Result<Vec<CString>> {
        match (&self.env, moment.env) {
            (Some(own), _) => c_strings(own),
            (None, Some(given)) => Ok(given.to_vec()),
            (None, None) => std::env::vars_os()
                .map(|(name, value)| sys::c_string([&name.into_vec()[..], b"=", &value.into_vec()].concat()))
                .collect(),
        }
    }
}

fn c_strings(strings: &[String]) -> sys::Result<Vec<CString>> {
    strings.iter().map(sys::c_string).collect()
}

/// A file in memory: a hook that reads gets the state and end-of-file, one that does not cannot
/// block or kill us, however long the state is, and it can be opened again as /dev/stdin.
fn stdin_with(state: &[u8]) -> sys::Result<OwnedFd> {
    let file = memfd_create(c"state", MFdFlags::MFD_CLOEXEC).call("memfd_create")?;
    let mut written = 0;
    while written < state.len() {
        // The offset of the descriptor stays 0.
        written += sys::retry(|| pwrite(&file, &state[written..], written as i64)).call("pwrite64")?;
    }
    Ok(file)
}

enum End {
    Exited(WaitStatus),
    TimedOut(Duration),
}

/// Waits for the end of the hook, or makes an end of it.
fn attend(child: Child, timeout: Option<Duration>, reader: &OwnedFd, output: &mut Tail) -> sys::Result<End> {
    let exited = watch(&child, timeout, reader, output);
    if let Ok(true) = exited {
        return child.wait().map(End::Exited);
    }
    child.kill_group()?;
    child.wait()?;
    output.drain(reader);
    exited.map(|_| End::TimedOut(timeout.unwrap_or_default()))
}

/// Reads what the hook prints until it has exited, or its time is up: false.
fn watch(child: &Child, timeout: Option<Duration>, reader: &OwnedFd, output: &mut Tail) -> sys::Result<bool> {
    let deadline = timeout.and_then(|limit| Instant::now().checked_add(limit));
    let mut printing = true;
    loop {
        let remaining = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if remaining == Some(Duration::ZERO) {
            return Ok(false);
        }
        let mut fds = [PollFd::new(child.as_fd(), PollFlags::POLLIN), PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        let watched = if printing { &mut fds[..] } else { &mut fds[..1] };
        sys::retry(|| poll(watched, remaining.map_or(PollTimeout::NONE, milliseconds))).call("poll")?;
        let exited = fds[0].any() == Some(true);
        printing = printing && output.drain(reader);
        if exited {
            // Its last words, if they came after the drain above.
            output.drain(reader);
            return Ok(true);
        }
    }
}

/// Rounded up, so that the last wait does not become a busy loop; long ones are split.
fn milliseconds(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time.as_millis() + 1).unwrap_or(PollTimeout::MAX)
}

/// The end of what a hook printed.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    const LENGTH: usize = 1024;

    /// Takes what is there to read, but not more than a pipe holds, as a hook may print without end.
    /// False when nobody can print any more.
    fn drain(&mut self, reader: &OwnedFd) -> bool {
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            match read(reader, &mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.0.extend_from_slice(&buffer[..count]);
                    self.0.drain(..self.0.len().saturating_sub(Self::LENGTH));
                }
                Err(Errno::EINTR) => {}
                Err(_) => return true,
            }
        }
        true
    }
}

/// `; output: first line / last line`, or nothing. One line, no control characters.
impl Display for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let shown: String = lines.join(" / ").chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        write!(f, "; output: {shown}")
    }
}

#[cfg(test)]
mod tests;
