# `make` lists the targets. Ports of `run` and `demo`: make run PORT=8080 ADMIN_PORT=9901 FUNCTIONS_PORT=9000
SHELL := bash
PORT ?= 8080
ADMIN_PORT ?= 9901
FUNCTIONS_PORT ?= 9000
FUZZ_SECONDS ?= 60
export PORT ADMIN_PORT FUNCTIONS_PORT FUZZ_SECONDS
export PATH := $(PATH):$(HOME)/.cargo/bin

DENO := .tools/deno
FUNCTIONS := tests/functions

.DEFAULT_GOAL := help
.PHONY: help setup run demo test bench fuzz fmt lint doc clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\): ## /\1\t/p' Makefile | expand -t 10

setup: ## install what run, test and bench need (apt, npm, pip), only what is missing
	@scripts/setup.sh all

run: ## real functions with the sidecar in front of them: shows what it does, then serves until Ctrl-C
	@scripts/setup.sh run && exec python3 -B scripts/demo.py

demo: ## the same unattended: exit code 0 if every request was answered as it must be
	@scripts/setup.sh run && exec python3 -B scripts/demo.py --once

test: ## format, licences, lints, all tests, documentation
	@scripts/setup.sh test && exec scripts/test.sh

bench: ## hot paths (criterion), then side by side: direct, sidecar, nginx
	@scripts/setup.sh bench && cargo bench --locked --bench hot_path --bench signals && exec python3 -B benches/load/bench.py

fuzz: ## each fuzz target for FUZZ_SECONDS=60
	@scripts/setup.sh fuzz && exec scripts/fuzz.sh

fmt: ## format the code
	@cargo fmt && $(DENO) fmt --quiet $(FUNCTIONS)

lint: ## clippy, and deno lint on the functions
	@cargo clippy --all-targets --locked -- -D warnings && $(DENO) lint --quiet $(FUNCTIONS)

doc: ## the documentation of the crate, in target/doc
	@RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

clean: ## remove all that was built, installed into the project or written by a run
	@cargo clean && rm -rf .run .tools coverage fuzz/artifacts
