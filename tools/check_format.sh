#!/bin/sh
# Checks the format of the C sources with clang-format 14, whose output .clang-format is made for.
# Exit status 77 (skipped) where that version is not installed.
set -eu
cd "$(dirname "$0")/.."
for program in clang-format-14 clang-format; do
    if "$program" --version 2>/dev/null | grep -q 'version 14\.'; then
        find src tests bench -name '*.[ch]' -exec "$program" --dry-run -Werror --ferror-limit=1 {} +
        exit 0
    fi
done
echo "clang-format 14 is not installed"
exit 77
