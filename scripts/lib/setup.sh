# Setting up what is missing on a Debian machine. Sourced by the scripts beside this folder.
# shellcheck shell=bash

# Debian leaves the folders of nginx and other servers out of an ordinary user's path.
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command as root: directly when we are root, else through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; return; fi
  command -v sudo >/dev/null 2>&1 || die "installing packages needs root; run as root, or install sudo"
  sudo "$@"
}

# Forgets settings of another installation, such as its CERTCTL_DATABASE_URL: the servers that scripts start are their own.
forget_settings() {
  local name
  for name in "${!CERTCTL_@}"; do unset "$name"; done
}

apt_refreshed=""
# apt_need COMMAND-OR-FILE PACKAGE REASON: installs PACKAGE when COMMAND-OR-FILE is missing.
apt_need() {
  case $1 in
    /*) [ -e "$1" ] && return ;;
    *) command -v "$1" >/dev/null 2>&1 && return ;;
  esac
  command -v apt-get >/dev/null 2>&1 || die "$1 is missing and this is not a Debian machine: install $2 ($3)"
  if [ -z "$apt_refreshed" ]; then
    say "setup: refreshing the package lists"
    as_root apt-get update -qq >/dev/null || die "apt-get update failed"
    apt_refreshed=yes
  fi
  say "setup: installing $2 ($3)"
  apt_install "$2" || die "apt-get install $2 failed"
}

# Runs a setup step; packages that it installs don't start the services they bring, for we run private ones. Needs no
# root when nothing is missing.
without_services() {
  local no_services=yes
  "$@"
}

# Installs packages; see without_services.
apt_install() {
  local policy=/usr/sbin/policy-rc.d made="" status=0
  if [ -n "${no_services-}" ] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || status=$?
  [ -z "$made" ] || as_root rm -f "$policy"
  return $status
}

postgres_bindir() {
  local dir
  for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && echo "$dir"; done | sort -V | tail -n 1
}

need_postgres() {
  [ -n "$(postgres_bindir)" ] && return
  command -v initdb >/dev/null 2>&1 && return
  apt_need /nonexistent-postgresql postgresql "the server keeps everything in PostgreSQL"
}

need_rust() {
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  local wanted=1.92
  if command -v cargo >/dev/null 2>&1; then
    local have
    have=$(rustc --version | cut -d' ' -f2)
    [ "$(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n 1)" = "$wanted" ] && return
    say "setup: rustc $have is older than $wanted"
  fi
  say "setup: installing the Rust toolchain with rustup (the workspace is Rust)"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt >/dev/null \
    || die "rustup failed; install Rust $wanted or newer by hand"
  . "$HOME/.cargo/env"
}

need_just() {
  command -v just >/dev/null 2>&1 && return
  say "setup: installing just (the task runner)"
  cargo install --quiet --locked just || die "cargo install just failed"
}

# What building needs: a C compiler is the one thing taken for granted.
need_build_tools() {
  command -v cc >/dev/null 2>&1 || apt_need cc gcc "ring compiles C"
  apt_need /usr/include/stdio.h libc6-dev "C headers for ring"
  apt_need /usr/include/openssl/ssl.h libssl-dev "josekit verifies tokens with the system's OpenSSL"
  apt_need pkg-config pkg-config "finds the system's OpenSSL"
  apt_need git git "the version of the binaries names the commit"
  apt_need curl curl "downloads and checks"
}
