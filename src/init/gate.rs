//! The wait for `start`, and the last steps to the program.
//!
//! Runs in: init · runtime.md#start
//!
//! All that needs the file system or could fail has been done. After a filter is loaded nothing
//! follows but execve. As a rule it is another, small program that does this (`sys/waiter/`), and here is
//! what it does, for what it cannot do: `Plan::waits`.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::container::Status;
use crate::error::{Error, On as _, Property, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::phase::{self, Phase};
use crate::process;
use crate::seccomp::{self, Filter};
use crate::sync::{Channel, FromInit, ToInit};
use crate::sys::clone::exit_now;
use crate::sys::exec::Image;
use crate::sys::{self, Call as _};

use super::{Ready, Setup};

/// Returns only with what the parent is still there to be told.
pub(super) fn hand_over(setup: &Setup<'_>, ready: &Ready<'_>) -> Result<Infallible> {
    if let Some(waiter) = setup.waiter
        && let Some((process, image)) = setup.plan.process.as_ref().zip(ready.image.as_ref())
    {
        return Err(process.wait(
            image,
            &process::waiting::Waiting {
                waiter,
                channel: setup.channel.fd(),
                listener: setup.listener,
                preserve_fds: setup.plan.preserve_fds,
                filter: ready.filter.as_ref(),
            },
        ));
    }
    setup.channel.report(FromInit::Ready)?;
    setup.channel.wait(ToInit::Committed)?;
    let channel = match forget_the_host(setup).and_then(|()| wait_for_start(setup.listener)) {
        Ok(socket) => Channel::new(socket),
        Err(_) => exit_now(1),
    };
    channel.fail(&go(setup, ready, &channel));
    exit_now(1)
}

/// The wait may be long, and a neighbour in a shared pid namespace may be allowed to trace us, or an
/// image's hook may: nothing that is open leads to the host (CVE-2016-9962), not even the log.
fn forget_the_host(setup: &Setup<'_>) -> Result<()> {
    log::set_max_level(log::LevelFilter::Off);
    sys::fd::close_all_but(3 + setup.plan.preserve_fds, setup.listener).on("descriptors")
}

/// A process without handlers that is the first of its pid namespace is deaf to everything but
/// SIGKILL; until it is the container's own program, it ends as any other would.
fn wait_for_start(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    let all = SigSet::all();
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None).call("sigprocmask").on("init")?;
    let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC).call("signalfd").on("init")?;
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        sys::retry(|| nix::poll::poll(&mut fds, PollTimeout::NONE)).call("poll").on("init")?;
        let [knock, signal] = fds.map(|fd| fd.any().unwrap_or(false));
        if signal && let Ok(Some(info)) = signals.read_signal() {
            obey(info.ssi_signo as i32);
        }
        if knock {
            return sys::socket::accept(listener).on("start.sock");
        }
    }
}

/// The default action of a signal: to end, but for those that are ignored or stop a process.
fn obey(number: i32) {
    let harmless = [
        Signal::SIGCHLD,
        Signal::SIGCONT,
        Signal::SIGURG,
        Signal::SIGWINCH,
        Signal::SIGTSTP,
        Signal::SIGTTIN,
        Signal::SIGTTOU,
    ];
    if !harmless.iter().any(|signal| *signal as i32 == number) {
        exit_now(128 + number);
    }
}

/// Becomes the program; returns only with the reason why not.
fn go(setup: &Setup<'_>, ready: &Ready<'_>, channel: &Channel) -> Error {
    let Some((process, image)) = setup.plan.process.as_ref().zip(ready.image.as_ref()) else {
        return Property::of("process").invalid("is missing, so there is nothing to start");
    };
    phase::enter(Phase::Start);
    match run_start_hooks(setup, ready.filter.as_ref(), channel) {
        Ok(()) => become_program(process, image, ready.filter.as_ref(), setup.plan.preserve_fds, channel),
        Err(error) => error,
    }
}

/// What comes last for init and for a process that `exec` adds.
pub(super) fn become_program(
    process: &process::Plan,
    image: &Image<'_>,
    filter: Option<&Filter>,
    preserve_fds: u32,
    channel: &Channel,
) -> Error {
    let last_steps = || -> Result<()> {
        process.apply_limits()?;
        // What our caller happened to block or ignore is no business of the program's.
        sys::signal::reset();
        // execve could be led through /proc/self/fd to whatever is open (CVE-2024-21626).
        sys::fd::close_all_but(3 + preserve_fds, channel.fd()).on("descriptors")?;
        if filter.is_some_and(Filter::has_listener) {
            seccomp::listener::await_watcher(channel, process.caller_is_root)?;
        }
        channel.report(FromInit::Executing)?;
        match filter {
            Some(filter) => filter.load(),
            None => Ok(()),
        }
    };
    match last_steps() {
        Ok(()) => {
            phase::enter(Phase::Execute);
            process.execute(image, filter.is_none_or(Filter::lets_live))
        }
        Err(error) => error,
    }
}

fn run_start_hooks(setup: &Setup<'_>, filter: Option<&Filter>, channel: &Channel) -> Result<()> {
    let Hooks { start_container: hooks, output, .. } = &setup.plan.hooks;
    let fds = if output.is_empty() { Vec::new() } else { channel.wait(ToInit::HookOutput)? };
    if hooks.is_empty() {
        return Ok(());
    }
    let state = setup.record.document(Status::Created, Some(nix::unistd::getpid().as_raw()));
    let env = setup.plan.process.as_ref().map_or(&[][..], |process| process.env());
    // The image's code; the agent of a listener is not there yet.
    let filter = filter.map(Filter::without_listener);
    hooks::run(hooks, &Moment::container(&state, env, filter.as_ref()).printing_to(&output.received(fds)))
}
