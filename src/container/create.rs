//! `create`: makes everything the plan says, or nothing.
//!
//! Runs in: parent · runtime.md#create, RT-16…RT-25, RT-40…RT-46
//!
//! Every effect is held by a guard that undoes it: the state directory, the cgroup, init itself.
//! They are dropped in reverse order unless all went well.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use oci_spec::runtime::LinuxNamespaceType;
use serde_json::value::RawValue;

use crate::cgroup;
use crate::error::code::Code;
use crate::error::{Error, For as _, Kind, On as _, Property, Result};
use crate::hooks::{self, Hooks, Moment, Streams};
use crate::host::Host;
use crate::init;
use crate::intel_rdt;
use crate::namespace::Joined;
use crate::namespace::enter::{Detour, Launch};
use crate::net_devices;
use crate::phase::{self, Phase};
use crate::plan::Plan;
use crate::rootfs::overlay::Layers;
use crate::spec::{self, Config, Process, config};
use crate::sync::{self, Channel, FromInit, Rendezvous, ToInit};
use crate::sys::clone::{self, ChildOf, clone3};
use crate::sys::waiter::Waiter;
use crate::sys::{self, Call as _, prctl, socket};
use crate::terminal::Console;

use super::record::Init;
use super::state::START_SOCKET;
use super::status::start_time;
use super::{Container, CreateOptions, Record, StateDir, Status, layers, notify_socket};

/// A container that waits for `start`.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) container: Container,
    pub(crate) pidfd: OwnedFd,
    /// The master of its terminal, when it is for us to relay.
    pub(crate) terminal: Option<OwnedFd>,
}

pub(crate) fn create(options: &CreateOptions) -> Result<Created> {
    phase::enter(Phase::Configuration);
    let host = Host::new();
    let text = spec::read(&options.bundle)?;
    let config = spec::parse(&text)?;
    let waiter = if waits(&config, &host) { Waiter::make().on("init")? } else { None };
    if waiter.is_none() {
        sys::exe::seal().on("/proc/self/exe")?;
    }
    let mut plan = Plan::compile(&config, &host, options)?;
    phase::enter(Phase::Preparation);
    let mut prepared = Prepared::open(&plan, &host, options)?;
    phase::enter(Phase::State);
    let record = Record::intent(&config, &plan, options);
    let dir = StateDir::claim(&options.root, &options.id, &record)?;
    if let Some(overlay) = &mut plan.rootfs.overlay {
        overlay.lower.recorded();
    }
    dir.save_config(&text)?;
    drop(text);
    if options.notify_socket.is_some() {
        prepared.add_notify_socket(&dir, &mut plan, &host)?;
    }
    let mut creation = Creation { host: &host, plan: &plan, waiter, record, hooks_reached: false };
    match creation.build(dir, prepared, options) {
        Ok(created) => Ok(created),
        Err(error) => {
            creation.run_poststop_hooks();
            Err(error)
        }
    }
}

/// Whether init can be a small program before anybody is able to look at it, or anything of the image's
/// runs: nobody else is in its pid namespace until it starts the container's program. A label would be
/// that program's already.
fn waits(config: &Config, host: &Host) -> bool {
    let linux = &config.linux;
    let new_pid_namespace = |namespace: &config::Namespace| {
        namespace.kind == LinuxNamespaceType::Pid && namespace.path.as_deref().is_none_or(str::is_empty)
    };
    let has_label = |process: &Process| process.apparmor_profile.is_some() || process.selinux_label.is_some();
    // The profile is not parsed if its filter is known; an escape could hide the name.
    let may_listen = |profile: &RawValue| ["listenerPath", "\\u"].iter().any(|text| profile.get().contains(text));
    host.is_root()
        && linux.namespaces.iter().any(new_pid_namespace)
        && config.hooks.start_container.is_empty()
        && [hooks::STDOUT, hooks::STDERR].iter().all(|name| config.annotations.get(name).is_none())
        && config.process.as_ref().is_some_and(|process| !has_label(process))
        && !linux.seccomp.as_deref().is_some_and(may_listen)
}

/// What can be opened and found missing before anything is made.
struct Prepared {
    /// None where it is still to be made.
    rootfs: Option<OwnedFd>,
    joined: Vec<Joined>,
    sources: Vec<Option<OwnedFd>>,
    console: Option<Console>,
    hook_output: Streams,
}

