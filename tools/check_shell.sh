#!/bin/sh
# Checks the shell scripts with shellcheck. Exit status 77 (skipped) where it is not installed.
set -eu
cd "$(dirname "$0")/.."
if ! command -v shellcheck >/dev/null; then
    echo "shellcheck is not installed"
    exit 77
fi
find run .ci/run tools tests bench examples packaging -type f \( -name run -o -name '*.sh' \) \
    -exec shellcheck {} +
