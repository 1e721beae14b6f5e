//! `exec`: one more process in a container that is there already.
//!
//! Runs in: parent · no part of the runtime-spec: as runc's command
//!
//! The process is made as init is (`init::exec`), in init's namespaces and the container's cgroup.
//! Nothing is recorded of it: it is its caller's child, and ends with the container. Nothing is
//! locked either, because a container that hinders its exec must not hinder its delete.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::attend::{Attendant, take_signals};
use super::create::InitGuard;
use super::{Container, ContainerId, Record, Status, kill};
use crate::cgroup::{Cgroup, Entrance, Sub};
use crate::error::{Error, On as _, Property, Result};
use crate::host::Host;
use crate::init;
use crate::namespace::Namespaces;
use crate::namespace::enter::Launch;
use crate::namespace::running::Running;
use crate::phase::{self, Phase};
use crate::process::listen_fds::ListenFds;
use crate::process::overrides::Overrides;
use crate::process::{self, exec_cpu_affinity};
use crate::rootfs::tools::Tools;
use crate::seccomp::listener::Target;
use crate::seccomp::{self, Filter, Listener};
use crate::spec::{self, Config, Process};
use crate::sync::{self, Channel, FromInit};
use crate::sys::clone::{self, ChildOf, clone3};
use crate::sys::{self, Call as _, pidfd, prctl};
use crate::terminal::Console;
use crate::terminal::relay::Relay;

#[derive(Debug)]
pub(crate) struct ExecOptions {
    pub(crate) root: PathBuf,
    pub(crate) id: ContainerId,
    pub(crate) source: Source,
    /// Tools that the process is to have, and the container has not.
    pub(crate) tools: Option<PathBuf>,
    pub(crate) detach: bool,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) preserve_fds: u32,
    /// Which of them a supervisor opened.
    pub(crate) listen_fds: Option<ListenFds>,
    pub(crate) ignore_paused: bool,
    pub(crate) cgroups: Vec<Sub>,
}

/// What to run: a file with a `process` object, or the container's own one, changed by flags.
#[derive(Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Flags(Overrides),
}

/// Returns the exit status of the process: 128 + n if signal n ended it; 0 if detached.
pub(crate) fn exec(options: ExecOptions) -> Result<i32> {
    sys::exe::seal().on("/proc/self/exe")?;
    let container = Container::find(&options.root, &options.id)?;
    let status = container.status()?;
    let (pid, init) = container.enterable(status, options.ignore_paused)?;
    phase::enter(Phase::Configuration);
    let config = container.config()?;
    let mut plan = without_repetition(&options.source, || Plan::compile(config, &container, &options.source))?;
    plan.process = plan.process.listening(options.listen_fds.as_ref());
    if !options.detach
        && let Some(terminal) = &mut plan.process.terminal
    {
        terminal.adopt_size();
    }
    phase::enter(Phase::Preparation);
    let running = Running::of(init.as_fd(), pid, &plan.namespaces)?;
    let tools = options.tools.as_deref().map(Tools::open).transpose()?;
    let cgroup = Cgroup::open(&container.record.cgroup);
    let console = Console::prepare(plan.process.terminal.as_ref(), options.console_socket.as_deref(), !options.detach)?;
    let signals = if options.detach { None } else { Some(take_signals().on("signals")?) };
    if let Some(classes) = &container.record.intel_rdt {
        // What a process starts is born in its class.
        classes.join(nix::unistd::getpid())?;
    }
    let start = Start {
        plan: &plan,
        running: &running,
        tools: tools.as_ref(),
        cgroup: &cgroup,
        init: pid,
        record: &container.record,
        status,
        subs: &options.cgroups,
        console: console.as_ref(),
        preserve_fds: options.preserve_fds,
    };
    let (process, process_fd) = start.go().map_err(|error| container.why_not(&init, error))?;
    let terminal = console.map(Console::receive).transpose()?.flatten();
    super::send_pidfd(options.pidfd_socket.as_deref(), process_fd.as_fd())?;
    super::write_pid_file(options.pid_file.as_deref(), process.pid.as_raw())?;
    let pid = process.pid.as_raw();
    process.keep();
    match signals {
        Some(signals) => {
            let relay = terminal.map(Relay::new).transpose()?;
            Attendant::new(pid, process_fd, relay, &signals).attend()
        }
        None => Ok(0),
    }
}

impl Container {
    /// Its first process, if another one may be put beside it: it need not have been started.
    fn enterable(&self, status: Status, ignore_paused: bool) -> Result<(i32, OwnedFd)> {
        let refuse = |why: &str| Err(Error::state(&self.record.id, format!("cannot exec in a {why}")));
        let frozen = match status {
            Status::Created => Cgroup::open(&self.record.cgroup).is_frozen()?,
            status => status == Status::Paused,
        };
        if frozen && !ignore_paused {
            return refuse("paused container (use --ignore-paused to override)");
        }
        match (status, self.record.init) {
            (Status::Creating, _) => refuse("container that is still being created"),
            (Status::Stopped, _) | (_, None) => refuse("stopped container"),
            (_, Some(init)) => match kill::open_init(init)? {
                Some(process) => Ok((init.pid, process)),
                None => refuse("stopped container"),
            },
        }
    }

    /// What failed because the container has ended meanwhile, failed because of that.
    fn why_not(&self, init: &OwnedFd, error: Error) -> Error {
        // While the kernel ends its pid namespace, init is neither dead nor of any use.
        let is_ending = error.errno() == Some(Errno::ESRCH);
        match pidfd::wait(init.as_fd(), Duration::ZERO) {
            Ok(ended) if ended || is_ending => {
                Error::state(&self.record.id, format!("cannot exec in a stopped container ({error})"))
            }
            _ => error,
        }
    }
}

