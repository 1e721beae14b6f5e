//! The container's first process, from the clone to the program: every step, in order.
//!
//! Runs in: init · runtime.md#lifecycle
//!
//! Nothing here returns to the parent's code: init leaves by execve or `_exit`. What fails is
//! reported over the channel, and the parent undoes the rest.

mod cgroups;
pub(crate) mod exec;
mod gate;

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;

use crate::container::{Record, Status};
use crate::error::{For as _, On as _, Property, Result};
use crate::hooks::{self, Moment, Streams};
use crate::host::Host;
use crate::namespace::Joined;
use crate::namespace::enter::{self, Launch};
use crate::phase::{self, Phase};
use crate::plan::Plan;
use crate::process;
use crate::rootfs::overlay::Layers;
use crate::rootfs::{Builder, InRoot, Root, device};
use crate::seccomp::Filter;
use crate::sync::{Channel, FromInit, Rendezvous, ToInit};
use crate::sys::clone::exit_now;
use crate::sys::exec::Image;
use crate::sys::mount::{self as api, Attr};
use crate::sys::waiter::Waiter;
use crate::sys::{self, Call as _, prctl};
use crate::sysctl;
use crate::terminal::{self, Console, Pty};
use crate::timings;

use cgroups::Entry;

/// Everything init needs, held before it is cloned.
pub(crate) struct Setup<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) host: &'a Host,
    pub(crate) record: &'a Record,
    pub(crate) rendezvous: Rendezvous,
    pub(crate) channel: Channel,
    /// `start.sock`, where `start` is going to knock.
    pub(crate) listener: BorrowedFd<'a>,
    pub(crate) rootfs: BorrowedFd<'a>,
    pub(crate) joined: &'a [Joined],
    /// Detached trees for bind mounts; by entry of mounts[], or empty.
    pub(crate) sources: Vec<Option<OwnedFd>>,
    /// What the root file system is made of, where it is made of layers.
    pub(crate) layers: Option<Layers>,
    pub(crate) hook_output: &'a Streams,
    /// Where the master of the container's terminal goes.
    pub(crate) console: Option<&'a Console>,
    /// What init becomes while it waits, if it does.
    pub(crate) waiter: Option<&'a Waiter>,
}

/// What is left to do once `start` has knocked.
struct Ready<'a> {
    image: Option<Image<'a>>,
    filter: Option<Filter>,
}

/// Becomes the container's process, or reports why not.
pub(crate) fn run(mut setup: Setup<'_>) -> ! {
    timings::become_init();
    let (sources, layers) = (std::mem::take(&mut setup.sources), setup.layers.take());
    let Err(error) = set_up(&setup, sources, layers).and_then(|ready| gate::hand_over(&setup, &ready));
    setup.channel.fail(&error);
    exit_now(1)
}

fn set_up<'a>(setup: &Setup<'a>, mut sources: Vec<Option<OwnedFd>>, layers: Option<Layers>) -> Result<Ready<'a>> {
    phase::enter(Phase::Namespaces);
    let umask = sys::ids::umask(0);
    lead_session()?;
    enter_namespaces(setup)?;
    phase::enter(Phase::Mounts);
    let mut cgroups = Entry::new(setup);
    if setup.plan.rootfs.root.is_shared() {
        setup.plan.rootfs.open_shared(&mut sources)?;
    }
    let overlay = setup.plan.rootfs.overlay.as_ref().zip(layers);
    let mut builder = Builder::new(&setup.plan.rootfs.root, overlay, &mut cgroups)?;
    setup.plan.rootfs.build(&mut builder, sources)?;
    phase::enter(Phase::Kernel);
    set_names(setup.plan)?;
    if setup.rendezvous.devices {
        setup.channel.wait(ToInit::DevicesMoved)?;
    }
    set_sysctls(setup.plan)?;
    phase::enter(Phase::Hooks);
    run_create_hooks(setup, umask)?;
    phase::enter(Phase::Masks);
    let terminal = open_terminal(setup, &builder)?;
    make_working_directory(setup.plan, &builder)?;
    setup.plan.rootfs.mask(&builder)?;
    phase::enter(Phase::Pivot);
    builder.switch(&setup.plan.rootfs.root)?;
    if let (Some(terminal), Some(console)) = (terminal, setup.console) {
        terminal.hand_over(console)?;
        terminal.attach()?;
    }
    if setup.plan.keyring {
        let id = &setup.plan.id;
        setup.plan.process.as_ref().map_or_else(|| process::keyring::join(id), |process| process.join_keyring(id))?;
    }
    phase::enter(Phase::User);
    let image = become_user(setup, umask)?;
    let filter = receive_filter(setup)?;
    // The parent may end as soon as it has committed; if it ends before, the channel says so.
    prctl::set_parent_death_signal(None).on("init")?;
    timings::stop();
    Ok(Ready { image, filter })
}

