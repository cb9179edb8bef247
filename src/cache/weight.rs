//! What a block takes in memory: the allocator has blocks of certain sizes, four from each power of two to the next (jemalloc, which is
//! what the program is built with; others are no coarser).

/// Bytes of the block that holds `len` bytes; 0 for none.
#[must_use]
pub const fn allocated(len: usize) -> usize {
    if len <= 128 {
        return len.next_multiple_of(16);
    }
    let power = usize::BITS - (len - 1).leading_zeros();
    match len.checked_next_multiple_of(1 << (power - 3)) {
        Some(size) => size,
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn four_sizes_from_each_power_of_two_to_the_next() {
        for (len, size) in [
            (0, 0),
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1000, 1024),
            (1025, 1280),
            (70_000, 81_920),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, 5 << 18),
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(allocated(len), size, "{len}");
        }
    }
}
