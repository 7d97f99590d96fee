#!/bin/sh
# Runs the browser test: run.sh SOURCE WORK. The scripts run beside the packages that they import.
set -eu
cp "$1"/*.mjs "$2/"
cd "$2"
exec node browser.mjs
