//! `process`: everything about the container's process but its namespaces, cgroup and filter.
//!
//! Runs in: both (compile and raise_limits in parent, the rest in init) · config.md "process"
//!
//! Init calls, inside the container's root, in this order:
//! ```text
//! assume         cwd · stdio · bounding set · ids · capabilities · cwd · program · Landlock
//!                ... Ready, and the wait for `start` ...
//! apply_limits
//!                (other descriptors are closed, and the filter is loaded here)
//! execute
//! ```
//! Under a filter nothing is called but execve.

pub(crate) mod apparmor;
mod attributes;
pub(crate) mod caps;
pub(crate) mod env;
pub(crate) mod exec_cpu_affinity;
mod interpreter;
mod io_priority;
pub(crate) mod keyring;
pub(crate) mod landlock;
pub(crate) mod listen_fds;
pub(crate) mod overrides;
mod personality;
mod program;
pub(crate) mod rlimit;
mod scheduler;
pub(crate) mod selinux;
pub(crate) mod user;
pub(crate) mod waiting;

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sched::CloneFlags;

use crate::container::ContainerId;
use crate::error::{Error, For as _, Meaning, On as _, Property, Result};
use crate::host::{Host, is_host_root};
use crate::memory_policy;
use crate::namespace::Namespaces;
use crate::spec::config::{Linux, Process};
use crate::spec::map::Map;
use crate::sys::exec::Image;
use crate::sys::{self, prctl};
use crate::terminal;
use caps::Keep;
use listen_fds::ListenFds;

#[derive(Debug)]
pub(crate) struct Plan {
    args: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
    user: user::Plan,
    caps: caps::Plan,
    rlimits: Vec<rlimit::Step>,
    personality: Option<personality::Plan>,
    scheduler: Option<scheduler::Plan>,
    io_priority: Option<io_priority::Plan>,
    /// Whether the parent applies these two, and not init.
    prioritised_outside: bool,
    memory_policy: Option<memory_policy::Plan>,
    apparmor: Option<apparmor::Plan>,
    selinux: Option<selinux::Plan>,
    exec_cpu_affinity: Option<exec_cpu_affinity::Plan>,
    landlock: Option<landlock::Plan>,
    pub(crate) no_new_privileges: bool,
    /// Root at least of the user namespace that orlop was called in.
    pub(crate) caller_is_root: bool,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) terminal: Option<terminal::Plan>,
    listen_fds: Option<ListenFds>,
}

impl Plan {
    pub(crate) fn compile(process: &Process, linux: &Linux, namespaces: &Namespaces, host: &Host) -> Result<Self> {
        let held = caps::held(namespaces.has(CloneFlags::CLONE_NEWUSER))?;
        Ok(Self {
            args: compile_args(&process.args)?,
            env: env::compile(&process.env)?,
            cwd: compile_cwd(&process.cwd)?,
            user: user::Plan::compile(&process.user, &namespaces.ids, host.is_root())?,
            caps: caps::Plan::compile(process.capabilities.as_ref(), held),
            rlimits: rlimit::compile(&process.rlimits)?,
            personality: linux.personality.as_ref().map(personality::Plan::compile).transpose()?,
            scheduler: process.scheduler.as_ref().map(scheduler::Plan::compile).transpose()?,
            io_priority: process.io_priority.as_ref().map(io_priority::Plan::compile).transpose()?,
            prioritised_outside: (process.scheduler.is_some() || process.io_priority.is_some()) && is_host_root(),
            memory_policy: linux.memory_policy.as_ref().map(memory_policy::Plan::compile).transpose()?,
            apparmor: apparmor::Plan::compile(process.apparmor_profile.as_deref(), apparmor::is_enabled)?,
            selinux: selinux::Plan::compile(process.selinux_label.as_deref(), selinux::is_enabled)?,
            exec_cpu_affinity: process.exec_cpu_affinity.as_ref().map(exec_cpu_affinity::Plan::compile).transpose()?,
            landlock: None,
            no_new_privileges: process.no_new_privileges,
            caller_is_root: host.is_root(),
            oom_score_adj: process.oom_score_adj.map(compile_oom_score_adj).transpose()?,
            terminal: process.terminal.then(|| terminal::Plan::compile(process.console_size, process.user.uid)),
            listen_fds: None,
        })
    }

