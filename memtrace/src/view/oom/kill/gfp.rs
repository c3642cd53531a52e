//! Allocation flags in the kernel's words.

/// Bits 0 to 22 (include/linux/gfp_types.h, before 6.0 gfp.h), the same from 5.10 to 7.2; bit 9 is
/// `__GFP_ATOMIC` up to 6.2 and unused since.
const BITS: [&str; 23] = [
    "__GFP_DMA",
    "__GFP_HIGHMEM",
    "__GFP_DMA32",
    "__GFP_MOVABLE",
    "__GFP_RECLAIMABLE",
    "__GFP_HIGH",
    "__GFP_IO",
    "__GFP_FS",
    "__GFP_ZERO",
    "0x200",
    "__GFP_DIRECT_RECLAIM",
    "__GFP_KSWAPD_RECLAIM",
    "__GFP_WRITE",
    "__GFP_NOWARN",
    "__GFP_RETRY_MAYFAIL",
    "__GFP_NOFAIL",
    "__GFP_NORETRY",
    "__GFP_MEMALLOC",
    "__GFP_COMP",
    "__GFP_NOMEMALLOC",
    "__GFP_HARDWALL",
    "__GFP_THISNODE",
    "__GFP_ACCOUNT",
];

/// Combinations that have a name, largest first, as the kernel's own `__def_gfpflag_names`
/// (include/trace/events/mmflags.h) has them.
const NAMED: [(u32, &str); 8] = [
    (0x10_0cca, "GFP_HIGHUSER_MOVABLE"),
    (0x10_0cc2, "GFP_HIGHUSER"),
    (0x40_0cc0, "GFP_KERNEL_ACCOUNT"),
    (0x10_0cc0, "GFP_USER"),
    (0x0cc0, "GFP_KERNEL"),
    (0x0c40, "GFP_NOFS"),
    (0x0c00, "GFP_NOIO"),
    (0x0820, "GFP_ATOMIC"),
];

/// `GFP_KERNEL|__GFP_ZERO`; bits without a name as one number.
pub(super) fn names(mask: u32) -> String {
    let mut rest = mask;
    let mut names = Vec::new();
    if let Some((bits, name)) = NAMED.iter().find(|(bits, _)| mask & bits == *bits) {
        names.push((*name).to_owned());
        rest &= !bits;
    }
    for (bit, name) in BITS.iter().enumerate() {
        if rest & 1 << bit != 0 {
            names.push((*name).to_owned());
        }
    }
    let unnamed = rest >> BITS.len() << BITS.len();
    if unnamed != 0 {
        names.push(format!("{unnamed:#x}"));
    }
    match names.is_empty() {
        true => "0".to_owned(),
        false => names.join("|"),
    }
}

/// What was asked for: `order 0, one page of 4 KiB`; `sysrq-f`.
pub(super) fn order(order: i32, page_size_bytes: u64) -> String {
    match u32::try_from(order) {
        Err(_) => "sysrq-f".to_owned(),
        Ok(0) => format!("order 0, one page of {} KiB", page_size_bytes / 1024),
        Ok(order) => {
            let pages = 1_u64.checked_shl(order).unwrap_or(0);
            format!(
                "order {order}, {pages} pages, {} KiB",
                pages.saturating_mul(page_size_bytes) / 1024
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kernel logs of 5.10, 6.12 and 6.18 print them.
    #[test]
    fn as_the_kernel_prints_them() {
        assert_eq!(names(0xcc0), "GFP_KERNEL");
        assert_eq!(names(0xdc0), "GFP_KERNEL|__GFP_ZERO");
        assert_eq!(names(0x10_0cca), "GFP_HIGHUSER_MOVABLE");
        assert_eq!(names(0x14_0cca), "GFP_HIGHUSER_MOVABLE|__GFP_COMP");
        assert_eq!(names(0x40_2cc0), "GFP_KERNEL_ACCOUNT|__GFP_NOWARN");
        assert_eq!(names(0x8000_0001), "__GFP_DMA|0x80000000");
        assert_eq!(names(0), "0");
    }

    #[test]
    fn orders() {
        assert_eq!(order(-1, 4096), "sysrq-f");
        assert_eq!(order(0, 4096), "order 0, one page of 4 KiB");
        assert_eq!(order(3, 4096), "order 3, 8 pages, 32 KiB");
    }
}
