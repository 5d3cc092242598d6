# The procedure of the administrator's guides, step by step: a mirror is attached, broken off, checked, backed up, and let go.
set -eu
vxassist -g mydg snapstart home
vxassist -g mydg snapwait home
sync
vxassist -g mydg snapshot home snaphome
e2fsck -fy /dev/vx/rdsk/mydg/snaphome >/dev/null 2>&1
mkdir -p /mnt/snap
mount -t ext4 -o ro /dev/vx/dsk/mydg/snaphome /mnt/snap
tar -C /mnt/snap -cf /tmp/home.tar .
umount /mnt/snap
vxassist -g mydg snapclear snaphome
vxedit -g mydg -rf rm snaphome