    /// What annotations say of it.
    pub(crate) fn with(mut self, annotations: &Map<String>) -> Result<Self> {
        self.user.keep_groups = annotations.get(user::KEEP_GROUPS).is_some();
        self.landlock = landlock::Plan::compile(annotations, sys::landlock::version)?;
        Ok(self)
    }

    /// With sockets that are passed on to it; what the configuration says of others is void then.
    pub(crate) fn listening(mut self, sockets: Option<&ListenFds>) -> Self {
        if sockets.is_some() {
            listen_fds::VARIABLES.iter().for_each(|name| env::unset(&mut self.env, name));
        }
        self.listen_fds = sockets.cloned();
        self
    }

    /// A `NAME=value` of ours, instead of what is configured.
    pub(crate) fn set_env(&mut self, entry: &CStr) {
        env::set(&mut self.env, entry.to_owned());
    }

    pub(crate) fn cwd(&self) -> &CStr {
        &self.cwd
    }

    pub(crate) fn env(&self) -> &[CString] {
        &self.env
    }

    /// The files that the program may be, for `validate`.
    pub(crate) fn candidates(&self) -> Vec<CString> {
        self.args.first().map_or_else(Vec::new, |name| program::candidates(name, &self.env))
    }

    /// Parent, before the clone: limits that init could not raise itself.
    pub(crate) fn raise_limits(&self) -> Result<()> {
        rlimit::raise(&self.rlimits)
    }

    /// Parent, after the clone. Nothing is written when nothing is configured (CFG-30).
    pub(crate) fn set_oom_score_adj(&self, pid: i32) -> Result<()> {
        self.oom_score_adj.map_or(Ok(()), |score| write_oom_score_adj(&pid.to_string(), score))
    }

    /// The process itself, while it sees the host's /proc.
    pub(crate) fn set_own_oom_score_adj(&self) -> Result<()> {
        self.oom_score_adj.map_or(Ok(()), |score| write_oom_score_adj("self", score))
    }

    /// Parent, once init is ready: scheduling policy and I/O priority. Inside a user namespace the
    /// host's CAP_SYS_NICE is out of reach, so the host's root does it from outside; anybody else is
    /// only allowed to while init still has its first ids, and leaves it to `assume`.
    pub(crate) fn prioritise(&self, pid: i32) -> Result<()> {
        if self.prioritised_outside { self.set_priorities(pid) } else { Ok(()) }
    }

    fn set_priorities(&self, pid: i32) -> Result<()> {
        self.scheduler.map_or(Ok(()), |scheduler| scheduler.apply(pid))?;
        self.io_priority.map_or(Ok(()), |priority| priority.apply(pid))
    }

    /// Init: a session keyring of the container's own, which its processes may use.
    pub(crate) fn join_keyring(&self, id: &ContainerId) -> Result<()> {
        match &self.selinux {
            Some(label) => label.label_keys(|| keyring::join(id)),
            None => keyring::join(id),
        }
    }

    /// Parent, before it clones a process that `exec` adds.
    pub(crate) fn begin_exec(&self) -> Result<Option<exec_cpu_affinity::Detour>> {
        self.exec_cpu_affinity.as_ref().map_or(Ok(None), exec_cpu_affinity::Plan::begin)
    }

    /// That process, in the container's cgroup.
    pub(crate) fn go_on_exec(&self) -> Result<()> {
        self.exec_cpu_affinity.as_ref().map_or(Ok(()), exec_cpu_affinity::Plan::go_on)
    }

