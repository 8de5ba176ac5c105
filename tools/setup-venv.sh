#!/bin/sh
# Makes the virtual environment in $1 (default .venv) and installs this repository into it, editable, with the tools
# of a contributor. Called by the Makefile from the repository root. PYTHON, where set, names the interpreter.
set -eu

venv=${1:-.venv}
candidates=${PYTHON:-python3.13 python3.12 python3.11 python3}

fail() {
    echo "setup: $*" >&2
    exit 1
}

# A name on the path may be a launcher for a version that is not installed, so each is asked, not only looked up.
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

has_pip() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# The first that can make an environment at once; else the first that is new enough.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in $candidates; do
        if new_enough "$candidate" && has_pip "$candidate"; then echo "$candidate"; return; fi
    done
    for candidate in $candidates; do
        if new_enough "$candidate"; then echo "$candidate"; return; fi
    done
    fail "no Python of version 3.11 or newer found (looked for: $candidates). Install one, or run: make install PYTHON=/path/to/python3"
}

# Debian and Ubuntu keep ensurepip in a package of its own.
install_ensurepip() {
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get >/dev/null 2>&1 ||
        fail "$1 has no ensurepip module. Install it with your system's packages, or choose another Python: make install PYTHON=..."
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif sudo -n true >/dev/null 2>&1; then
        sudo="sudo -n"
    else
        fail "python3-venv is missing. Run: sudo apt-get install -y $package   and then again: make install"
    fi
    echo "setup: installing $package (for ensurepip) ..."
    apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq"
    $apt install -y "$package" >/dev/null 2>&1 ||
        { $apt update && $apt install -y "$package" >/dev/null; } ||
        fail "apt-get could not install $package. Run: sudo apt-get install -y python3-venv   and then again: make install"
    has_pip "$1" || fail "$1 still has no ensurepip after installing $package."
}

# An environment that was moved, or whose interpreter has gone, is made anew.
usable() {
    [ -x "$venv/bin/python" ] &&
        "$venv/bin/python" -c '
import os, pip, sys
sys.exit(sys.version_info < (3, 11) or not os.path.samefile(sys.prefix, sys.argv[1]))' "$venv" >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ] || ! usable; then
    python=$(choose_python)
    has_pip "$python" || install_ensurepip "$python"
    echo "setup: making $venv with $("$python" -c 'import platform; print("Python", platform.python_version())') ..."
    "$python" -m venv --clear "$venv"
fi
echo "setup: installing smesher and its tools into $venv (once; about a minute) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
echo "setup: done. Try: $venv/bin/smesher --help"
