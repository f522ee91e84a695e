#!/bin/sh
# Make or refresh the virtual environment: setup.sh VENV LOCK STAMP
#
# Nothing is done when the stamp in the environment holds the checksum of everything that decides its content.
# $PYTHON names the interpreter; without it the first of python3, python3.13, ... that is new enough is taken.
set -eu

venv=$1
lock=$2
stamp=$3

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

choose_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    echo "Perdure needs Python 3.11 or newer (tried: ${PYTHON:-python3, python3.13, python3.12, python3.11, python})." >&2
    echo "Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
    return 1
}

# The folder is part of the checksum because an environment does not survive being moved.
checksum() {
    { pwd; cat "$lock" pyproject.toml requirements/runtime.in "$0"; } | "$1" -c \
        'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

if is_new_enough "$venv/bin/python" && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(checksum "$venv/bin/python")" ]; then
    exit 0
fi

if ! is_new_enough "$venv/bin/python"; then
    python=$(choose_python)
    echo "Setting up $venv with $python ($("$python" -V))"
    if ! "$python" -m venv --clear "$venv"; then
        echo "$python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)." >&2
        exit 1
    fi
fi

pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}

rm -f "$stamp"
echo "Installing the locked requirements; this takes a minute or two the first time"
pip install --require-hashes -r "$lock"
# setuptools warns of editable installs as such.
PYTHONWARNINGS=ignore pip install --no-deps --no-build-isolation --editable .
checksum "$venv/bin/python" >"$stamp"
echo "$venv is ready"
