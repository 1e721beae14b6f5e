//! Lists of small numbers, in the kernel's way of writing them: `0-3,7`.
//!
//! Runs in: parent · linux.memoryPolicy.nodes, process.execCPUAffinity

use crate::error::{Property, Result};

/// Bit n is number n, of those below `limit`; nothing for an empty list. `kind` is what is counted.
pub(crate) fn bits(list: &str, kind: &str, limit: usize, property: Property) -> Result<Vec<u64>> {
    let malformed = || property.invalid(format!("{list:?} is not a list of {kind}s such as 0-3,7"));
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(number) if number < limit => Ok(number),
        Ok(number) => Err(property.invalid(format!("there is no {kind} {number}"))),
        Err(_) => Err(malformed()),
    };
    let mut bits = Vec::new();
    for part in list.split(',').filter(|_| !list.trim().is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(malformed());
        }
        bits.resize(bits.len().max(last / 64 + 1), 0);
        (first..=last).for_each(|number| bits[number / 64] |= 1 << (number % 64));
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges() {
        let of = |list: &str| bits(list, "node", 200, Property::of("x"));
        for (list, expected) in [("", &[][..]), (" ", &[]), ("0", &[1]), ("0-2, 5,64", &[0b10_0111, 1]), ("1,0", &[3])]
        {
            assert_eq!(of(list).unwrap(), expected, "{list}");
        }
        assert_eq!(of("200").unwrap_err().to_string(), "x: there is no node 200");
        for bad in ["a", "0,", ",0", "3-1", "-1", "1-", "0--1", "0 1"] {
            assert_eq!(of(bad).unwrap_err().to_string(), format!("x: {bad:?} is not a list of nodes such as 0-3,7"));
        }
    }
}
