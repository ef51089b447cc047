#!/usr/bin/env bash
# Gets what the tests need, installs the wheel, and runs the tests against it. Nothing has to be there but Debian and
# Python 3.11 or newer; as root it also installs Debian packages (tests/debian-packages.txt), without starting services.
#
#   ./tests/run.sh [pytest's arguments]     all tests; `./tests/run.sh tests/unit -k digest` for some
#   ./tests/run.sh --prepare                only gets everything ready
#
# MLENV_TEST_HOME   where environment, Debian trees and programs are kept (.cache/tests); everything there can be deleted
# MLENV_TEST_JOBS   how many tests at a time (one per processor)
# PYTHON            the interpreter to test with (python3)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export MLENV_TEST_HOME=${MLENV_TEST_HOME:-$PWD/.cache/tests}
python=${PYTHON:-python3}
venv=$MLENV_TEST_HOME/venv
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

say() { printf '%s\n' "$*" >&2; }

install_packages() {
    # Debian starts a service as soon as it is installed, unless this program says no.
    local policy=/usr/sbin/policy-rc.d log=$MLENV_TEST_HOME/apt.log ours='' status=0
    if [ ! -e "$policy" ]; then
        ours=$policy
        trap 'rm -f "$ours"; exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
    fi
    say "tests/run.sh: apt-get install $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" \
        < /dev/null > "$log" 2>&1 || status=$?
    [ -z "$ours" ] || rm -f "$ours"
    trap - INT TERM
    [ "$status" = 0 ] || { cat "$log" >&2; exit 1; }
}

missing_packages() {
    local package program
    while read -r package program; do
        case $package in '#'* | '') continue ;; esac
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" > /dev/null || printf '%s\n' "$package"
    done < tests/debian-packages.txt
    "$python" -c 'import ensurepip, venv' 2> /dev/null || printf 'python3-venv\n'
}

knows_its_mirror() {
    local known
    # shellcheck disable=SC2016 # apt's own fields
    known=$(apt-get indextargets --format '<$(ORIGIN) $(LABEL)>' 'Created-By: Packages')
    case $known in *'<Debian Debian>'*) ;; *) return 1 ;; esac
}

prepare_machine() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        [ -z "$missing" ] || say "tests/run.sh: missing, and only root on Debian gets them installed: $missing"
        [ "$(id -u)" = 0 ] || say "tests/run.sh: not root: tests that start an engine or enter a Debian tree will be skipped"
        return 0
    fi
    if [ -n "$missing" ] || ! knows_its_mirror; then
        apt-get update -qq < /dev/null
    fi
    # shellcheck disable=SC2086 # one word per package
    [ -z "$missing" ] || install_packages $missing
}

prepare_environment() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || { say "tests/run.sh: needs Python 3.11 or newer, and $python is older: set PYTHON"; exit 2; }
    if ! "$venv/bin/uv" --version > /dev/null 2>&1; then
        "$python" -m venv --clear "$venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check uv
    fi
    rm -rf "$MLENV_TEST_HOME/dist"
    "$venv/bin/uv" build -q --wheel --python "$venv/bin/python" --out-dir "$MLENV_TEST_HOME/dist"
    MLENV_TEST_WHEEL=$(echo "$MLENV_TEST_HOME"/dist/mlenv-*.whl)
    export MLENV_TEST_WHEEL
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-python-downloads \
        --reinstall-package mlenv --group dev "$MLENV_TEST_WHEEL"
}

mkdir -p "$MLENV_TEST_HOME"
prepare_machine
prepare_environment
if [ "${1:-}" = --prepare ]; then exit 0; fi

# The checkout must not be importable: PYTHONSAFEPATH keeps the working directory off the path of every Python that a
# test starts, and MLENV_TEST_INSTALLED makes a test look where mlenv came from.
export MLENV_TEST_INSTALLED=1 PYTHONSAFEPATH=1 PATH=$venv/bin:$PATH
exec "$venv/bin/pytest" --numprocesses "${MLENV_TEST_JOBS:-auto}" --dist loadgroup "$@"