impl Prepared {
    fn open(plan: &Plan, host: &Host, options: &CreateOptions) -> Result<Self> {
        let root = &plan.rootfs.root;
        let rootfs = if root.made { None } else { Some(root.open()?) };
        let joined = plan.namespaces.open()?;
        let for_init = plan.opens_for_init(host);
        let sources = plan.rootfs.open_sources(for_init, &plan.namespaces, &joined)?;
        let terminal = plan.process.as_ref().and_then(|process| process.terminal.as_ref());
        let console = Console::prepare(terminal, options.console_socket.as_deref(), options.foreground)?;
        Ok(Self { rootfs, joined, sources, console, hook_output: plan.hooks.open_output()? })
    }

    /// One more mount, whose source is in the state directory.
    fn add_notify_socket(&mut self, dir: &StateDir, plan: &mut Plan, host: &Host) -> Result<()> {
        let Some(step) = notify_socket::set_up(dir, plan)? else { return Ok(()) };
        let for_init = plan.opens_for_init(host);
        self.sources.push(plan.rootfs.open_source(&step, for_init, &plan.namespaces, &self.joined)?);
        plan.rootfs.mounts.push(step);
        Ok(())
    }
}

/// A create under way.
struct Creation<'a> {
    host: &'a Host,
    plan: &'a Plan,
    /// What init becomes while it waits for `start`, if not the rest of orlop.
    waiter: Option<Waiter>,
    record: Record,
    /// Whether hooks may have done something that poststop hooks undo (RT-32).
    hooks_reached: bool,
}

impl Creation<'_> {
    fn build(&mut self, mut dir: StateDir, prepared: Prepared, options: &CreateOptions) -> Result<Created> {
        phase::enter(Phase::Cgroup);
        let mut cgroup = self.plan.cgroup.create(options.rootless, &options.root)?;
        let listener = socket::listen(dir.fd(), START_SOCKET).on(START_SOCKET)?;
        let Prepared { rootfs, joined, sources, console, hook_output } = prepared;
        phase::enter(Phase::Layers);
        let (made, layers) = layers::Guard::make(self.plan, &dir, self.plan.opens_for_init(self.host), &joined)?;
        let rootfs = rootfs.map_or_else(|| self.plan.rootfs.root.open(), Ok)?;
        phase::enter(Phase::Clone);
        let (state_dir, console_for_init) = (dir.fd(), console.as_ref());
        let launch = Launching {
            creation: self,
            cgroup: &cgroup,
            state_dir,
            listener,
            rootfs,
            joined,
            sources,
            layers,
            console: console_for_init,
            hook_output: &hook_output,
        };
        let Launched { mut init, pidfd, channel, rendezvous } = launch.go()?;
        let served = self.serve(&mut init, &channel, &mut cgroup, rendezvous, &hook_output);
        let devices = served.map_err(|error| cgroup.explain(init.explain(error)))?;
        phase::enter(Phase::Commit);
        let classes = self.plan.intel_rdt.as_ref().map(intel_rdt::Plan::make).transpose()?;
        if let Some(classes) = &classes {
            classes.join(init.pid)?;
            self.record.intel_rdt = Some(classes.record());
        }
        self.record.init = Some(Init { pid: init.pid.as_raw(), start_time: start_time(init.pid.as_raw())? });
        self.record.cgroup = cgroup.record();
        dir.save(&self.record)?;
        let terminal = console.map(Console::receive).transpose()?.flatten();
        super::send_pidfd(options.pidfd_socket.as_deref(), pidfd.as_fd())?;
        super::write_pid_file(options.pid_file.as_deref(), init.pid.as_raw())?;
        channel.tell(ToInit::Committed, &[]).inspect_err(|_| {
            options.pid_file.iter().for_each(|path| drop(std::fs::remove_file(path)));
        })?;
        dir.unlock();
        cgroup.keep();
        made.keep();
        dir.keep();
        if let Some(devices) = devices {
            devices.keep();
        }
        if let Some(classes) = classes {
            classes.keep();
        }
        init.keep();
        Ok(Created { container: Container { dir, record: self.record.clone() }, pidfd, terminal })
    }

    /// Does for init what it cannot do itself, in the order of `sync`, until it is ready.
    fn serve(
        &mut self,
        init: &mut InitGuard,
        channel: &Channel,
        cgroup: &mut cgroup::Guard,
        needs: Rendezvous,
        hook_output: &Streams,
    ) -> Result<Option<net_devices::Moved>> {
        let plan = self.plan;
        phase::enter(Phase::Limits);
        if plan.namespaces.makes(CloneFlags::CLONE_NEWUSER) {
            plan.namespaces.ids.apply(self.host, init.pid)?;
        }
        if let Some(process) = &plan.process {
            process.set_oom_score_adj(init.pid.as_raw())?;
        }
        if needs.mapped {
            channel.tell(ToInit::Mapped, &[])?;
        }
        cgroup.adopt(&plan.cgroup, self.host, init.pid)?;
        cgroup.limit(&plan.cgroup)?;
        if needs.joinable {
            let doors = cgroup.doors()?;
            if doors.is_empty() {
                cgroup.join(init.pid)?;
            }
            channel.tell(ToInit::Joinable, &doors)?;
        }
        let devices = needs.devices.then(|| self.move_devices(init, channel)).transpose()?;
        self.hooks_reached = needs.hooks || !plan.hooks.create_container.is_empty();
        phase::enter(Phase::Waiting);
        if needs.hooks {
            init.expect(channel, FromInit::RootfsBuilt)?;
            phase::enter(Phase::Hooks);
            // By runtime.md's numbers (`created` is "after step 2", prestart is step 3) and by the
            // validation suite, prestart hooks see what they saw when they were part of start.
            for (hooks, status) in
                [(&plan.hooks.prestart, Status::Created), (&plan.hooks.create_runtime, Status::Creating)]
            {
                let state = self.record.document(status, Some(init.pid.as_raw()));
                hooks::run(hooks, &Moment::runtime(&state, &plan.bundle).printing_to(hook_output))?;
            }
            channel.tell(ToInit::HooksDone, &[])?;
        }
        if let Some(seccomp) = plan.seccomp.as_ref().filter(|_| needs.filter) {
            phase::enter(Phase::Filter);
            let filter = seccomp.build()?.to_bytes();
            channel.tell(
                ToInit::Filter,
                &[sys::fd::memory(c"filter", &filter).property(Property::of("linux.seccomp"))?],
            )?;
        }
        phase::enter(Phase::Waiting);
        init.expect(channel, FromInit::Ready)?;
        // In its cgroups, which may have a say in it, and with nothing slow left to do.
        plan.process.as_ref().map_or(Ok(()), |process| process.prioritise(init.pid.as_raw()))?;
        Ok(devices)
    }

    /// Once init is in its network namespace.
    fn move_devices(&self, init: &mut InitGuard, channel: &Channel) -> Result<net_devices::Moved> {
        phase::enter(Phase::Devices);
        let namespace = init.expect(channel, FromInit::Networked)?.pop();
        let namespace = namespace.ok_or_else(|| Error::other("init sent no network namespace"))?;
        let devices = self.plan.net_devices.apply(namespace)?;
        channel.tell(ToInit::DevicesMoved, &[])?;
        Ok(devices)
    }

    fn run_poststop_hooks(&self) {
        if self.hooks_reached {
            let state = self.record.document(Status::Stopped, None);
            let Hooks { poststop, output, .. } = &self.plan.hooks;
            hooks::run_last(poststop, output, &Moment::runtime(&state, &self.plan.bundle));
        }
    }
}

