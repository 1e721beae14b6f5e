//! v2: device rules as a BPF program that the kernel asks at each open and mknod.
//!
//! Runs in: parent · kernel documentation cgroup-v2, "Device controller"

use std::os::fd::AsFd;
use std::path::Path;

use super::{ALL, Kind, PROPERTY, Rule, may_do_without};
use crate::error::{For as _, On as _, Result};
use crate::sys::bpf::{self, Instruction};

/// Attaches the program to the container's directory; to one that was there before, in place of
/// what was attached to it.
pub(in crate::cgroup) fn attach(dir: &Path, directory: impl AsFd, program: &[Instruction], is_new: bool) -> Result<()> {
    let (directory, attach) = (directory.as_fd(), if is_new { bpf::attach } else { bpf::replace });
    match bpf::load(program).and_then(|program| attach(directory, program.as_fd())) {
        Err(error) if may_do_without(error.errno) => Ok(()),
        result => result.on(dir.display()).property(PROPERTY),
    }
}

// Registers of the program: the first argument, then what is loaded from it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Operations, from linux/bpf.h and linux/bpf_common.h.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const MOVE_REGISTER: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const JUMP_IF_NOT_EQUAL: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const JUMP_IF_SET: u8 = 0x46; // BPF_JMP32 | BPF_JSET | BPF_K
const JUMP: u8 = 0x05; // BPF_JMP | BPF_JA
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const fn instruction(code: u8, target: u8, source: u8, offset: i16, immediate: u32) -> Instruction {
    Instruction { code, registers: target | source << 4, offset, immediate: immediate as i32 }
}

/// The same rules as a program over `struct bpf_cgroup_dev_ctx`, which returns 1 for yes.
///
/// It looks at the rules from the last to the first. `WANTED` holds the kinds of access that are not
/// decided yet: a rule that allows takes its own away, and when none is left the answer is yes; one
/// that denies any of them makes it no.
pub(super) fn compile(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD_WORD, WANTED, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, KIND, WANTED, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, WANTED, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    // Nothing before the last rule about everything can match, and the kernel takes no dead code.
    let first = rules.iter().rposition(Rule::is_everything).unwrap_or_default();
    for rule in rules[first..].iter().rev() {
        append(rule, &mut program);
    }
    program
}

