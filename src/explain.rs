//! `explain`: what `create` and `start` would do, step by step, in the order in which they would do it.
//!
//! Runs in: parent
//!
//! The plan is the one that `create` acts upon. Each topic describes its own part, beside the code that carries it
//! out; here is the order, which is that of `container::create`, `init` and `init::gate`.

mod process;
mod seccomp;

use std::fmt::{self, Display};

use nix::sched::CloneFlags;
use serde::Serialize;

use crate::container::CreateOptions;
use crate::error::{Property, Result};
use crate::hooks::Hook;
use crate::host::Host;
use crate::namespace::{self, NEWTIME};
use crate::phase::Phase;
use crate::plan::Plan;
use crate::rootfs::Switch;
use crate::spec::Config;

/// Something that is done.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    command: &'static str,
    /// Who does it.
    by: &'static str,
    phase: &'static str,
    action: String,
    /// What of config.json it carries out.
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<String>,
}

/// Steps in the making.
#[derive(Debug)]
pub(crate) struct Steps {
    command: &'static str,
    by: &'static str,
    phase: Phase,
    list: Vec<Step>,
}

impl Steps {
    fn enter(&mut self, by: &'static str, phase: Phase) -> &mut Self {
        (self.by, self.phase) = (by, phase);
        self
    }

    pub(crate) fn add(&mut self, action: impl Display) {
        self.push(action, None);
    }

    /// For the sake of a property.
    pub(crate) fn add_for(&mut self, property: Property, action: impl Display) {
        self.push(action, Some(property.to_string()));
    }

    fn push(&mut self, action: impl Display, property: Option<String>) {
        let action = action.to_string();
        self.list.push(Step { command: self.command, by: self.by, phase: self.phase.name(), action, property });
    }

    fn hooks(&mut self, hooks: &[Hook]) {
        for hook in hooks {
            self.add_for(hook.property(), format_args!("run {hook}"));
        }
    }
}

const PARENT: &str = "parent";
const INIT: &str = "init";

pub(crate) fn explain(config: &Config, options: &CreateOptions) -> Result<Vec<Step>> {
    let host = Host::new();
    let plan = Plan::compile(config, &host, options)?;
    let mut steps = Steps { command: "create", by: PARENT, phase: Phase::Configuration, list: Vec::new() };
    outside(&plan, config, options, &host, &mut steps);
    inside(&plan, config, options, &mut steps);
    outside_again(&plan, options, &mut steps);
    steps.command = "start";
    started(&plan, config, &mut steps);
    steps.command = "delete";
    steps.enter(PARENT, Phase::Delete).add("kill what is left; remove cgroup, record and state directory");
    steps.hooks(&plan.hooks.poststop);
    Ok(steps.list)
}

/// The parent, until init is on its own.
fn outside(plan: &Plan, config: &Config, options: &CreateOptions, host: &Host, steps: &mut Steps) {
    steps.add(format_args!("read {}", options.bundle.join("config.json").display()));
    steps.enter(PARENT, Phase::Preparation);
    if !plan.rootfs.root.made {
        steps.add_for(Property::of("root.path"), format_args!("open {}", plan.rootfs.root.path.display()));
    }
    for join in &plan.namespaces.joins {
        steps.add_for(join.property, format_args!("open {}", join.path.to_string_lossy()));
    }
    steps.enter(PARENT, Phase::State);
    steps.add(format_args!("mkdir {}; flock; write state.json, config.json", options.root.join(&options.id).display()));
    plan.cgroup.explain_creation(steps.enter(PARENT, Phase::Cgroup));
    if let Some(overlay) = &plan.rootfs.overlay {
        steps.enter(PARENT, Phase::Layers).add(overlay);
    }
    let flags = plan.namespaces.clone_flags(plan.launch);
    steps.enter(PARENT, Phase::Clone).add(format_args!("clone3({})", Flags(flags)));
    steps.enter(PARENT, Phase::Limits);
    if plan.namespaces.makes(CloneFlags::CLONE_NEWUSER) {
        plan.namespaces.ids.explain(host, steps);
    }
    if let Some(score) = plan.process.as_ref().and_then(|process| process.oom_score_adj) {
        steps.add_for(Property::of("process.oomScoreAdj"), format_args!("write /proc/PID/oom_score_adj: {score}"));
    }
    plan.cgroup.explain_limits(steps);
    for (device, _) in config.linux.net_devices.iter() {
        steps.enter(PARENT, Phase::Devices);
        steps.add_for(Property::of("linux.netDevices"), format_args!("move {device} into the network namespace"));
    }
    steps.enter(PARENT, Phase::Hooks);
    steps.hooks(&plan.hooks.prestart);
    steps.hooks(&plan.hooks.create_runtime);
    if let Some(profile) = config.linux.seccomp.as_deref() {
        seccomp::explain(profile, plan, steps.enter(PARENT, Phase::Filter));
    }
}