/// All that is decided before anything is done.
struct Plan {
    namespaces: Namespaces,
    process: process::Plan,
    filter: Option<Filter>,
    listener: Option<Listener>,
    keyring: Option<ContainerId>,
}

impl Plan {
    fn compile(mut config: Config, container: &Container, source: &Source) -> Result<Self> {
        let process = process_of(config.process.take(), source)?;
        let namespaces = Namespaces::compile(&config.linux)?;
        let filter = seccomp::Plan::compile(&config.linux, &config.annotations)?;
        let id = ContainerId::new(&container.record.id)?;
        Ok(Self {
            listener: filter.as_ref().and_then(|plan| plan.listener()).cloned(),
            process: process::Plan::compile(&process, &config.linux, &namespaces, &Host::new())?
                .with(&config.annotations)?,
            namespaces,
            filter: filter.map(|plan| plan.build()).transpose()?,
            keyring: container.record.keyring.then_some(id),
        })
    }
}

/// `create` has warned of what is wrong with the configured process.
fn without_repetition<T>(source: &Source, act: impl FnOnce() -> T) -> T {
    let level = log::max_level();
    if matches!(source, Source::Flags(overrides) if overrides.capabilities.is_empty()) {
        log::set_max_level(log::LevelFilter::Error);
    }
    let result = act();
    log::set_max_level(level);
    result
}

fn process_of(configured: Option<Process>, source: &Source) -> Result<Process> {
    match source {
        Source::File(path) => {
            let text = std::fs::read(path).call("open").on(path.display())?;
            spec::parse_process(&text, &path.display().to_string())
        }
        Source::Flags(overrides) => {
            let missing = || Property::of("process").invalid("is not configured, so exec needs --process");
            let mut process = configured.ok_or_else(missing)?;
            overrides.apply(&mut process);
            Ok(process)
        }
    }
}

/// All that goes into the clone.
struct Start<'a> {
    plan: &'a Plan,
    running: &'a Running<'a>,
    tools: Option<&'a Tools>,
    cgroup: &'a Cgroup,
    init: i32,
    record: &'a Record,
    status: Status,
    subs: &'a [Sub],
    console: Option<&'a Console>,
    preserve_fds: u32,
}

impl Start<'_> {
    /// Returns when the program runs.
    fn go(&self) -> Result<(InitGuard, OwnedFd)> {
        phase::enter(Phase::Clone);
        let entrance = self.cgroup.entrance(self.subs)?;
        self.plan.process.raise_limits()?;
        // Whoever may enter the pid namespace now has children there at once, for all in it to see.
        let launch = self.running.prepare()?;
        if launch == Launch::Direct {
            prctl::set_dumpable(false).on("orlop")?;
        }
        let (parent, child) = sync::channel()?;
        let detour = self.plan.process.begin_exec()?;
        match self.clone(&entrance)? {
            clone::Process::Child => {
                drop(parent);
                init::exec::run(&init::exec::Setup {
                    process: &self.plan.process,
                    filter: self.plan.filter.as_ref(),
                    keyring: self.plan.keyring.as_ref(),
                    running: self.running,
                    tools: self.tools,
                    launch,
                    doors: &entrance.doors,
                    console: self.console,
                    preserve_fds: self.preserve_fds,
                    channel: child,
                })
            }
            clone::Process::Parent { child: pid, pidfd } => {
                drop(child);
                let guard = InitGuard::new(pid);
                detour.map_or(Ok(()), exec_cpu_affinity::Detour::back)?;
                let (mut process, pidfd) = match launch {
                    Launch::Direct => (guard, pidfd),
                    Launch::Relay => guard.relayed(pidfd.as_fd(), &parent)?,
                };
                self.hand_over_listener(&process, pidfd.as_fd(), &parent)?;
                await_program(&mut process, &parent)?;
                Ok((process, pidfd))
            }
        }
    }

    /// To the agent of the container's profile, if it has one.
    fn hand_over_listener(&self, process: &InitGuard, pidfd: BorrowedFd<'_>, channel: &Channel) -> Result<()> {
        let Some(listener) = &self.plan.listener else { return Ok(()) };
        let state = self.record.state(self.status, Some(self.init));
        let target = Target { pid: process.pid.as_raw(), pidfd, channel };
        listener.hand_over(target, &self.record.bundle, state)
    }

    /// On v2, a cgroup that passes controllers on to those below it takes nobody in (EBUSY). A
    /// container that runs an init system of its own is like that.
    fn clone(&self, entrance: &Entrance) -> Result<clone::Process> {
        let into = |entrance: &Entrance| {
            let birth = entrance.birth.as_ref().map(OwnedFd::as_fd);
            clone3(CloneFlags::empty(), ChildOf::Caller, birth)
        };
        match into(entrance) {
            Err(error) if error.errno == Errno::EBUSY && self.subs.is_empty() => {
                into(&self.cgroup.entrance_beside(self.init)?)
            }
            result => result,
        }
        .on("exec")
    }
}

/// The end of file after `Executing` is the close-on-exec of a successful execve.
fn await_program(process: &mut InitGuard, channel: &Channel) -> Result<()> {
    phase::enter(Phase::Waiting);
    process.expect(channel, FromInit::Executing)?;
    phase::enter(Phase::Execute);
    match channel.next()? {
        None => Ok(()),
        Some(message) => Err(Error::other(format!("the process sent {message:?} after its last message"))),
    }
}
