#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edge_sidecar::invariants::head::check(data));
