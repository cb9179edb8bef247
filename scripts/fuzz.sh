#!/usr/bin/env bash
# Fuzzing, on stable Rust: fuzz.sh [TARGET...] runs each target (all, if none is named) for FUZZ_SECONDS and stops at the first input
# that breaks an invariant. fuzz.sh keep [TARGET...] instead folds what runs have found into fuzz/corpus, which `make test` replays.
#
# FUZZ_SANITIZER=address watches memory too, at a fraction of the speed: no code of the project is unsafe, so that is about its libraries.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
sanitizer=${FUZZ_SANITIZER:-none}
export PATH="$PWD/.tools/bin:$PATH:$HOME/.cargo/bin"
# A sanitizer is a flag of nightly compilers, which this one takes as well if told so.
[ "$sanitizer" = none ] || export RUSTC_BOOTSTRAP=1
# The words that matter are in the dictionaries: without traced comparisons the fuzzer is twice as fast.
where=(--fuzz-dir fuzz --target-dir "target/fuzz/$sanitizer" --sanitizer "$sanitizer" --no-trace-compares)

# Of each corpus: bytes of an input, and number of inputs.
longest=1024 most=45

keep=no
[ "${1:-}" != keep ] || { keep=yes; shift; }
if [ $# = 0 ]; then mapfile -t targets < <(cd fuzz/fuzz_targets && ls ./*.rs | sed 's,^./,,; s,\.rs$,,'); else targets=("$@"); fi

# Inputs that are in the tree for other reasons.
fixtures() {
  case $1 in
    events) echo tests/fixtures/whatsapp ;;
    rules) printf '%s\n' config tests/golden/diagnostics ;;
  esac
}

run() {
  local target=$1 found=.run/fuzz/$1 log=.run/fuzz/$1.log more code=0 rate
  mapfile -t more < <(fixtures "$target")
  mkdir -p "$found"
  cargo fuzz run "${where[@]}" "$target" "$found" "fuzz/corpus/$target" "${more[@]}" -- -dict="fuzz/dictionaries/$target.txt" \
    -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 >"$log" 2>&1 || code=$?
  if [ $code != 0 ]; then
    grep -vE '^#[0-9]|^(INFO|NEW_FUNC)' "$log" | tail -n 40
    printf '\nFAILED %-8s   the input is named above; a file in fuzz/corpus/%s keeps it from coming back\n' "$target" "$target"
    exit 1
  fi
  rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  printf 'ok     %-8s %5s s %8s inputs/s   %s kept in %s\n' "$target" "$seconds" "$rate" "$(find "$found" -type f | wc -l)" "$found"
}

# Those with a name, and few others that reach most of what all reach.
keep() {
  local target=$1 corpus=fuzz/corpus/$1 found=.run/fuzz/$1 kept=.run/fuzz/$1.kept control=$PWD/.run/fuzz/$1.control
  rm -rf "$kept" "$control" && mkdir -p "$kept/all" "$kept/few" "$found" "$corpus"
  cargo fuzz run "${where[@]}" "$target" "$kept/all" "$corpus" "$found" -- -merge=1 -set_cover_merge=1 -use_counters=0 \
    -max_len=$longest -merge_control_file="$control" >"$found.log" 2>&1 || { tail -n 20 "$found.log"; exit 1; }
  printf 'kept   %-8s' "$target"
  python3 scripts/cover.py "$control" "$kept/few" $most
  rm -rf "$corpus" && mv "$kept/few" "$corpus"
}

mkdir -p .run/fuzz
cargo fuzz build "${where[@]}" >.run/fuzz/build.log 2>&1 || { tail -n 40 .run/fuzz/build.log; exit 1; }
for target in "${targets[@]}"; do
  if [ $keep = yes ]; then keep "$target"; else run "$target"; fi
done
