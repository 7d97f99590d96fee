#!/bin/sh
# Builds the page: build.sh SOURCE WORK OUT. Called by meson.
# npm installs into WORK, which is kept from build to build, and never into the sources; it runs only when the lock
# file changed. OUT is made anew, and is complete or not there.
set -eu
source=$1 work=$2 out=$(realpath -m "$3")
mkdir -p "$work"
rm -rf "$work/src" "$work/public" "$work/dist"
for one in package.json package-lock.json .npmrc index.html tsconfig.json vite.config.ts src public; do
    cp -r "$source/$one" "$work/"
done
cd "$work"

lock=$(sha256sum package.json package-lock.json | sha256sum)
if [ "$(cat .installed 2>/dev/null || true)" != "$lock" ]; then
    rm -rf node_modules .installed
    npm ci --no-audit --no-fund --prefer-offline --ignore-scripts --loglevel=error >npm.log 2>&1 || {
        cat npm.log >&2
        echo "www: npm could not install what package-lock.json names (see above). Without the page: -Dwww=false" >&2
        exit 1
    }
    printf '%s' "$lock" >.installed
fi

node_modules/.bin/tsc --noEmit
node_modules/.bin/vite build --logLevel warn
# h2o sends these to browsers that take them.
find dist -type f \( -name '*.js' -o -name '*.css' -o -name '*.svg' -o -name '*.html' \) -exec gzip -9nk {} +

bytes=$(find dist/assets -name '*.js.gz' -exec cat {} + | wc -c)
if [ "$bytes" -gt 61440 ]; then
    echo "www: the scripts are $bytes bytes compressed; the first view's limit is 61440" >&2
    exit 1
fi
rm -rf "$out"
mv dist "$out"
