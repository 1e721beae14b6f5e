//! `linux.resources.hugepageLimits`: huge pages, by size.
//!
//! Runs in: parent · config-linux.md#huge-page-limits (LNX-89, LNX-90), kernel documentation hugetlb
//!
//! Both ways of accounting get the limit. Where the kernel can (Linux 5.7), the one of reservations
//! is what a program meets first: its mmap fails, instead of a later access ending it with SIGBUS.

use super::{Version, Write};
use crate::error::{Property, Result};
use crate::spec::config::HugepageLimit;

pub(super) fn compile(limits: &[HugepageLimit], version: Version, writes: &mut Vec<Write>) -> Result<()> {
    let file = match version {
        Version::V1 => "limit_in_bytes",
        Version::V2 => "max",
    };
    for (index, HugepageLimit { page_size, limit }) in limits.iter().enumerate() {
        let at = Property::at("linux.resources.hugepageLimits", index);
        // It becomes a part of a file's name: GHSA-5g49-rx9x-qfc6.
        if !is_size(page_size) {
            return Err(at.field("pageSize").invalid(format!("{page_size:?} is not a size like 64KB, 2MB or 1GB")));
        }
        writes.push(Write::new(format!("hugetlb.{page_size}.{file}"), limit, at));
        writes.push(Write::new(format!("hugetlb.{page_size}.rsvd.{file}"), limit, at).optional());
    }
    Ok(())
}

/// LNX-89
fn is_size(text: &str) -> bool {
    let number = text.strip_suffix('B').and_then(|rest| rest.strip_suffix(['K', 'M', 'G']));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, v1, v2, writes};

    /// LNX-90
    #[test]
    fn both_ways_of_accounting() {
        let json = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}, {"pageSize": "64KB", "limit": 0}]}"#;
        assert_eq!(
            writes(&v1(), json),
            [
                "hugetlb.2MB.limit_in_bytes=4194304",
                "hugetlb.2MB.rsvd.limit_in_bytes=4194304?",
                "hugetlb.64KB.limit_in_bytes=0",
                "hugetlb.64KB.rsvd.limit_in_bytes=0?"
            ]
        );
        assert_eq!(writes(&v2(), json)[..2], ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304?"]);
    }

    /// LNX-89, GHSA-5g49-rx9x-qfc6
    #[test]
    fn sizes() {
        for bad in ["", "2", "MB", "2mb", "2MiB", "+2MB", "2 MB", "../../x", "2MB/../x", "2TB", "2B"] {
            let json = format!(r#"{{"hugepageLimits": [{{"pageSize": "{bad}", "limit": 0}}]}}"#);
            let error = error(&v2(), &json);
            assert!(error.starts_with("linux.resources.hugepageLimits[0].pageSize: "), "{bad}: {error}");
        }
    }
}
