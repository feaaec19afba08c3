#!/bin/sh
# Makes .venv and installs the project into it, editable, with the extras given, every version pinned by constraints.txt.
#   .ci/venv.sh local
set -eu
cd "$(dirname "$0")/.."

# Holds the process id of the installation at work. One that was cut short leaves it behind, and with it packages that
# may be half written: the next one starts afresh (pip's cache makes that quick).
busy=.venv/.installing
trap 'exit 130' HUP INT TERM # so that no shell goes on after a child that was interrupted

find_python() {
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo >&2 "octopus-graph needs Python 3.11 or newer with its venv module; none was found (name yours: make PYTHON=...)."
    return 1
}

if [ -e "$busy" ]; then
    if kill -0 "$(cat "$busy")" 2>/dev/null; then
        echo >&2 "Another installation into .venv is at work (process $(cat "$busy")); try again when it has finished."
        exit 1
    fi
    echo "The last installation into .venv was cut short: starting afresh."
    rm -rf .venv
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version) ..."
    rm -rf .venv
    mkdir .venv
    echo $$ >"$busy"
    "$python" -m venv .venv
fi

echo "Installing octopus-graph[$1] into .venv; the first time this is about 1.5 GB and takes minutes ..."
echo $$ >"$busy"
status=0
.venv/bin/python -m pip install -qq --disable-pip-version-check --editable ".[$1]" --constraint constraints.txt ||
    status=$?
rm -f "$busy" # pip came to an end of its own, well or not: .venv is whole
[ "$status" -eq 0 ] && echo "Installed."
exit "$status"