fn append(rule: &Rule, program: &mut Vec<Instruction>) {
    let answer = [instruction(MOVE, RESULT, 0, 0, rule.allow.into()), instruction(EXIT, 0, 0, 0, 0)];
    let mut verdict = match (rule.access == ALL, rule.allow) {
        (true, _) => Vec::new(),
        (false, true) => vec![
            instruction(AND, WANTED, 0, 0, (ALL & !rule.access).into()),
            instruction(JUMP_IF_NOT_EQUAL, WANTED, 0, 2, 0),
        ],
        (false, false) => {
            vec![instruction(JUMP_IF_SET, WANTED, 0, 1, rule.access.into()), instruction(JUMP, 0, 0, 2, 0)]
        }
    };
    verdict.extend(answer);
    let kind = rule.kind.map(|kind| if kind == Kind::Block { 1 } else { 2 });
    let tests: Vec<(u8, u32)> = [(KIND, kind), (MAJOR, rule.major), (MINOR, rule.minor)]
        .into_iter()
        .filter_map(|(register, value)| Some((register, value?)))
        .collect();
    for (index, (register, value)) in tests.iter().enumerate() {
        let past_the_rule = tests.len() - 1 - index + verdict.len();
        program.push(instruction(JUMP_IF_NOT_EQUAL, *register, 0, past_the_rule as i16, *value));
    }
    program.extend(verdict);
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::super::{MKNOD, READ, WRITE};
    use super::*;

    /// Runs a program as the kernel would; anything outside of what `compile` may use is a failure.
    fn run(program: &[Instruction], kind: u32, major: u32, minor: u32, access: u8) -> bool {
        let context = [kind | u32::from(access) << 16, major, minor];
        let mut registers = [None; 6];
        let mut at = 0;
        loop {
            let Instruction { code, registers: pair, offset, immediate } = program[at];
            let (target, source) = (usize::from(pair & 15), usize::from(pair >> 4));
            let immediate = immediate as u32;
            let value = registers[target];
            let mut jump = false;
            match code {
                LOAD_WORD => {
                    assert_eq!(source, usize::from(CONTEXT));
                    registers[target] = Some(context[offset as usize / 4]);
                }
                MOVE => registers[target] = Some(immediate),
                MOVE_REGISTER => registers[target] = registers[source],
                AND => registers[target] = Some(value.unwrap() & immediate),
                SHIFT_RIGHT => registers[target] = Some(value.unwrap() >> immediate),
                JUMP_IF_NOT_EQUAL => jump = value.unwrap() != immediate,
                JUMP_IF_SET => jump = value.unwrap() & immediate != 0,
                JUMP => jump = true,
                EXIT => return registers[usize::from(RESULT)].unwrap() == 1,
                _ => panic!("code {code:#x}"),
            }
            at += 1 + if jump { usize::try_from(offset).unwrap() } else { 0 };
        }
    }

    /// The rules read literally: the last that names a kind of access and matches decides on it.
    fn expected(rules: &[Rule], kind: u32, major: u32, minor: u32, access: u8) -> bool {
        let matches = |rule: &&Rule| {
            rule.kind.is_none_or(|of| (of == Kind::Block) == (kind == 1))
                && rule.major.is_none_or(|of| of == major)
                && rule.minor.is_none_or(|of| of == minor)
        };
        let decides = |bit: u8| rules.iter().filter(matches).rfind(|rule| rule.access & bit != 0).unwrap().allow;
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(decides)
    }

    fn check(json: &str) {
        let rules = rules(json);
        let program = compile(&rules);
        for kind in [1, 2] {
            for (major, minor) in
                [(0, 0), (1, 3), (1, 4), (5, 1), (8, 0), (8, 1), (10, 200), (10, 229), (136, 77), (u32::MAX, 3)]
            {
                for access in 1..=ALL {
                    assert_eq!(
                        run(&program, kind, major, minor, access),
                        expected(&rules, kind, major, minor, access),
                        "{json}: type {kind}, {major}:{minor}, access {access}"
                    );
                }
            }
        }
    }

    /// LNX-66
    #[test]
    fn the_last_rule_decides() {
        for json in [
            "[]",
            r#"[{"allow": true}]"#,
            r#"[{"allow": true, "access": "r"}]"#,
            r#"[{"allow": false}, {"allow": true, "type": "b"}, {"allow": false, "type": "b", "major": 8, "minor": 0}]"#,
            r#"[{"allow": true, "type": "c", "major": 10}, {"allow": false, "type": "c", "minor": 200, "access": "w"}]"#,
            r#"[{"allow": true}, {"allow": false, "access": "wm"}, {"allow": true, "major": 8, "access": "w"}]"#,
            r#"[{"allow": true, "minor": 3}, {"allow": false, "type": "a", "major": 4294967295, "access": "rw"}]"#,
        ] {
            check(json);
        }
    }

    /// Rules drawn at random, always the same ones: a linear congruential generator.
    #[test]
    fn any_rules() {
        let mut seed = 42_u32;
        let mut draw = |choices: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % choices
        };
        for _ in 0..300 {
            let rule = |draw: &mut dyn FnMut(u32) -> u32| {
                let mut fields = vec![format!(r#""allow": {}"#, draw(2) == 1)];
                fields.extend(["a", "b", "c"].get(draw(4) as usize).map(|kind| format!(r#""type": "{kind}""#)));
                fields.extend([1, 8, 10].get(draw(5) as usize).map(|major| format!(r#""major": {major}"#)));
                fields.extend([0, 3, 200].get(draw(5) as usize).map(|minor| format!(r#""minor": {minor}"#)));
                let access = ["r", "w", "m", "rw", "wm", "rwm"].get(draw(7) as usize);
                fields.extend(access.map(|access| format!(r#""access": "{access}""#)));
                format!("{{{}}}", fields.join(", "))
            };
            let count = draw(6);
            let list: Vec<String> = (0..count).map(|_| rule(&mut draw)).collect();
            check(&format!("[{}]", list.join(", ")));
        }
    }

    /// Asking for no access at all (access(2) with F_OK) is granted where anything is.
    #[test]
    fn no_access() {
        let program = compile(&rules(r#"[{"allow": true, "type": "b", "major": 8, "access": "r"}]"#));
        assert!(run(&program, 1, 8, 0, 0));
        assert!(run(&program, 2, 1, 3, 0));
    }

    /// The kernel refuses a program with instructions that nothing reaches.
    #[test]
    fn nothing_after_the_last_word() {
        let everything = compile(&rules(r#"[{"allow": false}, {"allow": true, "type": "c"}, {"allow": true}]"#));
        let less = compile(&rules(r#"[{"allow": false}, {"allow": true, "type": "c"}]"#));
        assert!(everything.len() < less.len());
        assert_eq!(everything[everything.len() - 2], instruction(MOVE, RESULT, 0, 0, 1));
    }
}
