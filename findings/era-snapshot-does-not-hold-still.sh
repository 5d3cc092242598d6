#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-era 1.0.0, dmsetup 1.02.185, thin-provisioning-tools 0.9.0.
#
# The metadata snapshot of dm-era (take_metadata_snap) is the documented way to list the changed blocks of a device in use, and a
# snapshot is something that holds still. `era_invalidate --metadata-snapshot` wants one to be held and then lists what the *live*
# metadata has at that moment: blocks that were written after the snapshot are in the list. A tool that takes a snapshot, ends an
# application's transaction, and lists later gets a list of another moment than it thinks.
# Seen here: block 1 is written, the snapshot taken and listed; blocks 2 and 3 are written while it is held, and listed from it, too
# (a range is printed without its end).
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'thin-provisioning-tools=0.9.0-2 libaio1=0.3.113-4 libexpat1=2.5.0-1+deb12u2 libstdc++6=12.2.0-14+deb12u1 libgcc-s1=12.2.0-14+deb12u1' \
    'dm-era' <<'GUEST'
head -c 4194304 /dev/zero >/dev/ram1
dmsetup create e --table '0 65536 era /dev/ram1 /dev/ram0 128'; dmsetup mknodes
block() { dd if=/dev/zero of=/dev/mapper/e bs=64k count=1 seek=$1 oflag=direct 2>/dev/null; }
list() { echo "$1: $(era_invalidate $2 --written-since 1 /dev/ram1 2>&1 | grep -v blocks | sed 's/^ *//')"; }
block 1
list 'no snapshot' --metadata-snapshot
dmsetup message e 0 take_metadata_snap
held=$(dmsetup status e | cut -d' ' -f7)
list 'just taken' --metadata-snapshot
block 2; dmsetup message e 0 checkpoint
block 3; dmsetup message e 0 checkpoint
[ "$held" = "$(dmsetup status e | cut -d' ' -f7)" ] && echo 'the same snapshot is held'
list 'later' --metadata-snapshot
dmsetup message e 0 drop_metadata_snap
dmsetup remove e
GUEST
)
echo "$said"
expect 'a list from a metadata snapshot has what was written after it' 'no snapshot: no metadata snapshot taken.
just taken: <block block="1"/>
the same snapshot is held
later: <range begin="1" end = "4"/>' "$said"
