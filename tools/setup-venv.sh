#!/bin/sh
# Makes the virtual environment in $1 (default .venv), installs exactly what requirements/dev.txt names, wheels only,
# and this repository, editable. Called by the Makefile from the repository root. PYTHON, where set, names the
# interpreter; EXTRAS adds extras that have a lock file (opencl, cuda) and is remembered; TYPED is what the person
# typed, for messages.
set -eu

venv=${1:-.venv}
candidates=${PYTHON:-python3.13 python3.12 python3.11 python3.14 python3}
typed=${TYPED:-make install}
[ "$typed" != "make " ] || typed="make install"
lock=requirements/dev.txt

fail() {
    echo "setup: $*" >&2
    exit 1
}

# A name on the path may be a launcher for a version that is not installed, so each is asked, not only looked up.
# Newer ones have no wheels of numba and LevelDB yet.
fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1
}

has_pip() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# The one that was asked for; else the first that can make an environment at once; else the first that fits.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.11 to 3.14."
        echo "$PYTHON"
        return
    fi
    for candidate in $candidates; do
        if fits "$candidate" && has_pip "$candidate"; then echo "$candidate"; return; fi
    done
    for candidate in $candidates; do
        if fits "$candidate"; then echo "$candidate"; return; fi
    done
    fail "no Python of version 3.11 to 3.14 found (looked for: $candidates). Install one, or name it: $typed PYTHON=/path/to/python3"
}

# Debian and Ubuntu keep ensurepip in a package of its own.
install_ensurepip() {
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    command -v apt-get >/dev/null 2>&1 ||
        fail "$1 has no ensurepip module. Install it with your system's packages, or choose another Python: $typed PYTHON=..."
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif sudo -n true >/dev/null 2>&1; then
        sudo="sudo -n"
    else
        fail "the package $package is missing. Run: sudo apt-get install -y $package   and then again: $typed"
    fi
    echo "setup: installing $package (for ensurepip) ..."
    apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq"
    $apt install -y "$package" >/dev/null 2>&1 ||
        { $apt update && $apt install -y "$package" >/dev/null; } ||
        fail "apt-get could not install $package. Run: sudo apt-get install -y $package   and then again: $typed"
    has_pip "$1" || fail "$1 still has no ensurepip after installing $package."
}

# An environment that was moved, or whose interpreter has gone, is made anew.
usable() {
    [ -x "$venv/bin/python" ] &&
        "$venv/bin/python" -c '
import os, pip, sys
fits = (3, 11) <= sys.version_info < (3, 15)
sys.exit(not fits or not os.path.samefile(sys.prefix, sys.argv[1]))' "$venv" >/dev/null 2>&1
}

# What an earlier call was asked for stays, whatever makes the environment anew.
extras=${EXTRAS:-$(cat "$venv/.extras" 2>/dev/null || true)}
locks="-r $lock"
for extra in $extras; do
    [ "$extra" != dev ] && [ -f "requirements/$extra.txt" ] ||
        fail "EXTRAS=$extra: there is no such extra; there are opencl and cuda."
    locks="$locks -r requirements/$extra.txt"
done

python=
if [ -n "${PYTHON:-}" ] || ! usable; then
    python=$(choose_python)
elif ! cmp -s "$lock" "$venv/.locked"; then
    # other versions: an environment that holds nothing else is made anew, with the same interpreter
    python=$("$venv/bin/python" -c 'import sys; print(sys._base_executable)')
fi
if [ -n "$python" ]; then
    has_pip "$python" || install_ensurepip "$python"
    echo "setup: making $venv with $("$python" -c 'import platform; print("Python", platform.python_version())') ..."
    "$python" -m venv --clear "$venv"
fi
pip() {
    "$venv/bin/python" -m pip --quiet --disable-pip-version-check install "$@"
}
if [ -n "$python" ] || [ -n "${EXTRAS:-}" ]; then
    echo "setup: installing smesher and its tools into $venv (once; about a minute) ..."
    # shellcheck disable=SC2086 # several options
    pip --require-hashes --only-binary :all: $locks ||
        fail "the packages named in $lock could not be installed: see above. What they are for: docs/dependencies.md"
fi
pip --no-index --no-deps --no-build-isolation --editable .
cp "$lock" "$venv/.locked"
[ -z "$extras" ] || echo "$extras" >"$venv/.extras"
echo "setup: done. Try: $venv/bin/smesher --help"