/// A session of its own, which ends if the parent does before it has committed.
fn lead_session() -> Result<()> {
    prctl::set_parent_death_signal(Some(Signal::SIGKILL)).on("init")?;
    nix::unistd::setsid().call("setsid").on("init").map(drop)
}

/// Into all namespaces but the cgroup one, with the ids of the container's root.
fn enter_namespaces(setup: &Setup<'_>) -> Result<()> {
    let plan = setup.plan;
    let namespaces = &plan.namespaces;
    // Before the mount namespace is made: the kernel then moves the working directory into it, and
    // "." finds the root directory where its path could not be walked with the container's ids.
    sys::path::fchdir(setup.rootfs).on(plan.rootfs.root.path.display()).property(Property::of("root.path"))?;
    if plan.launch == Launch::Relay {
        enter::relay(namespaces, setup.joined, &setup.channel)?;
        lead_session()?;
    }
    enter::user(setup.joined, plan.launch)?;
    if setup.rendezvous.mapped {
        setup.channel.wait(ToInit::Mapped)?;
    }
    if namespaces.has(CloneFlags::CLONE_NEWUSER) {
        become_root_inside(plan)?;
    }
    // What a process of a joined namespace could read of init's memory and descriptors: nothing
    // (CVE-2016-9962).
    prctl::set_dumpable(false).on("init")?;
    enter::others(namespaces, setup.joined, plan.launch, setup.host)?;
    if namespaces.joins(CloneFlags::CLONE_NEWNS) {
        let root = &plan.rootfs.root.path;
        nix::unistd::chdir(root).call("chdir").on(root.display()).property(Property::of("root.path"))?;
    }
    if namespaces.makes(CloneFlags::CLONE_NEWNET) {
        sys::net::loopback_up().on("lo").property(Property::of("linux.namespaces"))?;
    }
    if setup.rendezvous.devices {
        let own = sys::path::open(c"/proc/self/ns/net", OFlag::O_RDONLY).on("own network namespace")?;
        setup.channel.report_with(FromInit::Networked, own.as_fd())?;
    }
    Ok(())
}

/// What is made from now on belongs to the container's root, where it has one.
fn become_root_inside(plan: &Plan) -> Result<()> {
    let ids = &plan.namespaces.ids;
    let user = Property::of("linux.uidMappings");
    if plan.namespaces.joins(CloneFlags::CLONE_NEWUSER) {
        ids.check_joined()?;
    }
    become_root().property(user)
}

fn become_root() -> Result<()> {
    match sys::ids::setresgid(0).and_then(|()| sys::ids::setresuid(0)) {
        // A joined namespace without an id 0.
        Err(sys::Error { errno: Errno::EINVAL, .. }) => Ok(()),
        result => result.on("root of the user namespace"),
    }
}

fn set_names(plan: &Plan) -> Result<()> {
    if let Some(name) = &plan.names.host {
        nix::unistd::sethostname(name.to_string_lossy().as_ref())
            .call("sethostname")
            .property(Property::of("hostname"))?;
    }
    if let Some(name) = &plan.names.domain {
        sys::ids::setdomainname(name).property(Property::of("domainname"))?;
    }
    Ok(())
}

/// Before anything is mounted over parts of /proc.
fn set_sysctls(plan: &Plan) -> Result<()> {
    if plan.sysctl.is_empty() {
        return Ok(());
    }
    sysctl::apply(&plan.sysctl, private_proc()?.as_fd())
}

