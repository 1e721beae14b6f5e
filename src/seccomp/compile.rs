//! From a profile to a filter: every check first, then libseccomp.
//!
//! Runs in: parent · config-linux.md, "Seccomp"

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;

use libc::sock_filter;
use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall, ScmpVersion};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Deserialize;

use super::{Filter, Listener, instructions, newer, ranges};
use crate::error::{Error, Property, Result};
use crate::spec::object::object;
use crate::spec::place;
use crate::sys::{self, Call as _};

/// `linux.seccomp` as written. Names stay text, as libseccomp's names are the spec's.
#[derive(Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
struct Seccomp {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Syscall>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
struct Syscall {
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Arg>>,
}

#[derive(Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
struct Arg {
    index: u32,
    value: u64,
    value_two: Option<u64>,
    op: String,
}

object!(Seccomp, Syscall, Arg);

/// The same, resolved: what libseccomp is told.
#[derive(Debug)]
pub(super) struct Profile {
    default: ScmpAction,
    /// With their names, for messages.
    architectures: Vec<(String, ScmpArch)>,
    flags: u32,
    rules: Vec<Rule>,
    pub(super) listener: Option<Listener>,
    /// All names, whatever happens at them.
    names: Vec<String>,
    /// Names that libseccomp does not know.
    pub(super) unknown: Vec<String>,
}

/// An action for some system calls if all conditions hold.
#[derive(Debug)]
struct Rule {
    property: Property,
    action: ScmpAction,
    syscalls: Vec<ScmpSyscall>,
    conditions: Vec<ScmpArgCompare>,
}

impl Profile {
    pub(super) fn compile(text: &str) -> Result<Self> {
        let seccomp: Seccomp = serde_json::from_slice(text.as_bytes()).map_err(|error| locate(text, &error))?;
        if seccomp.listener_metadata.is_some() && seccomp.listener_path.is_none() {
            return Err(Property::of("linux.seccomp.listenerMetadata").invalid("is set without listenerPath"));
        }
        let mut profile = Self {
            default: default_action(&seccomp)?,
            architectures: architectures(seccomp.architectures.as_deref().unwrap_or_default())?,
            flags: flags(seccomp.flags.as_deref())?,
            rules: Vec::new(),
            listener: None,
            names: Vec::new(),
            unknown: Vec::new(),
        };
        for (index, syscall) in seccomp.syscalls.iter().flatten().enumerate() {
            profile.add(Property::at("linux.seccomp.syscalls", index), syscall)?;
            profile.names.extend_from_slice(&syscall.names);
        }
        profile.set_listener(seccomp)?;
        profile.context()?;
        Ok(profile)
    }

    fn add(&mut self, property: Property, syscall: &Syscall) -> Result<()> {
        let action = action(property.field("action"), &syscall.action, property.field("errnoRet"), syscall.errno_ret)?;
        let args = syscall.args.as_deref().unwrap_or_default();
        let conditions: Vec<_> =
            args.iter().enumerate().map(|(index, arg)| condition(property, index, arg)).collect::<Result<_>>()?;
        if syscall.names.is_empty() {
            return Err(property.field("names").invalid("is empty; at least one name is required"));
        }
        let mut syscalls = Vec::with_capacity(syscall.names.len());
        for name in &syscall.names {
            match ScmpSyscall::from_name(name) {
                Ok(syscall) => syscalls.push(syscall),
                Err(_) if self.unknown.contains(name) => {}
                Err(_) => self.unknown.push(name.clone()),
            }
        }
        // What happens anyway needs no rule, and libseccomp refuses one.
        if action == self.default {
            return Ok(());
        }
        match tests_one_argument_twice(args) {
            false => self.rules.push(Rule { property, action, syscalls, conditions }),
            // libseccomp can test an argument only once per rule. Profiles are written for runc and crun, to
            // which such conditions are alternatives: a rule each.
            true => self.rules.extend(conditions.into_iter().map(|condition| Rule {
                property,
                action,
                syscalls: syscalls.clone(),
                conditions: vec![condition],
            })),
        }
        Ok(())
    }

