//! The `edge-sidecar` command: allocator, arguments, dispatch, exit codes. Everything else is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    edge_sidecar::cli::main()
}
