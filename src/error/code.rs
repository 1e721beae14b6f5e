//! The stable names of what can go wrong, for programs that react to it (`docs/errors.md`).
//!
//! Runs in: both
//!
//! A code never changes its meaning; a new meaning gets a new code. `integration/errors/generate` makes the
//! document from the comments here.

use nix::errno::Errno;

/// An enum whose values have names, and numbers that init tells its parent.
macro_rules! named {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        $vis enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $text),)+];

            pub(crate) fn name(self) -> &'static str {
                Self::ALL[self as usize].1
            }

            pub(crate) fn from_number(number: u8) -> Option<Self> {
                Self::ALL.get(usize::from(number)).map(|(value, _)| *value)
            }
        }
    };
}
pub(crate) use named;

named! {
    /// What kind of failure ended a command.
    pub(crate) enum Code {
        /// Anything that has no code of its own.
        Failed = "failed",
        /// The command line is not one that orlop has.
        Usage = "usage",
        /// A document is no JSON, lacks a REQUIRED property, has one twice, or has a value of the wrong type.
        ConfigSyntax = "config-syntax",
        /// A property's value is not allowed, or contradicts another property.
        ConfigInvalid = "config-invalid",
        /// A property is valid, but this build, kernel or host cannot do what it asks for.
        Unsupported = "unsupported",
        /// A system call failed; `errno` says why.
        SystemCall = "system-call",
        /// A system call was refused: EPERM, EACCES or EROFS.
        PermissionDenied = "permission-denied",
        /// A file or directory is missing: ENOENT or ENOTDIR.
        NotFound = "not-found",
        /// A file system, or a table of the kernel's, is full: ENOSPC or EDQUOT.
        NoSpace = "no-space",
        /// The kernel has no memory for this: ENOMEM.
        NoMemory = "no-memory",
        /// There is no container of this name.
        ContainerNotFound = "container-not-found",
        /// There is a container of this name already.
        ContainerExists = "container-exists",
        /// The container's status does not allow this command.
        ContainerStatus = "container-status",
        /// `process.args[0]` names no file of the container.
        ProgramNotFound = "program-not-found",
        /// The program is a directory, has no execute permission, or is for another kind of machine.
        ProgramNotExecutable = "program-not-executable",
        /// The program is there, but not the interpreter or dynamic linker that it names.
        InterpreterNotFound = "interpreter-not-found",
        /// A hook exited with a status other than 0, was killed, or could not be executed.
        HookFailed = "hook-failed",
        /// A hook ran longer than its timeout.
        HookTimeout = "hook-timeout",
        /// The container's first process ended while it was being set up.
        InitDied = "init-died",
        /// The memory limit is too small for the container's own start.
        MemoryLimit = "memory-limit-too-small",
        /// A limit cannot be lowered below the memory that is in use (`update`).
        MemoryInUse = "memory-in-use",
        /// The kernel or its configuration lets this user make no user namespace, or no more of them.
        UserNamespace = "user-namespace-refused",
        /// This user may not map these ids.
        IdMap = "id-map-refused",
        /// A file system cannot map the ids of a mount.
        IdmappedMount = "idmapped-mount-unsupported",
        /// A cgroup above the container's does not pass down a controller that a limit needs.
        CgroupController = "cgroup-controller-missing",
    }
}

impl Code {
    /// Of a failed system call.
    pub(super) fn of_errno(errno: Errno) -> Self {
        match errno {
            Errno::EPERM | Errno::EACCES | Errno::EROFS => Self::PermissionDenied,
            Errno::ENOENT | Errno::ENOTDIR => Self::NotFound,
            Errno::ENOSPC | Errno::EDQUOT => Self::NoSpace,
            Errno::ENOMEM => Self::NoMemory,
            _ => Self::SystemCall,
        }
    }

    pub(super) fn is_hook(self) -> bool {
        matches!(self, Self::HookFailed | Self::HookTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_unique() {
        for (number, (code, name)) in Code::ALL.iter().enumerate() {
            assert_eq!(Code::from_number(number as u8), Some(*code));
            assert_eq!(code.name(), *name);
            assert_eq!(Code::ALL.iter().filter(|(_, other)| other == name).count(), 1, "{name}");
        }
        assert_eq!(Code::from_number(u8::MAX), None);
    }
}
