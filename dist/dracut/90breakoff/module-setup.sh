#!/bin/bash
# dracut: puts breakoff into an initrd, so that the root filesystem may lie on a volume.

# called by dracut
check() {
    require_binaries breakoff || return 1
    # For this machine alone: when something that it boots from is on a volume.
    # shellcheck disable=SC2154
    if [[ $hostonly || $mount_needs ]]; then
        for_each_host_dev_and_slaves is_breakoff || return 255
    fi
    return 0
}

# is_breakoff MAJOR:MINOR
is_breakoff() {
    local uuid
    read -r uuid 2>/dev/null <"/sys/dev/block/$1/dm/uuid" || return 1
    [[ $uuid == BREAKOFF-* ]]
}

# called by dracut
depends() { echo dm; }

# called by dracut. The targets of all tables that a start can load; dm_mod has linear, striped and error.
installkernel() { hostonly='' instmods dm_mod dm_mirror dm_log dm_region_hash dm_era dm_zero; }

# called by dracut
install() {
    local seen
    inst_multiple breakoff
    inst_rules 11-dm-breakoff.rules 56-breakoff.rules 69-breakoff.rules
    # shellcheck disable=SC2154
    inst_rules "$moddir/60-breakoff-snapshots.rules"
    # Whose groups are ours. Without it nothing is started: make the initrd anew when it has changed. dracut's systemd has put an empty one
    # there, for which a random one would be made.
    # shellcheck disable=SC2154
    cp -f /etc/machine-id "$initdir/etc/machine-id"
    # The program that a failure is reported to is not here.
    [[ ! -e /etc/breakoff.conf ]] || sed '/^[[:space:]]*hook[[:space:]]*=/d' /etc/breakoff.conf >"$initdir/etc/breakoff.conf"
    # What this machine has seen of its groups by now; "copy" says that it may have seen more since.
    mkdir -p "$initdir/etc/breakoff/witness"
    for seen in /etc/breakoff/witness/*.json; do
        [[ ! -e $seen ]] || inst_simple "$seen"
    done
    : >"$initdir/etc/breakoff/witness/copy"
    inst_simple "$moddir/breakoff-start.sh" /sbin/breakoff-start
    inst_hook initqueue/settled 50 "$moddir/settled.sh"
    inst_hook initqueue/timeout 50 "$moddir/timeout.sh"
    dracut_need_initqueue
}
