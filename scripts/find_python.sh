#!/bin/sh
# Prints a Python that fits (3.11 to 3.13, with venv), or one line that says what is missing. Honours PYTHON.
# An environment that is already there wins, so that a second run asks nothing of the system.

fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

if [ -n "$PYTHON" ]; then
    if ! "$PYTHON" -c "$fits" >/dev/null 2>&1; then
        echo "tempo: PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13. Give another, or unset PYTHON." >&2
        exit 1
    fi
    candidates=$PYTHON
else
    candidates=".venv/bin/python python3.11 python3.12 python3.13 python3 python"
fi

bare=""
for candidate in $candidates; do
    "$candidate" -c "$fits" >/dev/null 2>&1 || continue
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
    bare=${bare:-$candidate}
done

if [ -n "$bare" ]; then
    echo "tempo: $bare has no venv module. On Debian or Ubuntu: apt install python3-venv. Then run this again." >&2
else
    echo "tempo: needs Python 3.11, 3.12 or 3.13 and found none. Install one, or name it: make app PYTHON=/path/to/python3.11" >&2
fi
exit 1
