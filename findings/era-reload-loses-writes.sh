#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-era 1.0.0, dmsetup 1.02.185, thin-provisioning-tools 0.9.0.
#
# A dm-era target that is reloaded over itself (the usual load, suspend, resume, with the same metadata device) forgets writes, without an error:
# it reads its metadata when the table is *loaded*, not when it is resumed. What the live table notes in between is not in what the
# new one knows and is overwritten by it. Any tool that reloads a table "to be sure" turns an incremental backup into one that lacks blocks.
# Seen here: block 10 is written between load and swap. The map does not have it afterwards.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'thin-provisioning-tools=0.9.0-2 libaio1=0.3.113-4 libexpat1=2.5.0-1+deb12u2 libstdc++6=12.2.0-14+deb12u1 libgcc-s1=12.2.0-14+deb12u1' 'dm-era' <<'GUEST'
cycle() { # reload|keep : three blocks are written, the middle one after the load of a table if there is one
    head -c 4194304 /dev/zero >/dev/ram1
    dmsetup create e --table '0 65536 era /dev/ram1 /dev/ram0 128'; dmsetup mknodes
    block() { dd if=/dev/zero of=/dev/mapper/e bs=64k count=1 seek=$1 oflag=direct 2>/dev/null; }
    block 1
    [ $1 = keep ] || dmsetup reload e --table '0 65536 era /dev/ram1 /dev/ram0 128'
    block 10
    dmsetup suspend e; dmsetup resume e
    block 100
    dmsetup remove e
    echo "$1: $(era_invalidate --written-since 1 /dev/ram1 | sed -n 's/.*\(block\|begin\)="\([0-9]*\)".*/\2/p' | tr '\n' ' ')"
}
cycle keep
cycle reload
GUEST
)
echo "$said"
expect 'an era that is reloaded over itself forgets what was written since the load' 'keep: 1 10 100 
reload: 1 100 ' "$said"
