#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), loop on tmpfs, dm-linear, dmsetup 1.02.185, blkdiscard of util-linux 2.38.1.
#
# A loop device says that it can write zeroes by itself (write_zeroes_max_bytes is 4 GiB), whatever its file lies on. BLKZEROOUT, which mkfs,
# lvcreate and others use, keeps the space allocated, for which the loop driver needs FALLOC_FL_ZERO_RANGE. tmpfs has none, so each such
# request fails first, *with an I/O error of the device in the kernel's log*, and then the kernel writes the zeroes itself and the call
# succeeds. One would expect the limit to be 0 on such a file, or to become 0 after the first refusal, as it does for SCSI disks that refuse
# WRITE SAME. It does not, nor does that of a dm-linear device on top, not even when its table is loaded anew: every time there is
# another error in the log of a device that is well.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'util-linux=2.38.1-5+deb12u3 libblkid1=2.38.1-5+deb12u3 libmount1=2.38.1-5+deb12u3 libuuid1=2.38.1-5+deb12u3
        libsmartcols1=2.38.1-5+deb12u3 libtinfo6=6.4-4 libcap-ng0=0.8.3-1+b3' 'loop' <<'GUEST'
mount -t tmpfs t /tmp
head -c 4194304 /dev/zero | tr '\0' x >/tmp/file; losetup /dev/loop0 /tmp/file
limit() { cat /sys/block/$1/queue/write_zeroes_max_bytes; }
logged() { dmesg | grep -c 'operation not supported error, dev loop0.*WRITE_ZEROES'; }
zero() { # WHAT DEVICE
    before=$(logged)
    /usr/sbin/blkdiscard -z -l 1048576 /dev/$2
    echo "$1: status $?, bytes left: $(head -c 1048576 /dev/$2 | tr -d '\0' | wc -c), errors in the log: $(($(logged) - before)), limit $(limit $2)"
}
echo "loop: limit $(limit loop0)"
zero 'once' loop0
zero 'once more' loop0
dmsetup create l --table '0 8192 linear /dev/loop0 0'; dmsetup mknodes
zero 'through dm' dm-0
dmsetup reload l --table '0 8192 linear /dev/loop0 0'; dmsetup suspend l; dmsetup resume l
zero 'after a reload' dm-0
GUEST
)
echo "$said"
expect 'zeroing a loop device on tmpfs logs an error each time and works' 'loop: limit 4294966784
once: status 0, bytes left: 0, errors in the log: 1, limit 4294966784
once more: status 0, bytes left: 0, errors in the log: 1, limit 4294966784
through dm: status 0, bytes left: 0, errors in the log: 1, limit 4294966784
after a reload: status 0, bytes left: 0, errors in the log: 1, limit 4294966784' "$said"
