#!/bin/bash
# Linux 6.1.192 (linux-image-6.1.0-56-cloud-amd64 6.1.192-2) and 6.12 (linux-image-6.12.117+deb12-cloud-amd64 6.12.117-1~deb12u1), both Debian's;
# dmsetup 1.02.185, ext4.
#
# A filesystem that is frozen by its mount point (fsfreeze, a backup agent, a hypervisor's guest agent) makes an ordinary `dmsetup suspend` of
# its device fail with EBUSY on 6.1: a suspend freezes the filesystem itself, and the second freeze was refused. On 6.12 it succeeds, since
# freezes by a user and by the kernel are counted apart. A tool that took the EBUSY for "held by another freeze" waits for nothing now,
# and the resume of the device no longer thaws anything that the user has frozen.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

look() { # KERNEL=6.12.117-1~deb12u1
    guest "$1" 'e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 libcom-err2=1.47.0-2+b2 libblkid1=2.38.1-5+deb12u3 libuuid1=2.38.1-5+deb12u3' '' <<'GUEST'
modprobe ext4 2>/dev/null
dmsetup create v --table '0 65536 linear /dev/ram0 0'; dmsetup mknodes
mkfs.ext4 -q /dev/mapper/v; mount -t ext4 /dev/mapper/v /mnt
fsfreeze --freeze /mnt
dmsetup suspend v 2>/tmp/why; echo "suspend: $?$(sed -n 's/.*failed: /, /p' /tmp/why)"
dmsetup resume v; echo "resume: $?"
fsfreeze --freeze /mnt 2>/dev/null; echo "frozen still: $?"
fsfreeze --unfreeze /mnt; echo "thaw: $?"
GUEST
}

said=$(echo 'Linux 6.1'; look linux-image-6.1.0-56-cloud-amd64=6.1.192-2
    echo 'Linux 6.12'; look linux-image-6.12.117+deb12-cloud-amd64=6.12.117-1~deb12u1)
echo "$said"
expect 'a device under a frozen filesystem cannot be suspended on 6.1, and can on 6.12' 'Linux 6.1
suspend: 1, Device or resource busy
resume: 0
frozen still: 1
thaw: 0
Linux 6.12
suspend: 0
resume: 0
frozen still: 1
thaw: 0' "$said"
