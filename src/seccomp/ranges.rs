//! Rewrites libseccomp's program so that the kernel takes and runs it faster.
//!
//! Runs in: parent
//!
//! libseccomp compares with one system call's number after the other. Most numbers lead to a constant
//! result, and neighbours often to the same one, so ranges of numbers and a binary search between them
//! need a third of the instructions. What looks at arguments is taken over as it is. The input is
//! only executed, never interpreted by shape: whatever is not understood stays as libseccomp made it.

use std::collections::BTreeSet;

use libc::sock_filter;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCHITECTURE: u32 = 4;

pub(super) const LOAD: u16 = 0x20;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
pub(super) const JUMP_GREATER_EQUAL: u16 = 0x35;
const JUMP_BITS: u16 = 0x45;
const AND: u16 = 0x54;
pub(super) const RETURN: u16 = 0x06;

/// The same program, shorter. `None` if it cannot be, or if it does what libseccomp's never do.
pub(super) fn rewrite(program: &[sock_filter]) -> Option<Vec<sock_filter>> {
    let landmarks = Landmarks::of(program)?;
    let mut parts = Vec::new();
    for &architecture in &landmarks.architectures {
        parts.push((architecture, landmarks.ranges(program, architecture)?));
    }
    let other = landmarks.ranges(program, landmarks.other_architecture())?;
    let rewritten = emit(program, &parts, &other)?;
    let is_same = landmarks.architectures.iter().chain([&landmarks.other_architecture()]).all(|&architecture| {
        landmarks.numbers.iter().all(|&number| {
            match (outcome(program, architecture, number), outcome(&rewritten, architecture, number)) {
                (Some(Outcome::Return(expected)), Some(Outcome::Return(value))) => expected == value,
                (Some(Outcome::Arguments(before)), Some(Outcome::Arguments(after))) => {
                    same_code(program, before, &rewritten, after)
                }
                _ => false,
            }
        })
    });
    (is_same && rewritten.len() < program.len()).then_some(rewritten)
}

/// What is known of a system call from its architecture and number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Return(u32),
    /// Its arguments decide, by the code from this instruction on, which loads the first of them.
    Arguments(usize),
}

/// Runs the program until it returns or wants to see an argument.
pub(super) fn outcome(program: &[sock_filter], architecture: u32, number: u32) -> Option<Outcome> {
    let (mut at, mut loaded) = (0, None);
    loop {
        let instruction = program.get(at)?;
        match (instruction.code, instruction.k) {
            (LOAD, NUMBER) => loaded = Some(number),
            (LOAD, ARCHITECTURE) => loaded = Some(architecture),
            (LOAD, _) => return Some(Outcome::Arguments(at)),
            (RETURN, value) => return Some(Outcome::Return(value)),
            (JUMP, distance) => at += distance as usize,
            (code, operand) => {
                let holds = holds(code, loaded?, operand)?;
                at += usize::from(if holds { instruction.jt } else { instruction.jf });
            }
        }
        at += 1;
    }
}

fn holds(code: u16, value: u32, operand: u32) -> Option<bool> {
    match code {
        JUMP_EQUAL => Some(value == operand),
        JUMP_GREATER => Some(value > operand),
        JUMP_GREATER_EQUAL => Some(value >= operand),
        _ => None,
    }
}

/// Where an instruction may continue.
fn successors(at: usize, instruction: &sock_filter) -> Option<Vec<usize>> {
    match instruction.code {
        LOAD | AND => Some(vec![at + 1]),
        JUMP => Some(vec![at + 1 + instruction.k as usize]),
        JUMP_EQUAL | JUMP_GREATER | JUMP_GREATER_EQUAL | JUMP_BITS => {
            Some(vec![at + 1 + usize::from(instruction.jt), at + 1 + usize::from(instruction.jf)])
        }
        RETURN => Some(vec![]),
        _ => None,
    }
}

/// The values at which outcomes can change.
struct Landmarks {
    architectures: Vec<u32>,
    /// All numbers from one of these up to the next are treated alike.
    numbers: BTreeSet<u32>,
}

impl Landmarks {
    /// Follows what each instruction finds loaded. Jumps go forward only, so one pass will do.
    fn of(program: &[sock_filter]) -> Option<Self> {
        let mut found = Self { architectures: Vec::new(), numbers: BTreeSet::from([0]) };
        let mut loaded: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); program.len()];
        for (at, instruction) in program.iter().enumerate() {
            let mut fields = std::mem::take(&mut loaded[at]);
            match instruction.code {
                LOAD => fields = BTreeSet::from([instruction.k]),
                JUMP_EQUAL | JUMP_GREATER | JUMP_GREATER_EQUAL | JUMP_BITS => {
                    for &field in &fields {
                        found.note(field, instruction)?;
                    }
                }
                // A masked number would have other landmarks.
                AND if fields.contains(&NUMBER) || fields.contains(&ARCHITECTURE) => return None,
                _ => {}
            }
            for next in successors(at, instruction)? {
                loaded.get_mut(next)?.extend(&fields);
            }
        }
        Some(found)
    }

    fn note(&mut self, field: u32, instruction: &sock_filter) -> Option<()> {
        match (field, instruction.code) {
            (ARCHITECTURE, JUMP_EQUAL) if !self.architectures.contains(&instruction.k) => {
                self.architectures.push(instruction.k);
            }
            (ARCHITECTURE, JUMP_EQUAL) => {}
            (NUMBER, JUMP_EQUAL | JUMP_GREATER | JUMP_GREATER_EQUAL) => {
                self.numbers.insert(instruction.k);
                self.numbers.extend(instruction.k.checked_add(1));
            }
            (ARCHITECTURE | NUMBER, _) => return None,
            _ => {}
        }
        Some(())
    }

    /// Stands for all that the program does not name.
    fn other_architecture(&self) -> u32 {
        (0..).find(|token| !self.architectures.contains(token)).unwrap_or_default()
    }

    /// Where a range begins, and what happens to all numbers in it.
    fn ranges(&self, program: &[sock_filter], architecture: u32) -> Option<Vec<(u32, Outcome)>> {
        let mut ranges: Vec<(u32, Outcome)> = Vec::new();
        for &number in &self.numbers {
            let outcome = outcome(program, architecture, number)?;
            if ranges.last().is_none_or(|&(_, last)| last != outcome) {
                ranges.push((number, outcome));
            }
        }
        Some(ranges)
    }
}

