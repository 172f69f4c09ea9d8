# Shared by the scripts beside it: sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # used by the scripts
cache=${QUESTLINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/questline}
rust_version=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")

say() { printf '== %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the comment at the head of a script: its help.
help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

# Runs a named step and says how long it took. Never inside `if` or `||`, where `set -e` would not act.
step() {
    local name=$1 start=$SECONDS
    shift
    say "$name"
    "$@"
    say "$name: ok, $((SECONDS - start)) s"
}

# --- Tools. `need` collects what is missing, so that all of it is named at once.
missing=()
need() { # command, what installs it
    command -v "$1" >/dev/null || missing+=("$1 is missing. Install it with: $2")
}
tools_found() {
    ((${#missing[@]} == 0)) && return
    printf 'error: %s\n' "${missing[@]}" >&2
    exit 1
}

at_least() { # wanted, found
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

rust_tools() {
    local found
    need cc "sudo apt-get install build-essential"
    need c++ "sudo apt-get install build-essential"
    need make "sudo apt-get install build-essential"
    need perl "sudo apt-get install perl"
    if ! command -v cargo >/dev/null; then
        missing+=("cargo is missing. Install Rust $rust_version with: sudo apt-get install rustup && rustup toolchain install $rust_version (where Debian has no rustup: the installer at https://rustup.rs)")
        return
    fi
    found=$(cd "$root" && cargo --version 2>&1) || found="none: $found"
    found=${found#cargo }
    found=${found%% *}
    at_least "$rust_version" "$found" ||
        missing+=("cargo is version $found, $rust_version is needed. Install it with: rustup toolchain install $rust_version --component rustfmt,clippy")
}

lint_tools() {
    local part
    for part in fmt clippy; do
        (cd "$root" && cargo "$part" --version) >/dev/null 2>&1 ||
            missing+=("cargo $part is missing. Install it with: rustup component add rustfmt clippy")
    done
}

java_tools() {
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java found
    need mvn "sudo apt-get install maven"
    if ! command -v "$java" >/dev/null; then
        missing+=("java is missing. Install it with: sudo apt-get install openjdk-17-jdk-headless")
        return
    fi
    found=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9.]*\).*/\1/p' | head -n 1)
    at_least 17 "${found:-0}" || missing+=("java is version ${found:-unknown}, 17 is needed. Install it with: sudo apt-get install openjdk-17-jdk-headless")
}

python_tools() {
    need python3 "sudo apt-get install python3 python3-venv"
    if command -v python3 >/dev/null; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
            missing+=("python3 is older than 3.10. Install a later one with: sudo apt-get install python3 python3-venv")
        python3 -c 'import venv, ensurepip' 2>/dev/null ||
            missing+=("python3 has no venv. Install it with: sudo apt-get install python3-venv")
    fi
}

# Where cargo puts what it builds, whatever decides it.
target_directory() {
    cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
