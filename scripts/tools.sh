# shellcheck shell=bash
# What the scripts need beside Rust, and how to come by it. Sourced, not run.
# Nothing is installed without a word. What is not a system package goes to $tools, which may be deleted at any time.
# Whoever sources it has said `set -euo pipefail`.

tools=${VIGIL_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/vigil-tools}

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "this needs root, and there is no sudo; run as root: $*"
    fi
}

need_rust() {
    command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs"
    if ! command -v cc >/dev/null; then
        command -v apt-get >/dev/null || die "a C compiler is missing (SQLite is built from source)"
        say "Installing a C compiler (SQLite is built from source)"
        as_root apt-get update -qq
        as_root apt-get install -y -qq --no-install-recommends gcc libc6-dev
    fi
}

# rustfmt and clippy come with rustup's default profile, but not with its minimal one.
need_components() {
    local component
    for component in rustfmt clippy; do
        if ! cargo "${component#rust}" --version >/dev/null 2>&1; then
            say "Adding $component to the toolchain"
            rustup component add "$component"
        fi
    done
}

# promtool judges what /metrics answers. Its one file is taken out of Debian's package: installing that would start a server.
need_promtool() {
    PATH=$PATH:$tools/bin
    command -v promtool >/dev/null && return
    if ! command -v apt-get >/dev/null; then
        [ -z "${CI:-}" ] || die "promtool is missing, and there is no apt-get to fetch it with"
        say "promtool is missing, and there is no apt-get to fetch it with: its test will say 'skipped'"
        return
    fi
    take_out promtool promtool prometheus
}

# Prometheus itself, in the same way.
need_prometheus() {
    need_promtool
    command -v prometheus >/dev/null || take_out prometheus prometheus
}

# take_out PROGRAM PACKAGE...: the one file, out of the first of Debian's packages that there is.
take_out() {
    local program=$1
    shift
    say "Fetching $program into $tools/bin"
    mkdir -p "$tools/bin" "$tools/deb"
    (
        cd "$tools/deb" || exit
        download() { for package in "$@"; do apt-get download -q "$package" && return; done; return 1; }
        download "$@" 2>/dev/null || { as_root apt-get update -qq && download "$@"; }
        dpkg -x ./*.deb root
        cp "root/usr/bin/$program" "$tools/bin/"
    )
    rm -rf "$tools/deb"
}

# need_packages PROGRAM:PACKAGE...: installs the packages of the programs that are missing.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "missing, and there is no apt-get to install them with: ${missing[*]}"
    say "Installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
}

# The tests start servers of their own (scripts/servers): only the programs are needed. Debian starts what it installs; where
# a policy-rc.d says otherwise, or on a machine of one's own, those servers are never touched.
need_servers() {
    local missing=()
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
    command -v redis-server >/dev/null || missing+=(redis-server)
    [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
    command -v python3 >/dev/null || missing+=(python3)
    command -v openssl >/dev/null || missing+=(openssl)
    command -v setpriv >/dev/null || missing+=(util-linux)
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        [ -z "${CI:-}" ] || die "missing, and there is no apt-get to install them with: ${missing[*]}"
        say "missing, and there is no apt-get to install them with: ${missing[*]}; tests that need them will say 'skipped'"
        return
    fi
    say "Installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
}

# The client's tools need Node 20; Debian 12 has 18. npm's package `node` is the program of the platform.
readonly NODE=22.23.3 NPM=10.9.9

need_node() {
    is_new() { command -v npm >/dev/null && [ "$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)" -ge 20 ]; }
    is_new && return
    local fetched=$tools/node-$NODE/node_modules/.bin
    if [ ! -x "$fetched/npm" ]; then
        command -v npm >/dev/null || command -v apt-get >/dev/null ||
            die "Node 20 or newer is missing: install it from https://nodejs.org"
        need_packages npm:npm
        is_new && return
        say "Fetching Node $NODE into $tools/node-$NODE"
        npm install --silent --no-audit --no-fund --prefix "$tools/node-$NODE" "node@$NODE" "npm@$NPM"
    fi
    PATH=$fetched:$PATH
    is_new || die "Node $NODE does not run here: install Node 20 or newer from https://nodejs.org"
}

# No registry has a current binary. Built without optimisation it takes a minute or less, and a check two seconds.
readonly CARGO_DENY=0.20.2

need_cargo_deny() {
    cargo_deny=$tools/cargo-deny-$CARGO_DENY/bin/cargo-deny
    [ -x "$cargo_deny" ] && return
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$tools/build \
        cargo install --quiet --locked --debug --root "$tools/cargo-deny-$CARGO_DENY" \
        "cargo-deny@$CARGO_DENY"
    rm -rf "$tools/build"
}
