#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), ext4.
#
# Unmounting a frozen filesystem succeeds and does not thaw it. No mount is left that could be listed or thawed, and yet the
# filesystem lives on: e2fsck finds the device in use. The next mount gets the same filesystem back, still frozen: it succeeds, and a
# second freeze is refused because it is frozen already. Only then can it be thawed.
# One would expect the unmount to be refused, or the freeze to end with the last mount.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'e2fsprogs=1.47.0-2+b2 libext2fs2=1.47.0-2+b2 libcom-err2=1.47.0-2+b2 libblkid1=2.38.1-5+deb12u3 libuuid1=2.38.1-5+deb12u3' '' <<'GUEST'
modprobe ext4 2>/dev/null
mkfs.ext4 -q /dev/ram0
mount -t ext4 /dev/ram0 /mnt; fsfreeze --freeze /mnt; echo "freeze: $?"
umount /mnt; echo "umount: $?"
echo "mounts left: $(grep -c ram0 /proc/mounts)"
e2fsck -f -y /dev/ram0 >/dev/null 2>&1; echo "e2fsck: $?"
mount -t ext4 /dev/ram0 /mnt; echo "mount again: $?"
fsfreeze --freeze /mnt 2>/dev/null; echo "freeze again: $?"
fsfreeze --unfreeze /mnt; echo "thaw: $?"
umount /mnt
e2fsck -f -y /dev/ram0 >/dev/null 2>&1; echo "e2fsck: $?"
GUEST
)
echo "$said"
expect 'a frozen ext4 outlives its last mount, frozen' 'freeze: 0
umount: 0
mounts left: 0
e2fsck: 8
mount again: 0
freeze again: 1
thaw: 0
e2fsck: 0' "$said"
