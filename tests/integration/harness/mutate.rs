//! Good configurations made bad: at random, but for one seed always in the same way.
//!
//! The unit tests of `plan.rs` use this file too.

use serde_json::{Value, json};

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Before a name that is there twice: an object of serde's can have it once, so it goes away in the text.
const AGAIN: &str = "\u{1}again";

/// The text of the configuration with one to three mistakes.
pub(crate) fn mutated(config: &Value, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut config = config.clone();
    for _ in 0..=random.below(3) {
        let chosen = random.below(count(&config));
        spoil(nth(&mut config, &mut { chosen }).unwrap(), &mut random);
    }
    let mut text = config.to_string().replace("\\u0001again", "").into_bytes();
    let place = random.below(text.len());
    match random.below(20) {
        0 => text.truncate(place),
        1 => text[place] ^= 1 << random.below(8),
        2 => drop(text.remove(place)),
        3 => text.insert(place, b"{}[]\",:\\\0\xff-e0"[random.below(13)]),
        _ => {}
    }
    text
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The value that comes at that place when all are listed.
fn nth<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|inner| nth(inner, left)),
        Value::Object(members) => members.values_mut().find_map(|inner| nth(inner, left)),
        _ => None,
    }
}

fn spoil(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() && random.below(4) > 0 => {
            let name = members.keys().nth(random.below(members.len())).unwrap().clone();
            match random.below(3) {
                0 => drop(members.remove(&name)),
                1 => {
                    let again = if random.below(2) == 0 { members[&name].clone() } else { extreme(random) };
                    members.insert(format!("{AGAIN}{name}"), again);
                }
                _ => {
                    let inner = members.remove(&name).unwrap();
                    members.insert(misspelt(&name, random), inner);
                }
            }
        }
        Value::Array(list) if !list.is_empty() && random.below(4) > 0 => {
            let (one, other) = (random.below(list.len()), random.below(list.len()));
            match random.below(3) {
                0 => drop(list.remove(one)),
                1 => list.insert(other, list[one].clone()),
                _ => list.swap(one, other),
            }
        }
        Value::String(text) if random.below(2) == 0 => *text = misspelt(text, random),
        Value::Number(number) if random.below(2) == 0 => {
            let near = number.as_i64().unwrap_or(0);
            *value = [json!(near.wrapping_neg()), json!(near.wrapping_add(1)), json!(near.wrapping_mul(1 << 20))]
                [random.below(3)]
            .clone();
        }
        _ => *value = extreme(random),
    }
}

fn misspelt(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let place = random.below(letters.len());
    match random.below(5) {
        0 if !letters.is_empty() => drop(letters.remove(place)),
        1 => letters.insert(place, ['\0', '/', '.', '\n', 'ä', '%', ' ', '=', ',', '-'][random.below(10)]),
        2 if place > 0 => letters.swap(place - 1, place),
        3 => return text.to_uppercase(),
        _ => return format!("{text}{text}"),
    }
    letters.into_iter().collect()
}

/// A value of any type, or at the edge of one.
fn extreme(random: &mut Random) -> Value {
    let deep = |levels| (0..levels).fold(json!(0), |inner, _| json!([inner]));
    match random.below(24) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(u64::MAX),
        5 => json!(i64::MIN),
        6 => json!(u32::MAX),
        7 => json!(1_u64 << 32),
        8 => json!(1e300),
        9 => json!(0.5),
        10 => json!(""),
        11 => json!("\0"),
        12 => json!("/"),
        13 => json!("../../../../etc"),
        14 => json!("x".repeat(70_000)),
        15 => json!("/x".repeat(5_000)),
        16 => json!("\n"),
        17 => json!("0-18446744073709551615,-1,,3-1"),
        18 => json!([]),
        19 => json!({}),
        20 => json!(vec![json!({}); 1_000]),
        21 => json!({"": {"": []}}),
        22 => deep(40),
        _ => deep(200),
    }
}