/// All that comes out of the clone.
struct Launched {
    init: InitGuard,
    pidfd: OwnedFd,
    channel: Channel,
    rendezvous: Rendezvous,
}

/// All that goes into it.
struct Launching<'a> {
    creation: &'a Creation<'a>,
    cgroup: &'a cgroup::Guard,
    state_dir: BorrowedFd<'a>,
    listener: OwnedFd,
    rootfs: OwnedFd,
    joined: Vec<Joined>,
    sources: Vec<Option<OwnedFd>>,
    layers: Option<Layers>,
    console: Option<&'a Console>,
    hook_output: &'a Streams,
}

impl Launching<'_> {
    fn go(self) -> Result<Launched> {
        let Creation { host, plan, .. } = self.creation;
        let namespaces = &plan.namespaces;
        // A plain user can write the maps of a process only while it may be looked at.
        if host.is_root() {
            prctl::set_dumpable(false).on("orlop")?;
        }
        if let Some(process) = &plan.process {
            process.raise_limits()?;
        }
        let (parent, child) = sync::channel()?;
        let detour = Detour::take(namespaces, &self.joined, plan.launch, host)?;
        let (process, joinable) = self.clone_init()?;
        let rendezvous = plan.rendezvous(joinable);
        match process {
            clone::Process::Child => {
                drop(parent);
                // A lock belongs to the open directory, and so to init too, for as long as it has it open.
                sys::fd::close_in_child(self.state_dir);
                init::run(init::Setup {
                    plan,
                    host,
                    record: &self.creation.record,
                    rendezvous,
                    channel: child,
                    listener: self.listener.as_fd(),
                    rootfs: self.rootfs.as_fd(),
                    joined: &self.joined,
                    sources: self.sources,
                    layers: self.layers,
                    console: self.console,
                    hook_output: self.hook_output,
                    waiter: self.creation.waiter.as_ref(),
                })
            }
            clone::Process::Parent { child: pid, pidfd } => {
                drop(child);
                let guard = InitGuard::new(pid);
                detour.back()?;
                let (init, pidfd) = match plan.launch {
                    Launch::Direct => (guard, pidfd),
                    Launch::Relay => guard.relayed(pidfd.as_fd(), &parent)?,
                };
                Ok(Launched { init, pidfd, channel: parent, rendezvous })
            }
        }
    }

    /// Straight into the cgroup where the kernel lets us (v2); the flag says whether it has still to
    /// be joined.
    fn clone_init(&self) -> Result<(clone::Process, bool)> {
        let plan = self.creation.plan;
        let flags = plan.namespaces.clone_flags(plan.launch);
        if let Some(birth) = self.cgroup.birth()
            && let Ok(process) = clone3(flags, ChildOf::Caller, Some(birth))
        {
            return Ok((process, false));
        }
        let process =
            clone3(flags, ChildOf::Caller, None).map_err(|error| plan.namespaces.refused(error, self.creation.host))?;
        Ok((process, self.cgroup.is_managed()))
    }
}