    /// Init, inside `root`: becomes the container's user, and finds the program with its eyes.
    pub(crate) fn assume(&self, context: &Context<'_>) -> Result<Image<'_>> {
        if let Some(personality) = self.personality {
            personality.apply()?;
        }
        if let Some(profile) = &self.apparmor {
            profile.apply()?;
        }
        if let Some(label) = &self.selinux {
            label.apply()?;
        }
        if !self.prioritised_outside {
            self.set_priorities(0)?;
        }
        if let Some(policy) = &self.memory_policy {
            policy.apply()?;
        }
        let entered = self.enter_directory(context)?;
        self.user.own_stdio([0, 1, 2].map(sys::fd::standard))?;
        let ruleset = self.landlock.as_ref().map(|plan| plan.prepare(context.root)).transpose()?;
        self.caps.limit(context.keep)?;
        self.user.become_user()?;
        self.caps.assume(context.keep)?;
        sys::ids::umask(self.user.umask.unwrap_or(context.umask));
        if entered == Entered::NotAsRoot {
            self.change_directory(context.root)?;
        }
        let image = self.find_program(context.root)?;
        if self.no_new_privileges {
            prctl::set_no_new_privileges().property(Property::of("process.noNewPrivileges"))?;
        }
        ruleset.as_ref().map_or(Ok(()), landlock::restrict)?;
        Ok(image)
    }

    /// Init, when nothing else is left to do that a small limit could hinder.
    pub(crate) fn apply_limits(&self) -> Result<()> {
        rlimit::apply(&self.rlimits)
    }

    /// Init: becomes the program, or says why not.
    pub(crate) fn execute(&self, image: &Image<'_>, may_look: bool) -> Error {
        let error = image.execute();
        // Under a filter that kills, looking further might end us before anything is told.
        let missing = (error.errno == Errno::ENOENT && may_look).then(|| interpreter::missing(image.path())).flatten();
        program::not_executed(self.name(image), error.errno, missing.as_deref())
    }

    fn name<'a>(&'a self, image: &'a Image<'_>) -> &'a CStr {
        self.args.first().map_or(image.path(), |name| name.as_c_str())
    }

    fn find_program<'a>(&'a self, root: BorrowedFd<'_>) -> Result<Image<'a>> {
        // compile made sure that there is a first one.
        let name = self.args.first().map_or(c"", |name| name.as_c_str());
        let path = program::find(name, &self.env)?;
        let home = env::value(&self.env, b"HOME").is_none().then(|| env::home(root, self.user.uid));
        let sockets = self.listen_fds.iter().flat_map(ListenFds::variables);
        Ok(Image::new(path, &self.args, &self.env, home.into_iter().chain(sockets).collect()))
    }

    /// Makes a missing directory for init, as engines expect. One that root may not enter (on a network file
    /// system, say) is entered as the user.
    fn enter_directory(&self, context: &Context<'_>) -> Result<Entered> {
        match self.change_directory(context.root) {
            Ok(()) => Ok(Entered::Now),
            Err(error) if error.errno() == Some(Errno::EACCES) => Ok(Entered::NotAsRoot),
            Err(error) if error.errno() == Some(Errno::ENOENT) => {
                let Some(make_directory) = context.make_directory else { return Err(error) };
                make_directory(&self.cwd).property(CWD)?;
                self.change_directory(context.root).map(|()| Entered::Now)
            }
            Err(error) => Err(error),
        }
    }

    /// Links out of the root cannot be followed, least of all those of /proc/self/fd
    /// (CVE-2024-21626); that the outcome is inside is checked all the same.
    fn change_directory(&self, root: BorrowedFd<'_>) -> Result<()> {
        let name = self.cwd.to_string_lossy();
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let directory = sys::path::openat2(root, &self.cwd, flags, resolve).on(&name).property(CWD)?;
        sys::path::fchdir(directory.as_fd()).on(&name).property(CWD)?;
        if sys::exec::cwd_is_below_root().on(&name).property(CWD)? {
            return Ok(());
        }
        Err(CWD.invalid(format!("{name} is outside of the container's root")))
    }
}

/// What init knows when it hands over to the container's process.
pub(crate) struct Context<'a> {
    /// The container's root, which is ours by now.
    pub(crate) root: BorrowedFd<'a>,
    /// Makes a directory and its parents below that root; `exec` makes none.
    pub(crate) make_directory: Option<&'a MakeDirectory<'a>>,
    /// The umask orlop was called with (CFG-44).
    pub(crate) umask: u32,
    /// For a filter that is loaded later.
    pub(crate) keep: Keep,
}

pub(crate) type MakeDirectory<'a> = dyn Fn(&CStr) -> Result<()> + 'a;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entered {
    Now,
    NotAsRoot,
}

const CWD: Property = Property::of("process.cwd");

