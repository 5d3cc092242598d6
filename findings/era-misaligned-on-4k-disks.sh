#!/bin/bash
# Linux 6.1.192 (linux-image-6.1.0-56-cloud-amd64 6.1.192-2) and 6.12 (linux-image-6.12.117+deb12-cloud-amd64 6.12.117-1~deb12u1), both Debian's;
# dmsetup 1.02.185, dm-era 1.0.
#
# An `era` over a device with physical blocks of 4 KiB counts as misaligned on 6.12 (alignment_offset -1, and what is above it inherits that; the
# kernel logs "adding target device … caused an alignment inconsistency" with each load), and not on 6.1. The message has one look for a wrong
# offset, and there is none: no start of the data or of the metadata makes a difference. dm-era sets io_min to 0 unless the optimal I/O size
# below is a multiple of its block; on 6.1 the block layer makes the physical block size of that, on 6.12 it is stacked as it is, and the
# 512 that dm begins with is no multiple of 4096. Anything below with a fitting optimal size avoids it: a `striped` device of one stripe does,
# also as a further line behind the end of what the era uses.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

look() { # KERNEL
    guest "$1" 'util-linux=2.38.1-5+deb12u3 mount=2.38.1-5+deb12u3 libblkid1=2.38.1-5+deb12u3 libmount1=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3' 'loop dm-era' <<'GUEST'
truncate -s 80M /tmp/disk; /usr/sbin/losetup -b 4096 /dev/loop0 /tmp/disk
try() { # WHAT TABLE
    dmsetup create below --table "$2"; dmsetup mknodes
    dd if=/dev/zero of=/dev/ram1 bs=4096 count=1 2>/dev/null
    dmsetup create e --table '0 65536 era /dev/ram1 /dev/mapper/below 128'
    echo "$1: $(cat /sys/block/$(dmsetup info -c --noheadings -o blkdevname e)/alignment_offset)"
    dmsetup remove e; dmsetup remove below
}
try 'at the beginning' '0 65536 linear /dev/loop0 0'
try 'at 1 MiB' '0 65536 linear /dev/loop0 2048'
try 'one stripe' '0 65536 striped 1 128 /dev/loop0 2048'
try 'one stripe behind it' '0 65536 linear /dev/loop0 2048
65536 128 striped 1 128 /dev/loop0 131072'
GUEST
}

said=$(echo 'Linux 6.1'; look linux-image-6.1.0-56-cloud-amd64=6.1.192-2
    echo 'Linux 6.12'; look linux-image-6.12.117+deb12-cloud-amd64=6.12.117-1~deb12u1)
echo "$said"
expect 'an era over a disk with blocks of 4 KiB is misaligned on 6.12, wherever it begins' 'Linux 6.1
at the beginning: 0
at 1 MiB: 0
one stripe: 0
one stripe behind it: 0
Linux 6.12
at the beginning: -1
at 1 MiB: -1
one stripe: 0
one stripe behind it: 0' "$said"
