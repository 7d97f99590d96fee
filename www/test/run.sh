#!/bin/sh
# Unit tests of what needs no browser: run.sh SOURCE WORK. WORK is where build.sh installed the packages.
set -eu
source=$1 work=$2
rm -rf "$work/test" "$work/test-out"
cp -r "$source/test" "$work/test"
cd "$work"
node_modules/.bin/esbuild test/*.test.ts --bundle --platform=node --format=esm --outdir=test-out --out-extension:.js=.mjs \
    --jsx=automatic --jsx-import-source=preact --log-level=warning
exec node --test test-out/*.mjs
