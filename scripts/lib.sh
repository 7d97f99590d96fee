# scripts/lib.sh: what quickstart and test share. Sourced, not run.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Debian packages, by what they are for. clamav's daemon and RabbitMQ are peers of the tests, never of a quickstart.
packages_build=(gcc g++ libc6-dev meson ninja-build pkg-config libczmq-dev libzmq3-dev libh2o-evloop-dev libpq-dev
    libmsgpack-dev libclamav-dev libjansson-dev libsodium-dev libcurl4-openssl-dev libmagic-dev libyara-dev
    libseccomp-dev libfuzzy-dev libtlsh-dev uthash-dev libssl-dev libpcre2-dev zlib1g-dev)
packages_run=(postgresql clamav-testfiles ca-certificates curl)
packages_test=(libcmocka-dev clang clang-format clang-tidy clamav clamav-daemon clamdscan chromium python3 zip procps
    strace gnuplot-nox ccache iproute2 python3-zmq)
# Peers of bench/run dispatch, and what counts for it; installed by it alone.
packages_bench=(nats-server rabbitmq-server librabbitmq-dev celery python3-celery redis-server linux-perf valgrind)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
    local p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf '%s\n' "$p"
    done
}

# Installs what is missing, and nothing else. Servers that come along are not started (policy-rc.d), PostgreSQL makes
# no cluster of its own; services that run already are left alone. Both settings go again, whatever happens.
install_packages() {
    local missing made_policy= made_cluster= status=0
    mapfile -t missing < <(missing_packages "$@")
    if ! command -v node >/dev/null 2>&1; then missing+=(nodejs); fi
    if ! command -v npm >/dev/null 2>&1; then missing+=(npm); fi
    [ ${#missing[@]} -gt 0 ] || return 0

    say "installing: ${missing[*]}"
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        die "these packages are missing, and installing them needs root or sudo: ${missing[*]}"
    fi
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null
        as_root chmod 755 /usr/sbin/policy-rc.d
        made_policy=1
    fi
    if [ ! -e /etc/postgresql-common/createcluster.d/phagescan-install.conf ]; then
        as_root mkdir -p /etc/postgresql-common/createcluster.d
        printf 'create_main_cluster = false\n' |
            as_root tee /etc/postgresql-common/createcluster.d/phagescan-install.conf >/dev/null
        made_cluster=1
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
        >"$log_dir/apt.log" 2>&1 ||
        { as_root apt-get update -q >>"$log_dir/apt.log" 2>&1 &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
                >>"$log_dir/apt.log" 2>&1; } || status=$?
    [ -z "$made_policy" ] || as_root rm -f /usr/sbin/policy-rc.d
    [ -z "$made_cluster" ] || as_root rm -f /etc/postgresql-common/createcluster.d/phagescan-install.conf
    [ "$status" = 0 ] || {
        tail -5 "$log_dir/apt.log" >&2
        die "apt-get could not install: ${missing[*]} (all of its words: $log_dir/apt.log)"
    }
}

# What users run and benches measure: optimised over the borders of files too, which saves the broker a tenth of its time.
release_options=(--buildtype=release -Db_lto=true -Dtests=false)

# A build tree of this checkout, set up once and again only when its options changed.
setup_tree() { # DIR MESON-OPTION...
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.options" 2>/dev/null)" = "$*" ]; then return 0; fi
    [ ! -d "$dir" ] || find "$dir" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} +
    meson setup "$dir" "$root" "$@" >"$log_dir/meson-$(basename "$dir").log" 2>&1 || {
        tail -20 "$log_dir/meson-$(basename "$dir").log" >&2
        die "meson setup failed; all of its words: $log_dir/meson-$(basename "$dir").log"
    }
    printf '%s' "$*" >"$dir/.options"
}

build_tree() { # DIR [TARGET...]
    local dir=$1
    shift
    ninja -C "$dir" "$@" >"$log_dir/ninja-$(basename "$dir").log" 2>&1 || {
        grep -vE '^\[[0-9]+/[0-9]+\] (Compiling|Linking|Generating)' "$log_dir/ninja-$(basename "$dir").log" | tail -40 >&2
        die "the build failed; all of its words: $log_dir/ninja-$(basename "$dir").log"
    }
}