/// CFG-16
fn compile_args(args: &[String]) -> Result<Vec<CString>> {
    let property = Property::of("process.args");
    if args.is_empty() {
        return Err(property.invalid("it is empty, so there is no program to run"));
    }
    if args[0].is_empty() {
        return Err(property.invalid(r#"exec: "": no such file or directory"#));
    }
    let with_nul = |arg: &String| property.invalid(format!("{arg:?} has a NUL byte inside"));
    args.iter().map(|arg| sys::c_string(arg).map_err(|_| with_nul(arg))).collect()
}

/// CFG-14
fn compile_cwd(cwd: &str) -> Result<CString> {
    if !cwd.starts_with('/') {
        return Err(CWD.invalid(format!("{cwd:?} is not an absolute path")));
    }
    sys::c_string(cwd).map_err(|_| CWD.invalid(format!("{cwd:?} has a NUL byte inside")))
}

const OOM_SCORE_ADJ: Property = Property::of("process.oomScoreAdj");

fn compile_oom_score_adj(score: i32) -> Result<i32> {
    if (-1000..=1000).contains(&score) {
        return Ok(score);
    }
    Err(OOM_SCORE_ADJ.invalid(format!("{score} is not between -1000 and 1000")))
}

/// Of ourselves, or of a child that has not been waited for, so the pid is its own.
fn write_oom_score_adj(process: &str, score: i32) -> Result<()> {
    let path = format!("/proc/{process}/oom_score_adj");
    let failed = |error: sys::Error| match error.errno {
        Errno::EACCES => {
            let (call, meaning) = (error.call, Meaning(error.errno));
            OOM_SCORE_ADJ.invalid(format!("{path}: {call}: {meaning} (lowering it to {score} needs CAP_SYS_RESOURCE)"))
        }
        _ => error.on(&path).property(OOM_SCORE_ADJ),
    };
    let file = sys::c_string(&path).and_then(|path| sys::path::open(&path, OFlag::O_WRONLY)).map_err(failed)?;
    sys::fd::write(file.as_fd(), score.to_string().as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(process: &str) -> Result<Plan> {
        let process: Process = serde_json::from_str(process).unwrap();
        let linux = Linux::default();
        let namespaces = Namespaces::compile(&linux)?;
        Plan::compile(&process, &linux, &namespaces, &Host::new())
    }

    /// A process with one more property, or with one of the three replaced.
    fn with(property: &str) -> String {
        let name = property.split(':').next().unwrap();
        let usual = [r#""args": ["sh"]"#, r#""cwd": "/""#, r#""user": {"uid": 0, "gid": 0}"#];
        let rest = usual.into_iter().filter(|usual| !usual.starts_with(name)).collect::<Vec<_>>().join(", ");
        format!("{{{property}, {rest}}}")
    }

    fn error(property: &str) -> String {
        compile(&with(property)).unwrap_err().to_string()
    }

    /// CFG-14, CFG-16, CFG-29, VAL-03, VAL-04
    #[test]
    fn wrong_values_name_their_property() {
        for (property, text) in [
            (r#""args": []"#, "process.args: it is empty, so there is no program to run"),
            (r#""args": null"#, "process.args: it is empty, so there is no program to run"),
            (r#""args": [""]"#, r#"process.args: exec: "": no such file or directory"#),
            (r#""args": ["a", "b\u0000"]"#, r#"process.args: "b\0" has a NUL byte inside"#),
            (r#""cwd": "tmp""#, r#"process.cwd: "tmp" is not an absolute path"#),
            (r#""cwd": """#, r#"process.cwd: "" is not an absolute path"#),
            (r#""env": ["A\u0000"]"#, r#"process.env[0]: "A\0" has a NUL byte inside"#),
            (r#""oomScoreAdj": 1001"#, "process.oomScoreAdj: 1001 is not between -1000 and 1000"),
        ] {
            assert_eq!(error(property), text);
        }
    }

    /// CFG-10, CFG-28, CFG-30
    #[test]
    fn what_is_not_configured_is_not_done() {
        let plan = compile(&with(r#""apparmorProfile": """#)).unwrap();
        assert_eq!((plan.oom_score_adj, plan.no_new_privileges), (None, false));
        assert!(plan.terminal.is_none() && plan.personality.is_none() && plan.rlimits.is_empty());
        assert_eq!(compile(&with(r#""oomScoreAdj": 0"#)).unwrap().oom_score_adj, Some(0));
    }

    /// CFG-29: raising one's own score needs no privilege.
    #[test]
    fn the_oom_score_is_written() {
        let read = || std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse::<i32>().unwrap();
        let before = read();
        write_oom_score_adj("self", before).unwrap();
        assert_eq!(read(), before);
        let error = write_oom_score_adj("2147483647", 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "process.oomScoreAdj: /proc/2147483647/oom_score_adj: open: ENOENT: no such file or directory"
        );
    }
}
