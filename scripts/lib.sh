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
    # A machine that has just been set up is often busy with its first updates: wait for their lock.
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "$@" >&2 \
        || die 125 "apt-get install $* failed"
}

# The lists are fetched only when apt knows no candidate for one of the packages: the usual run needs no network.
refresh_package_lists() {
    local package
    for package in "$@"; do
        apt-cache show "$package" >/dev/null 2>&1 && continue
        apt-get -q update >&2 || die 125 "apt-get update failed"
        return
    done
}

# missing_programs PROGRAM=PACKAGE... : prints the packages of the programs that are not there.
missing_programs() {
    local pair
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || echo "${pair#*=}"
    done | sort -u
}

# What a build needs without its being a program. The file proves that the package is there.
DEVELOPMENT=(/usr/include/libudev.h=libudev-dev /usr/include/libdevmapper.h=libdevmapper-dev /usr/include/stdio.h=libc6-dev)

# Prints the packages that a build needs and that are not there.
missing_development() {
    local pair
    for pair in "${DEVELOPMENT[@]}"; do
        [[ -e ${pair%%=*} ]] || echo "${pair#*=}"
    done
    # bindgen opens it at build time; its file name carries LLVM's version.
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || compgen -G '/usr/lib/*/libclang*.so*' >/dev/null || echo libclang-dev
}