/// Whether one of them is readable within the time.
fn await_input(fds: &[BorrowedFd<'_>], time: PollTimeout) -> Result<bool> {
    let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    sys::retry(|| poll(&mut fds, time)).call("poll").on("relay").map(|ready| ready > 0)
}

/// Init while it is being made: killed and reaped unless all goes well. As long as we have not
/// waited for it, nobody else can have its pid.
pub(super) struct InitGuard {
    pub(super) pid: Pid,
    armed: bool,
}

impl InitGuard {
    pub(super) fn new(pid: Pid) -> Self {
        Self { pid, armed: true }
    }

    /// From the relay, which has made its sibling and ends, to that sibling.
    pub(super) fn relayed(mut self, relay: BorrowedFd<'_>, channel: &Channel) -> Result<(Self, OwnedFd)> {
        // One that is killed says nothing, and the sibling, which waits for us, keeps the channel open.
        await_input(&[channel.fd(), relay], PollTimeout::NONE)?;
        if !await_input(&[channel.fd()], PollTimeout::ZERO)? {
            return Err(self.cause_of_death());
        }
        match channel.introduced()? {
            Some((init, pidfd)) => {
                let _ = self.reap();
                Ok((Self::new(init), pidfd))
            }
            None => Err(self.cause_of_death()),
        }
    }

    /// The descriptors that come with the message.
    pub(super) fn expect(&mut self, channel: &Channel, message: FromInit) -> Result<Vec<OwnedFd>> {
        match channel.next_with_fds()? {
            Some((got, fds)) if got == message => Ok(fds),
            Some((got, _)) => Err(Error::other(format!("init sent {got:?} instead of {message:?}"))),
            None => Err(self.cause_of_death()),
        }
    }

    /// Why it did not listen: a message that nobody reads any more says nothing.
    fn explain(&mut self, error: Error) -> Error {
        match error.kind() {
            Kind::Sys { call: "sendmsg", errno: Errno::EPIPE, .. } => self.cause_of_death(),
            _ => error,
        }
    }

    fn cause_of_death(&mut self) -> Error {
        let text = match self.reap() {
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                let whose =
                    if signal == Signal::SIGSYS { ", by a seccomp filter that orlop was started under" } else { "" };
                format!("the container's process was killed by {signal}{whose} before it was ready")
            }
            Ok(WaitStatus::Exited(_, code)) => {
                format!("the container's process exited with status {code} before it was ready")
            }
            _ => "the container's process died before it was ready".to_owned(),
        };
        Error::other(text).code_is(Code::InitDied)
    }

    fn reap(&mut self) -> nix::Result<WaitStatus> {
        self.armed = false;
        sys::retry(|| nix::sys::wait::waitpid(self.pid, None))
    }

    pub(super) fn keep(mut self) {
        self.armed = false;
    }
}

impl Drop for InitGuard {
    fn drop(&mut self) {
        if self.armed {
            // It may be dead already; either way it is waited for.
            let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
            let _ = self.reap();
        }
    }
}
