#!/bin/sh
# Installs the browser test's packages: install.sh WORK STAMP FILE... Never into the sources.
set -eu
work=$1 stamp=$(realpath -m "$2")
shift 2
mkdir -p "$work"
cp "$@" "$work/"
cd "$work"
npm ci --no-audit --no-fund --prefer-offline --ignore-scripts --loglevel=error >npm.log 2>&1 || {
    cat npm.log >&2
    exit 1
}
: >"$stamp"
