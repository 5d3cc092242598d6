# shellcheck shell=bash
# Shared by the findings that need a kernel of their own; sourced, never run.
#
# A finding calls `guest KERNEL PACKAGES < script`: the packages (NAME=VERSION, pinned) are downloaded with apt-get into a temporary
# folder, unpacked there, made into an initramfs and booted with the kernel from the same kind of package. Nothing is installed.
# The script runs as PID 1's child in a shell (busybox, first in the path are the packages' own programs) and its output is printed.
# Needs on this machine: apt-get, dpkg-deb, cpio, depmod, qemu-system-x86_64.

set -euo pipefail

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# What each guest has, beside what a finding asks for.
BASE='busybox-static=1:1.35.0-4+deb12u1+b1 libc6=2.36-9+deb12u14 dmsetup=2:1.02.185-2 libdevmapper1.02.1=2:1.02.185-2 libudev1=252.39-1~deb12u2
    libselinux1=3.4-1+b6 libpcre2-8-0=10.42-1+deb12u2'

# unpack DIR PACKAGE=VERSION...
unpack() {
    local dir=$1 deb name
    shift
    mkdir -p "$dir" "$WORK/debs"
    rm -f "$WORK"/debs/*.deb
    (cd "$WORK/debs" && apt-get -qq -o APT::Sandbox::User=root download "$@" >&2) || {
        echo "a pinned package is gone (or the lists are old: apt-get update): $*" >&2
        exit 2
    }
    # A guest's /bin, /sbin and /lib are links into /usr, and dpkg-deb would put directories in their place.
    for deb in "$WORK"/debs/*.deb; do
        rm -rf "$WORK/one"
        dpkg-deb -x "$deb" "$WORK/one"
        for name in bin sbin lib lib64; do
            [[ ! -d $WORK/one/$name ]] || { mkdir -p "$WORK/one/usr/$name" && cp -a "$WORK/one/$name/." "$WORK/one/usr/$name/" && rm -rf "${WORK:?}/one/$name"; }
        done
        cp -a "$WORK/one/." "$dir/"
    done
}

# guest KERNEL=VERSION "PACKAGE=VERSION ..." "MODULE ..." : boots, runs standard input as a script, prints what it says.
guest() {
    local kernel=$1 packages=$2 modules=$3 root=$WORK/root release name
    rm -rf "$root" "$WORK/kernel"
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{proc,sys,dev,run,tmp,mnt}
    for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
    unpack "$WORK/kernel" "$kernel"
    # shellcheck disable=SC2086
    unpack "$root" $BASE $packages
    release=$(basename "$WORK"/kernel/usr/lib/modules/*)
    mkdir -p "$root/usr/lib/modules/$release/kernel"
    (cd "$WORK/kernel/usr/lib/modules/$release" && cp modules.{order,builtin,builtin.modinfo} "$root/usr/lib/modules/$release/" \
        && find kernel/drivers/md kernel/drivers/block kernel/fs kernel/lib kernel/crypto kernel/arch -name '*.ko*' -print0 \
        | cpio --quiet -0 -pdm "$root/usr/lib/modules/$release")
    depmod -b "$root/usr" "$release" 2>/dev/null
    cat >"$root/script"
    cat >"$root/init" <<INIT
#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin
/bin/busybox --install -s /usr/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
modprobe dm-mod; modprobe brd rd_nr=4 rd_size=327680
for module in $modules; do modprobe \$module; done
echo GUEST-BEGINS
sh /script 2>&1
echo GUEST-ENDS
poweroff -f
INIT
    # What a package brings as a program of its own goes before busybox's.
    sed -i 's#--install -s /usr/bin#--list | while read name; do [ -e /usr/bin/$name ] || [ -e /usr/sbin/$name ] || ln -s /bin/busybox /usr/bin/$name; done#' "$root/init"
    chmod 755 "$root/init"
    (cd "$root" && find . -print0 | cpio --quiet -0 -o -H newc -R 0:0) >"$WORK/initramfs"
    timeout 300 qemu-system-x86_64 -accel tcg -cpu qemu64,+ssse3,+sse4.1,+sse4.2 -smp 2 -m 2048 -nodefaults -no-reboot -display none \
        -serial stdio -kernel "$WORK"/kernel/boot/vmlinuz-* -initrd "$WORK/initramfs" \
        -append 'console=ttyS0 loglevel=1 panic=-1 mitigations=off' </dev/null 2>/dev/null | tr -d '\r' \
        | sed -n '/GUEST-BEGINS/,/GUEST-ENDS/{/GUEST-/!p}'
}

# expect WHAT LINES OUTPUT : every line of LINES is a line of OUTPUT, in this order and nothing else.
expect() {
    if [[ $2 == "$3" ]]; then
        echo "as seen before: $1"
    else
        printf 'CHANGED: %s\n--- seen before\n%s\n--- now\n%s\n' "$1" "$2" "$3"
        exit 1
    fi
}
