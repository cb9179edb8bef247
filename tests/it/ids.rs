//! What the memory of ids takes, against what is promised.

use edge_sidecar::config::budget;
use edge_sidecar::store::memory::Memory;

#[test]
fn the_budget_holds_what_the_store_sets_aside() {
    for entries in [1, 100, 29_000, 57_345, 114_689, 131_064, 250_000, 1_000_000, 1_200_000] {
        let (bytes, most) = (Memory::new(entries).numbers().bytes as u64, budget::messages(entries as u64));
        assert!(bytes <= most, "{bytes} for {entries}, not {most}");
    }
}

#[test]
fn a_million_ids_fit_in_48_mib_with_all_that_is_kept_beside_them() {
    let bytes = Memory::new(1_000_000).numbers().bytes;
    assert!(bytes <= 48 << 20, "{bytes}");
}