/// An instruction, or a jump to code that looks at arguments (its position in libseccomp's program).
#[derive(Clone, Copy)]
enum Code {
    Plain(sock_filter),
    Arguments(usize),
}

fn plain(code: u16, k: u32, jt: u8, jf: u8) -> Code {
    Code::Plain(sock_filter { code, jt, jf, k })
}

/// The program: by architecture, then by number, then the code for arguments.
fn emit(
    program: &[sock_filter],
    parts: &[(u32, Vec<(u32, Outcome)>)],
    other: &[(u32, Outcome)],
) -> Option<Vec<sock_filter>> {
    let mut codes = search(other);
    for (architecture, ranges) in parts.iter().rev() {
        let part = search(ranges);
        let mut all = vec![plain(JUMP_EQUAL, *architecture, 1, 0), plain(JUMP, part.len() as u32, 0, 0)];
        all.extend(part);
        all.append(&mut codes);
        codes = all;
    }
    codes.insert(0, plain(LOAD, ARCHITECTURE, 0, 0));

    let kept = reachable(
        program,
        codes.iter().filter_map(|code| if let Code::Arguments(at) = code { Some(*at) } else { None }),
    )?;
    let place = |at: usize| kept.binary_search(&at).ok();
    let mut rewritten = Vec::with_capacity(codes.len() + kept.len());
    for (position, code) in codes.iter().enumerate() {
        rewritten.push(match *code {
            Code::Plain(instruction) => instruction,
            Code::Arguments(at) => {
                let distance = codes.len() + place(at)? - position - 1;
                sock_filter { code: JUMP, jt: 0, jf: 0, k: distance as u32 }
            }
        });
    }
    for (position, &at) in kept.iter().enumerate() {
        rewritten.push(moved(program[at], |distance| Some(place(at + 1 + distance)? - position - 1))?);
    }
    Some(rewritten)
}

/// Binary search for the range of the number.
fn search(ranges: &[(u32, Outcome)]) -> Vec<Code> {
    let mut codes = decide(ranges);
    if ranges.len() > 1 {
        codes.insert(0, plain(LOAD, NUMBER, 0, 0));
    }
    codes
}

fn decide(ranges: &[(u32, Outcome)]) -> Vec<Code> {
    if let [(_, outcome)] = ranges {
        return vec![match *outcome {
            Outcome::Return(value) => plain(RETURN, value, 0, 0),
            Outcome::Arguments(at) => Code::Arguments(at),
        }];
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (below, above) = (decide(low), decide(high));
    let mut codes = match u8::try_from(below.len()) {
        Ok(distance) => vec![plain(JUMP_GREATER_EQUAL, high[0].0, distance, 0)],
        // Conditional jumps are short.
        Err(_) => vec![plain(JUMP_GREATER_EQUAL, high[0].0, 0, 1), plain(JUMP, below.len() as u32, 0, 0)],
    };
    codes.extend(below);
    codes.extend(above);
    codes
}

/// All instructions that these lead to, in order.
fn reachable(program: &[sock_filter], from: impl Iterator<Item = usize>) -> Option<Vec<usize>> {
    let mut found: BTreeSet<usize> = BTreeSet::new();
    let mut open: Vec<usize> = from.collect();
    while let Some(at) = open.pop() {
        if found.insert(at) {
            open.extend(successors(at, program.get(at)?)?);
        }
    }
    Some(found.into_iter().collect())
}

/// The instruction at its new place. Code is only left out between, so no jump becomes longer.
fn moved(instruction: sock_filter, distance: impl Fn(usize) -> Option<usize>) -> Option<sock_filter> {
    match instruction.code {
        JUMP => Some(sock_filter { k: u32::try_from(distance(instruction.k as usize)?).ok()?, ..instruction }),
        JUMP_EQUAL | JUMP_GREATER | JUMP_GREATER_EQUAL | JUMP_BITS => {
            let short = |old: u8| u8::try_from(distance(usize::from(old))?).ok();
            Some(sock_filter { jt: short(instruction.jt)?, jf: short(instruction.jf)?, ..instruction })
        }
        _ => Some(instruction),
    }
}

/// Whether both do the same to the arguments.
fn same_code(program: &[sock_filter], at: usize, rewritten: &[sock_filter], place: usize) -> bool {
    let mut open = vec![(at, place)];
    let mut seen = BTreeSet::new();
    while let Some(pair) = open.pop() {
        if !seen.insert(pair) {
            continue;
        }
        let (Some(before), Some(after)) = (program.get(pair.0), rewritten.get(pair.1)) else { return false };
        let (Some(nexts), Some(places)) = (successors(pair.0, before), successors(pair.1, after)) else { return false };
        if before.code != after.code || (before.code != JUMP && before.k != after.k) {
            return false;
        }
        open.extend(nexts.into_iter().zip(places));
    }
    true
}
