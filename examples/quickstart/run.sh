#!/usr/bin/env bash
# Locks a small service, builds its image twice from nothing, shows that the digest is the same and the locked one, signs
# the lock and verifies the image by it, and runs it where an engine answers. Needs a Debian machine with Python 3.11 or later; as root it installs what is missing.
#   --no-engine   do not look for an engine, and install none
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
work=${MLENV_QUICKSTART_DIR:-$here/out}
engine=yes
for argument in "$@"; do
  case $argument in
    --no-engine) engine=no ;;
    *) echo "usage: $0 [--no-engine]" >&2; exit 2 ;;
  esac
done

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n== %s\n' "$*"; }

started=()
stop_what_we_started() {
  if [ -n "${container:-}" ]; then docker rm --force "$container" >/dev/null 2>&1 || true; fi
  for pid in "${started[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if [ -n "${scratch:-}" ]; then
    # A killed engine may leave its mounts for a moment.
    while read -r _ place _; do case $place in "$scratch"/*) umount -l "$place" 2>/dev/null || true ;; esac; done </proc/mounts
    rm -rf "$scratch"
  fi
}
trap stop_what_we_started EXIT

install_packages() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  # An engine of our own is started below; the package must not start one for the whole machine.
  local policy=/usr/sbin/policy-rc.d made=no
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=yes; fi
  { apt-get install -qq -y --no-install-recommends "$@" || { apt-get update -qq && apt-get install -qq -y --no-install-recommends "$@"; }; } \
    >"$work/apt.log" 2>&1 || { tail -n 5 "$work/apt.log" >&2; [ $made = no ] || rm -f $policy; return 1; }
  [ $made = no ] || rm -f $policy
}

mkdir -p "$work"
cd "$here"
python=$(command -v python3) || { echo "python3 is not on the PATH" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed" >&2; exit 1; }

say "Install mlenv into a virtual environment"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  install_packages python3-venv || { echo "python3-venv is missing: install it, then run this again" >&2; exit 1; }
fi
[ -x "$work/venv/bin/python" ] || "$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq --disable-pip-version-check "$project"
mlenv="$work/venv/bin/mlenv"
"$mlenv" --version

cp -r "$here/mlenv.toml" "$here/app" "$work/" # the lock lies in out/, and the checkout stays as it is
cd "$work"

say "Lock: resolve, fetch and hash everything once"
export MLENV_CACHE_DIR="$work/cache"
time "$mlenv" lock
locked=$("$mlenv" lock --check --json | "$work/venv/bin/python" -c 'import json, sys; print(json.load(sys.stdin)["image"])')

say "Build from the cache"
rm -rf "$work/image" "$work/again"
time "$mlenv" build --output "oci:$work/image"

say "Build again from an empty cache"
time MLENV_CACHE_DIR="$work/empty-cache-$$" "$mlenv" build --output "oci:$work/again"
rm -rf "$work/empty-cache-$$"

digest_of() {
  "$work/venv/bin/python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["manifests"][0]["digest"])' "$1/index.json"
}
echo "locked  $locked"
echo "built   $(digest_of "$work/image")"
echo "again   $(digest_of "$work/again")"
[ "$locked" = "$(digest_of "$work/image")" ] && [ "$locked" = "$(digest_of "$work/again")" ]

say "What is in it"
"$mlenv" inspect "oci:$work/image"

say "Sign the lock, and verify the image by it"
rm -f release.key release.key.pub
MLENV_KEY_PASSWORD=$("$work/venv/bin/python" -c 'import secrets; print(secrets.token_hex(16))')
export MLENV_KEY_PASSWORD # a person is asked for it instead
verify() { XDG_STATE_HOME="$work/state" "$mlenv" verify "$@" --key release.key.pub; }
"$mlenv" keys generate --output release.key --quiet >/dev/null
"$mlenv" sign --key release.key
verify "oci:$work/image"

find_engine() {
  command -v docker >/dev/null && docker version >/dev/null 2>&1 && return 0
  [ "$(id -u)" = 0 ] || return 1
  command -v dockerd >/dev/null || install_packages docker.io || return 1
  scratch=$(mktemp -d)
  export DOCKER_HOST="unix://$scratch/docker.sock"
  dockerd --host "$DOCKER_HOST" --data-root "$scratch/data" --exec-root "$scratch/exec" --pidfile "$scratch/pid" \
    --bridge=none --iptables=false --ip6tables=false >"$work/dockerd.log" 2>&1 &
  started+=($!)
  for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && return 0
    sleep 0.5
  done
  tail -n 5 "$work/dockerd.log" >&2
  return 1
}

if [ $engine = yes ] && find_engine; then
  say "Load it into an engine and run it: no network, read-only, not root"
  "$mlenv" build --output docker-daemon:mlenv-quickstart:0.1.0
  verify docker-daemon:mlenv-quickstart:0.1.0 --quiet && echo "what the engine has is what was signed"
  container=$(docker run --detach --network none --read-only --tmpfs /tmp mlenv-quickstart:0.1.0)
  listening=no
  for _ in $(seq 120); do
    if docker logs "$container" 2>&1 | grep -q listening; then listening=yes; break; fi
    sleep 0.5
  done
  [ $listening = yes ] || { docker logs "$container" >&2; echo "the service did not start" >&2; exit 1; }
  for flower in "5.1 3.5 1.4 0.2" "6.7 3.0 5.2 2.3"; do
    # shellcheck disable=SC2086 # four numbers, four arguments
    species=$(docker exec "$container" python predict.py $flower) || { echo "no prediction: $species" >&2; exit 1; }
    echo "iris $flower: $species"
  done
elif [ $engine = yes ]; then
  echo "No engine answers, and none can be installed here; the image is complete all the same."
fi

say "Where everything lies"
cat <<END
manifest  $work/mlenv.toml
lock      $work/mlenv.lock, signed in $work/mlenv.lock.sigstore.json
image     $work/image (an OCI image layout)

Next, with  export PATH="$work/venv/bin:\$PATH" MLENV_CACHE_DIR="$MLENV_CACHE_DIR"; cd "$work":
  change a line of app/serve.py, then   mlenv lock && mlenv build -o oci:image
  look at the lock                      mlenv inspect
  who approved it, and is it that?      mlenv verify oci:image --key release.key.pub
  load it where an engine runs          mlenv build -o docker-daemon:quickstart:0.1.0
  copy it to a registry                 skopeo copy oci:image docker://REGISTRY/quickstart:0.1.0
END