/// A procfs that is attached nowhere; where none may be mounted, the host's, which is still there.
fn private_proc() -> Result<OwnedFd> {
    let mounted = api::fsopen(c"proc").and_then(|context| {
        api::fsconfig_create(context.as_fd())?;
        api::fsmount(context.as_fd(), Attr::NOSUID | Attr::NODEV | Attr::NOEXEC)
    });
    match mounted {
        Err(sys::Error { errno: Errno::EPERM, .. }) => {
            sys::path::open(c"/proc", OFlag::O_PATH | OFlag::O_DIRECTORY).on("/proc")
        }
        result => result.on("proc"),
    }
}

/// The host's hooks: those of the runtime's namespaces, run by the parent, then those of ours.
fn run_create_hooks(setup: &Setup<'_>, umask: u32) -> Result<()> {
    if setup.rendezvous.hooks {
        setup.channel.report(FromInit::RootfsBuilt)?;
        setup.channel.wait(ToInit::HooksDone)?;
    }
    let hooks = &setup.plan.hooks.create_container;
    if hooks.is_empty() {
        return Ok(());
    }
    // RT-12: the pid as the container's namespace has it.
    let state = setup.record.document(Status::Creating, Some(nix::unistd::getpid().as_raw()));
    // Init itself makes files with exact modes, without one.
    sys::ids::umask(umask);
    let done = hooks::run(hooks, &Moment::runtime(&state, &setup.plan.bundle).printing_to(setup.hook_output));
    sys::ids::umask(0);
    done
}

fn open_terminal(setup: &Setup<'_>, builder: &Builder<'_>) -> Result<Option<Pty>> {
    let Some(plan) = setup.plan.process.as_ref().and_then(|process| process.terminal.as_ref()) else {
        return Ok(None);
    };
    let pty = open_pty(plan, builder.root())?;
    device::console(builder, pty.slave.as_fd()).property(TERMINAL)?;
    Ok(Some(pty))
}

const TERMINAL: Property = Property::of("process.terminal");

/// On the container's devpts, not the host's.
fn open_pty(plan: &terminal::Plan, root: Root<'_>) -> Result<Pty> {
    let path = InRoot::new("/dev/pts", TERMINAL)?;
    let devpts = root.open(&path).on(&path).property(TERMINAL)?;
    plan.open(devpts.as_fd())
}

/// A missing working directory is made; in a read-only root it has to be done before it is that.
fn make_working_directory(plan: &Plan, builder: &Builder<'_>) -> Result<()> {
    match &plan.process {
        Some(process) if plan.rootfs.root.readonly && process.cwd() != c"/" => {
            make_directory(builder.root(), process.cwd())
        }
        _ => Ok(()),
    }
}

fn make_directory(root: Root<'_>, path: &CStr) -> Result<()> {
    let path = InRoot::new(&path.to_string_lossy(), Property::of("process.cwd"))?;
    root.ensure_dir(&path, 0o755).map(drop)
}

fn become_user<'a>(setup: &Setup<'a>, umask: u32) -> Result<Option<Image<'a>>> {
    let plan = setup.plan;
    let Some(process) = &plan.process else {
        return Ok(None);
    };
    let root = sys::path::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY).on("/")?;
    let context = process::Context {
        root: root.as_fd(),
        make_directory: Some(&|path| make_directory(Root::new(root.as_fd()), path)),
        umask,
        keep: process.keep(plan.seccomp.is_some(), setup.waiter.is_some()),
    };
    process.assume(&context).map(Some)
}

/// The seccomp filter: at hand from the cache, or compiled by the parent in the meantime.
fn receive_filter(setup: &Setup<'_>) -> Result<Option<Filter>> {
    let property = Property::of("linux.seccomp");
    if !setup.rendezvous.filter {
        return Ok(setup.plan.seccomp.as_ref().and_then(|plan| plan.ready()).cloned());
    }
    let fds = setup.channel.wait(ToInit::Filter)?;
    let memfd = fds.into_iter().next().ok_or_else(|| property.invalid("orlop sent no filter"))?;
    let bytes = sys::fd::contents(memfd.as_fd()).property(property)?;
    Filter::from_bytes(&bytes).map(Some).ok_or_else(|| property.invalid("orlop sent a broken filter"))
}