    /// LNX-134: only a profile that notifies has a listener; and it needs one.
    fn set_listener(&mut self, seccomp: Seccomp) -> Result<()> {
        let notifies = [self.default].into_iter().chain(self.rules.iter().map(|rule| rule.action));
        if !notifies.into_iter().any(|action| action == ScmpAction::Notify) {
            self.flags &= !WAIT_KILLABLE_RECV;
            return Ok(());
        }
        let property = Property::of("linux.seccomp.listenerPath");
        let path = seccomp.listener_path.filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| property.invalid("is missing, and SCMP_ACT_NOTIFY needs it"))?;
        if path.contains('\0') {
            return Err(property.invalid("has a NUL byte"));
        }
        self.flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
        if !sys::seccomp::knows_flags(self.flags)? {
            let flag = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19";
            return Err(Property::of("linux.seccomp.flags").unsupported(flag));
        }
        self.listener = Some(Listener::new(path, seccomp.listener_metadata));
        Ok(())
    }

    /// libseccomp's filter without its rules. Its native architecture is always part of it.
    fn context(&self) -> Result<ScmpFilterContext> {
        let default = Property::of("linux.seccomp.defaultAction");
        let mut context = ScmpFilterContext::new(self.default).map_err(|error| refused(default, &error))?;
        for (index, (name, architecture)) in self.architectures.iter().enumerate() {
            let property = Property::at("linux.seccomp.architectures", index);
            context
                .add_arch(*architecture)
                .map_err(|error| property.unsupported(format!("{} refuses {name}: {error}", libseccomp_version())))?;
        }
        // Its own binary search, instead of a list, which is faster to rewrite and, should that fail, to run.
        context.set_ctl_optimize(2).map_err(|error| refused(SECCOMP, &error))?;
        Ok(context)
    }

    pub(super) fn build(&self) -> Result<Filter> {
        let program = self.program()?;
        let program = ranges::rewrite(&program).unwrap_or(program);
        // BPF_MAXINSNS
        if program.len() > 4096 {
            let needs = format!("its filter has {} instructions, the kernel takes 4096", program.len());
            return Err(SECCOMP.unsupported(needs));
        }
        Ok(Filter { flags: self.flags, program, listener: self.listener.clone(), unknown: self.unknown.clone() })
    }

    /// libseccomp's program, and the answer to what is newer than the profile.
    pub(super) fn program(&self) -> Result<Vec<sock_filter>> {
        let program = self.libseccomp_program()?;
        if newer::is_permissive(self.default) {
            return Ok(program);
        }
        let architectures = self.architectures.iter().map(|(_, architecture)| *architecture);
        Ok(newer::prepend(&program, &self.names, architectures.chain([ScmpArch::Native])))
    }

    fn libseccomp_program(&self) -> Result<Vec<sock_filter>> {
        let mut context = self.context()?;
        for rule in &self.rules {
            for &syscall in &rule.syscalls {
                context
                    .add_rule_conditional(rule.action, syscall, &rule.conditions)
                    .map_err(|error| refused(rule.property, &error))?;
            }
        }
        Ok(instructions(&export(&context)?))
    }
}

const SECCOMP: Property = Property::of("linux.seccomp");

/// Of a system call of this machine.
pub(crate) fn name_of(number: i32) -> Option<String> {
    ScmpSyscall::from(number).get_name().ok()
}

/// Line and column would be those of this part of config.json.
fn locate(text: &str, error: &serde_json::Error) -> Error {
    let reason = place::reason(error);
    match place::path(text.as_bytes(), error).as_str() {
        "" => SECCOMP.invalid(reason),
        path => Error::other(format!("linux.seccomp.{path}: {reason}")),
    }
}

/// LNX-126, LNX-127
fn default_action(seccomp: &Seccomp) -> Result<ScmpAction> {
    action(
        Property::of("linux.seccomp.defaultAction"),
        &seccomp.default_action,
        Property::of("linux.seccomp.defaultErrnoRet"),
        seccomp.default_errno_ret,
    )
}

