#!/usr/bin/env bash
# Every check of everpaid, on SQLite, and on a private Postgres with a private Redis that this script
# starts and stops.
#
# What it needs beside a Rust toolchain, it installs with apt on Debian: postgresql (the server
# programs only; no service is used), nodejs, npm, chromium and fonts-noto-cjk (the pages are tested in
# a real browser), curl and jq (the README's calls are run as they stand there), redis-server (many
# processes share the work over it; its service is not used), python3 and python3-venv (published
# clients in Python and Node do a shop's day against the simulator, and WeChat's simulation of
# components runs the mini-program's; their exact versions come from PyPI and npm, into target/ and
# node_modules/), spin (the model of an order's life is verified), prometheus (the rules and dashboards
# are asked of a real one; its service is not used), libfaketime (processes whose clock is off).
# Without root and with something missing, it prints the one line to run and fails.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# --- what is missing ---------------------------------------------------------------------------
postgres_bin() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }

missing=()
command -v cc >/dev/null || missing+=(build-essential)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v curl >/dev/null || missing+=(curl)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
command -v jq >/dev/null || missing+=(jq)
command -v spin >/dev/null || missing+=(spin)
command -v promtool >/dev/null || missing+=(prometheus)
[ -x /usr/bin/chromium ] || missing+=(chromium fonts-noto-cjk)
[ -x "$(postgres_bin)/initdb" ] || missing+=(postgresql)
compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
command -v redis-server >/dev/null || missing+=(redis-server)
if [ ${#missing[@]} -gt 0 ]; then
  install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    echo "missing: ${missing[*]}. Run this once, then ./test.sh again:" >&2
    echo "  sudo sh -c '$install'" >&2
    exit 1
  fi
  say "installing ${missing[*]}"
  # The packages would start servers of their own; none is wanted.
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d.everpaid && chmod +x /usr/sbin/policy-rc.d.everpaid
  [ -e /usr/sbin/policy-rc.d ] || ln -s policy-rc.d.everpaid /usr/sbin/policy-rc.d
  DEBIAN_FRONTEND=noninteractive sh -c "$install" >/dev/null
  [ "$(readlink /usr/sbin/policy-rc.d)" = policy-rc.d.everpaid ] && rm /usr/sbin/policy-rc.d
  rm -f /usr/sbin/policy-rc.d.everpaid
fi

# --- a private Postgres ------------------------------------------------------------------------
dir=$(mktemp -d)
bin=$(postgres_bin)
# initdb refuses to run as root.
as() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; else "$@"; fi; }
cleanup() {
  [ -z "${redis:-}" ] || kill "$redis" 2>/dev/null || true
  as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
[ "$(id -u)" -ne 0 ] || chown postgres "$dir"
say "starting a private Postgres"
as "$bin/initdb" -D "$dir/data" -U everpaid --auth=trust --no-sync -E UTF8 --locale=C >/dev/null
# The kernel picks one, a server takes it.
free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
port=$(free_port)
as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" start \
  -o "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$dir -c max_connections=500 -c fsync=off" >/dev/null
export EVERPAID_TEST_POSTGRES="postgres://everpaid@127.0.0.1:$port"

say "starting a private Redis"
port=$(free_port)
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" >"$dir/redis.log" &
redis=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do kill -0 "$redis"; done
export EVERPAID_TEST_REDIS="redis://127.0.0.1:$port"

# --- the checks, the fastest first -------------------------------------------------------------
say "format";        cargo fmt --all --check
say "mutations";     for mutation in tests/mutations/*.patch; do git apply -p0 --check "$mutation"; done
say "page";          node --test checkout/tests/*.test.js cli/shop/tests/*.test.js
(cd tests/browser && npm ci --silent --no-audit --no-fund)
tests/browser/node_modules/.bin/tsc --project checkout
say "model";         tests/model/check
say "clippy";        cargo clippy --workspace --all-targets --locked -- -D warnings
say "docs";          RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
# One mounts a disk to fill it: in a namespace of its own, where that takes nobody's leave.
own_mounts=(unshare --mount)
[ "$(id -u)" -eq 0 ] || own_mounts+=(--user --map-current-user --keep-caps)
# Most tests wait more than they compute.
say "tests";         RUST_TEST_THREADS=$((3 * $(nproc))) "${own_mounts[@]}" cargo test --workspace --locked
say "lives";         cargo run -p chaos --locked --quiet -- lives --count 5000 --seed 20261122
for database in sqlite postgres; do
  say "fire, $database"; cargo run -p chaos --locked --quiet -- fire --database $database --seed 20261122
done
say "browser";       cargo build --locked --quiet
node --test tests/browser/*.test.js
say "mini-program"
(cd tests/mini-program && npm ci --silent --no-audit --no-fund && node_modules/.bin/tsc -p .)
timeout 300 node --test tests/mini-program/*.test.js
say "ops"
(cd tests/ops && npm ci --silent --no-audit --no-fund)
timeout 600 node --test tests/ops/*.test.js
say "clients";       tests/clients/install
node --test tests/clients/*.test.js

say "all checks passed"
