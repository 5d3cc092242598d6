# shellcheck shell=bash
# Shared by the scripts beside it; sourced, never run.
#
# Messages go to stderr: stdout belongs to the command that the user asked for.

# shellcheck disable=SC2034  # for the scripts that source this file
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PROG=${0##*/}

say() { printf '%s: %s\n' "$PROG" "$*" >&2; }

# die STATUS MESSAGE...
die() {
    local status=$1
    shift
    say "$*"
    exit "$status"
}

# install_packages PACKAGE... : installs them with apt-get, or says what to install by hand.
install_packages() {
    (($# > 0)) || return 0
    command -v apt-get >/dev/null || die 125 "install these by hand (no apt-get here): $*"
    ((EUID == 0)) || die 125 "not root: please run: apt-get install $*"
    say "installing what is missing: $*"
    refresh_package_lists "$@"
    install_once "$@" || { say 'once more, with fresh package lists' && update_package_lists && install_once "$@"; } \
        || die 125 "apt-get install $* failed"
}

# A machine that has just been set up is often busy with its first updates: wait for their lock.
install_once() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@" >&2
}

# The lists are fetched only when apt knows no candidate for one of the packages: the usual run needs no network.
refresh_package_lists() {
    local package
    for package in "$@"; do
        apt-cache show "$package" >/dev/null 2>&1 && continue
        update_package_lists || die 125 'apt-get update failed'
        return
    done
}

# The lock of the lists is one for which apt-get does not wait itself.
update_package_lists() {
    local said try
    for ((try = 1; try <= 60; try++)); do
        said=$(LC_ALL=C apt-get -q update 2>&1) && return
        [[ $said == *'Could not get lock'* ]] || break
        ((try > 1)) || say 'waiting for another apt-get update'
        sleep 10
    done
    printf '%s\n' "$said" >&2
    return 1
}

# missing_programs PROGRAM=PACKAGE... : prints the packages of the programs that are not there.
missing_programs() {
    local pair
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || echo "${pair#*=}"
    done | sort -u
}

# What a build needs without its being a program: packages, of which one of each line has to be installed. libclang is opened by
# bindgen, without a certificate cargo fetches nothing.
DEVELOPMENT=(
    libudev-dev
    libdevmapper-dev
    libc6-dev
    'libclang-dev libclang-[0-9]*-dev'
    ca-certificates
)

# Prints the packages that a build needs and that are not there. The package manager knows; a file's name does not say what it is
# (libclang-cpp is no libclang). Where there is no dpkg the build itself says what it misses.
missing_development() {
    local wanted
    command -v dpkg-query >/dev/null || return 0
    for wanted in "${DEVELOPMENT[@]}"; do
        [[ $wanted != *libclang* || -z ${LIBCLANG_PATH:-} ]] || continue
        # shellcheck disable=SC2086  # several
        is_installed $wanted || echo "${wanted%% *}"
    done
}

# is_installed PATTERN... : whether a package of such a name is. One that was removed may still be known by its configuration.
is_installed() {
    local states
    # It fails if one of several patterns fits nothing.
    states=$(dpkg-query -W -f '${db:Status-Status}\n' "$@" 2>/dev/null) || true
    [[ $'\n'$states$'\n' == *$'\ninstalled\n'* ]]
}

# prepare_build [PROGRAM=PACKAGE...] : what a build needs is there afterwards, and these programs.
prepare_build() {
    local packages
    mapfile -t packages < <({ missing_programs gcc=gcc pkg-config=pkg-config "$@"; missing_development; } | sort -u)
    install_packages "${packages[@]}"
    find_cargo
    PATH=$PATH:/usr/sbin:/sbin
}

# The distribution's own cargo may come first in $PATH and be too old.
find_cargo() {
    local need
    need=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$REPO/Cargo.toml")
    cargo_is_at_least "$need" && return
    PATH=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
    cargo_is_at_least "$need" && return
    command -v cargo >/dev/null || die 1 'there is no cargo here: install Rust, see README.md'
    die 1 "Rust $need or newer is needed, and $(command -v cargo) is: $(cargo --version 2>&1 | sed -n 1p)"
}

cargo_is_at_least() {
    local version
    version=$(cd "$REPO" && cargo --version 2>/dev/null) || return 1
    version=${version#cargo }
    [[ $(printf '%s\n' "$1" "${version%% *}" | sort -V | sed -n 1p) == "$1" ]]
}
