#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-mirror 1.14, dmsetup 1.02.185, XFS with 512-byte sectors.
#
# The logical sector size of a device-mapper device may change while it is in use. A mirror of disks with 512-byte sectors that gets a
# further leg on a disk with 4096-byte sectors, under a mounted filesystem, has 4096-byte sectors from the swap of the tables on. The
# kernel takes the table without a word and the filesystem stays mounted, but direct writes of 512 bytes (a database's log) fail from then
# on, and work again when the leg is taken out. One would expect the load to be refused, as it is for a leg that is too small.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'coreutils=9.1-1 xfsprogs=6.1.0-1 libinih1=55-1 liburcu8=0.13.2-1 libblkid1=2.38.1-5+deb12u3 libuuid1=2.38.1-5+deb12u3
     mount=2.38.1-5+deb12u3 libmount1=2.38.1-5+deb12u3 libsmartcols1=2.38.1-5+deb12u3' 'dm-mirror loop xfs' <<'GUEST'
# A RAM disk has 512-byte sectors; a loop device may be given larger ones.
truncate -s 320M /tmp/large; /usr/sbin/losetup -b 4096 /dev/loop0 /tmp/large; echo "the large disk: $(blockdev --getss /dev/loop0)"
is() { echo "$1: sectors of $(blockdev --getss /dev/mapper/m), 512 bytes directly: $(/usr/bin/dd if=/dev/zero of=/mnt/log bs=512 count=1 oflag=direct conv=notrunc 2>/dev/null; echo $?)"; }
swap() { dmsetup reload m --table "$1"; echo "load: $?"; dmsetup suspend m; dmsetup resume m; echo "swap: $?"; }
two='0 655360 mirror core 2 1024 nosync 2 /dev/ram0 0 /dev/ram1 0 1 handle_errors'
dmsetup create m --table "$two"; dmsetup mknodes
mkfs.xfs -q -s size=512 /dev/mapper/m; mount -t xfs /dev/mapper/m /mnt; head -c 4096 /dev/zero >/mnt/log; sync
is 'two legs of 512'
swap '0 655360 mirror core 2 1024 nosync 3 /dev/ram0 0 /dev/ram1 0 /dev/loop0 0 1 handle_errors'
is 'a third of 4096'
swap "$two"
is 'two legs of 512'
GUEST
)
echo "$said"
expect 'a leg with larger sectors changes those of a mirror in use' 'the large disk: 4096
two legs of 512: sectors of 512, 512 bytes directly: 0
load: 0
swap: 0
a third of 4096: sectors of 4096, 512 bytes directly: 1
load: 0
swap: 0
two legs of 512: sectors of 512, 512 bytes directly: 0' "$said"
