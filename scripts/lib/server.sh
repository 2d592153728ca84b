# A server of a script's own: built, started in a folder of its own and stopped when the script ends. Sourced after
# setup.sh by scripts/api-check and scripts/client-check.
# shellcheck shell=bash disable=SC2034

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# need_python_tool PACKAGE VERSION COMMAND REASON [FLAG]: sets `tool` to the folder of PACKAGE's commands, in a virtual
# environment under ~/.cache/certctl-tools, outside the checkout. It is there when COMMAND FLAG (--version) succeeds.
need_python_tool() {
  apt_need python3 python3 "$1 is a Python program"
  python3 -c 'import ensurepip, venv' 2> /dev/null || apt_need /nonexistent-python3-venv python3-venv "$1 gets an environment of its own"
  local place=${XDG_CACHE_HOME:-$HOME/.cache}/certctl-tools/$1-$2
  tool=$place/bin
  "$tool/$3" "${5---version}" > /dev/null 2>&1 && return
  say "setup: installing $1 $2 ($4)"
  rm -rf "$place"
  mkdir -p "$(dirname "$place")"
  python3 -m venv "$place"
  "$tool/pip" install --quiet --disable-pip-version-check "$1==$2" || die "pip install $1 failed"
}

# What the server and the helpers here need.
need_server() {
  need_build_tools
  without_services need_postgres
  apt_need openssl openssl "makes the secrets of this run"
  apt_need jq jq "reads JSON answers"
  apt_need python3 python3 "finds a free port"
  need_rust
}

server_pid=""
stop_server() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$server_pid" ]; then kill "$server_pid" 2> /dev/null || true; wait "$server_pid" 2> /dev/null || true; fi
  if [ "$status" -eq 0 ]; then
    rm -rf "$home"
  else
    say "--- last errors of the server"; grep -i '"level":"error"' "$home/server.log" 2> /dev/null | tail -n 10 >&2 || true
    # Secrets and data go; the log stays, for it explains a 5xx.
    find "$home" -mindepth 1 -maxdepth 1 ! -name server.log -exec rm -rf {} +
    say "kept for inspection: $home/server.log"
  fi
  exit "$status"
}

# start_server NAME [SETTING=VALUE…]: sets `home` (its folder), `url`, `ca` (the certificate to trust) and `key` (an API key
# of its administrator NAME).
start_server() {
  local name=$1 bin port deadline
  shift
  say "setup: building (the first time takes a few minutes)"
  cargo build --locked --quiet -p certctl-server
  bin=${CARGO_TARGET_DIR:-target}/debug
  case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
  home=$(mktemp -d "${TMPDIR:-/tmp}/certctl-$name.XXXXXX")
  # The private PostgreSQL runs as an unprivileged user when we are root, so the way to its folder must be open.
  chmod 711 "$home"
  trap stop_server EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  umask 077
  port=$(free_port)
  export CERTCTL_CONFIG_ENCRYPTION_KEY CERTCTL_BOOTSTRAP_TOKEN CERTCTL_AGENT_BOOTSTRAP_TOKEN
  CERTCTL_CONFIG_ENCRYPTION_KEY=$(openssl rand -hex 32)
  CERTCTL_BOOTSTRAP_TOKEN=$(openssl rand -hex 32)
  CERTCTL_AGENT_BOOTSTRAP_TOKEN=$(openssl rand -hex 32)
  env CERTCTL_DATA_DIR="$home/data" CERTCTL_SERVER_PORT="$port" CERTCTL_LOG_FORMAT=json CERTCTL_SHUTDOWN_DRAIN_DELAY=0s "$@" \
    "$bin/certctl-server" serve > "$home/server.log" 2>&1 &
  server_pid=$!
  url=https://localhost:$port
  ca=$home/data/tls/ca.crt
  deadline=$((SECONDS + 120))
  until curl -fsS --cacert "$ca" "$url/ready" > /dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "timed out waiting for the server"
    kill -0 "$server_pid" 2> /dev/null || die "the server ended: $(tail -n 3 "$home/server.log")"
    sleep 0.2
  done
  key=$(jq -n --arg name "$name" '{token: env.CERTCTL_BOOTSTRAP_TOKEN, actor_name: $name}' |
    curl -fsS --cacert "$ca" -H 'Content-Type: application/json' --data-binary @- "$url/api/v1/auth/bootstrap" | jq -r .key_value)
  [ -n "$key" ] && [ "$key" != null ] || die "the bootstrap gave no key"
}