/// Init, meanwhile, until it waits for `start`.
fn inside(plan: &Plan, config: &Config, options: &CreateOptions, steps: &mut Steps) {
    steps.enter(INIT, Phase::Namespaces);
    for join in &plan.namespaces.joins {
        let path = join.path.to_string_lossy();
        steps.add_for(join.property, format_args!("setns({path}, {})", Flags(join.kind)));
    }
    let cgroup = CloneFlags::CLONE_NEWCGROUP;
    let made = plan.namespaces.new - plan.namespaces.clone_flags(plan.launch) - cgroup;
    if !made.is_empty() {
        steps.add_for(Property::of("linux.namespaces"), format_args!("unshare({})", Flags(made)));
    }
    if plan.namespaces.makes(CloneFlags::CLONE_NEWNET) {
        steps.add("bring up lo");
    }
    steps.enter(INIT, Phase::Mounts);
    if plan.namespaces.makes(cgroup) {
        let when = "once in the cgroups: before the first mount of them, or after all mounts";
        steps.add_for(Property::of("linux.namespaces"), format_args!("unshare(NEWCGROUP), {when}"));
    }
    plan.rootfs.explain(steps);
    steps.enter(INIT, Phase::Kernel);
    for (name, property, call) in
        [(&plan.names.host, "hostname", "sethostname"), (&plan.names.domain, "domainname", "setdomainname")]
    {
        if let Some(name) = name {
            steps.add_for(Property::of(property), format_args!("{call}({name:?})"));
        }
    }
    for step in &plan.sysctl {
        steps.add_for(Property::of("linux.sysctl"), step);
    }
    steps.enter(INIT, Phase::Hooks).hooks(&plan.hooks.create_container);
    plan.rootfs.explain_masks(steps.enter(INIT, Phase::Masks));
    steps.enter(INIT, Phase::Pivot);
    if plan.rootfs.root.readonly {
        steps.add_for(Property::of("root.readonly"), "mount_setattr(/, RDONLY)");
    }
    steps.add(match plan.rootfs.root.switch {
        Switch::Pivot => "pivot_root(\".\", \".\"); umount2(\".\", DETACH)",
        Switch::Move => "move_mount(root -> /); chroot(\".\")",
        Switch::Chroot => "chroot(\".\")",
    });
    steps.enter(INIT, Phase::User);
    if !options.no_new_keyring {
        steps.add(format_args!("keyctl(JOIN_SESSION_KEYRING, \"_ses.{}\")", options.id));
    }
    if let Some(process) = &config.process {
        process::assume(process, steps);
    }
}

fn outside_again(plan: &Plan, options: &CreateOptions, steps: &mut Steps) {
    steps.enter(PARENT, Phase::Commit).add("write state.json with init's pid");
    if let Some(file) = &options.pid_file {
        steps.add(format_args!("write {}", file.display()));
    }
    if plan.intel_rdt.is_some() {
        steps.add_for(Property::of("linux.intelRdt"), "write schemata and tasks in resctrl");
    }
}

fn started(plan: &Plan, config: &Config, steps: &mut Steps) {
    let Some(process) = &config.process else {
        steps.enter(INIT, Phase::Start);
        return steps.add_for(Property::of("process"), "is missing: this container cannot be started");
    };
    steps.enter(INIT, Phase::Start).hooks(&plan.hooks.start_container);
    process::limits(process, steps);
    if config.linux.seccomp.is_some() {
        steps.add_for(Property::of("linux.seccomp"), "seccomp(SET_MODE_FILTER)");
    }
    steps.enter(INIT, Phase::Execute);
    process::execute(process, steps);
    steps.enter(PARENT, Phase::Poststart).hooks(&plan.hooks.poststart);
}

/// `NEWPID|NEWNS`
struct Flags(CloneFlags);

impl Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = namespace::ALL.iter().filter(|kind| self.0.contains(**kind));
        let names = all.map(|kind| match *kind {
            CloneFlags::CLONE_NEWNS => "NEWNS".to_owned(),
            CloneFlags::CLONE_NEWNET => "NEWNET".to_owned(),
            NEWTIME => "NEWTIME".to_owned(),
            kind => format!("NEW{}", namespace::name(kind).to_uppercase()),
        });
        f.write_str(&names.collect::<Vec<_>>().join("|"))
    }
}

/// For people: a heading for each command and each of its sides.
pub(crate) fn text(steps: &[Step]) -> String {
    let mut text = String::new();
    let (mut heading, mut phase) = (("", ""), "");
    for step in steps {
        if (step.command, step.by) != heading {
            heading = (step.command, step.by);
            phase = "";
            text += &format!("{}, {}\n", step.command, step.by);
        }
        let shown = if step.phase == phase { "" } else { step.phase };
        phase = step.phase;
        let property = step.property.as_ref().map_or_else(String::new, |property| format!("  # {property}"));
        text += &format!("  {shown:<16} {}{property}\n", step.action);
    }
    text
}