/// LNX-138, LNX-139: an errno only where the action has one; EPERM if none is given.
fn action(property: Property, name: &str, errno_property: Property, errno: Option<u32>) -> Result<ScmpAction> {
    let value = errno.unwrap_or(libc::EPERM as u32);
    let action = match name {
        // The kernel's MAX_ERRNO, to which it would lower what is above; libseccomp does not take it.
        "SCMP_ACT_ERRNO" if value >= 4095 => {
            return Err(errno_property.invalid(format!("{value} is too high for an errno")));
        }
        "SCMP_ACT_TRACE" if value > 0xffff => {
            return Err(errno_property.invalid(format!("{value} does not fit into 16 bits")));
        }
        _ => ScmpAction::from_str(name, Some(value as i32)),
    };
    match action {
        Err(_) => Err(property.invalid(format!("{name:?} is no seccomp action"))),
        Ok(action @ (ScmpAction::Errno(_) | ScmpAction::Trace(_))) => Ok(action),
        Ok(_) if errno.is_some() => Err(errno_property.invalid(format!("{name} takes no errno"))),
        Ok(action) => Ok(action),
    }
}

/// LNX-128
fn architectures(names: &[String]) -> Result<Vec<(String, ScmpArch)>> {
    let parse = |(index, name): (usize, &String)| {
        name.parse().map(|architecture| (name.clone(), architecture)).map_err(|_| {
            let property = Property::at("linux.seccomp.architectures", index);
            property.invalid(format!("{name:?} is no architecture"))
        })
    };
    names.iter().enumerate().map(parse).collect()
}

/// LNX-129. None given means SPEC_ALLOW, as for runc and crun: without it kernels before 5.16 slow
/// down everything under a filter. An empty list means none.
fn flags(names: Option<&[String]>) -> Result<u32> {
    let Some(names) = names else { return Ok(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32) };
    let mut flags = 0;
    for (index, name) in names.iter().enumerate() {
        flags |= match name.as_str() {
            "SECCOMP_FILTER_FLAG_LOG" => libc::SECCOMP_FILTER_FLAG_LOG as u32,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => WAIT_KILLABLE_RECV,
            // Init has no other threads to synchronise.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            _ => return Err(Property::at("linux.seccomp.flags", index).invalid(format!("{name:?} is unknown"))),
        };
    }
    Ok(flags)
}

/// Goes with a listener only.
pub(super) const WAIT_KILLABLE_RECV: u32 = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV as u32;

/// LNX-140
fn condition(property: Property, index: usize, arg: &Arg) -> Result<ScmpArgCompare> {
    let invalid = |reason: String| property.field("args").invalid(format!("[{index}]: {reason}"));
    if arg.index > 5 {
        return Err(invalid(format!("index {} is above 5: system calls have six arguments", arg.index)));
    }
    match arg.op.parse() {
        Err(_) => Err(invalid(format!("{:?} is no operator", arg.op))),
        // `value` is the mask, `valueTwo` what is left of the argument after it.
        Ok(ScmpCompareOp::MaskedEqual(_)) => {
            let operator = ScmpCompareOp::MaskedEqual(arg.value);
            Ok(ScmpArgCompare::new(arg.index, operator, arg.value_two.unwrap_or_default()))
        }
        Ok(operator) => Ok(ScmpArgCompare::new(arg.index, operator, arg.value)),
    }
}

fn tests_one_argument_twice(args: &[Arg]) -> bool {
    args.iter().enumerate().any(|(at, arg)| args[..at].iter().any(|other| other.index == arg.index))
}

fn refused(property: Property, error: &SeccompError) -> Error {
    property.unsupported(format!("{} refuses it: {error}", libseccomp_version()))
}

fn libseccomp_version() -> String {
    ScmpVersion::current().map_or_else(|_| "libseccomp".to_owned(), |version| format!("libseccomp {version}"))
}

/// Before 2.6 libseccomp exports to a descriptor only.
fn export(context: &ScmpFilterContext) -> Result<Vec<u8>> {
    let file = File::from(memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC).call("memfd_create")?);
    context.export_bpf(file.as_fd()).map_err(|error| refused(SECCOMP, &error))?;
    let mut program = vec![0; file.metadata().call("fstat")?.len() as usize];
    file.read_exact_at(&mut program, 0).call("pread64")?;
    Ok(program)
}
