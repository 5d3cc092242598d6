# A nightly job: a mirror that is kept in sync is broken off, backed up and brought back, copying what has changed. It mails what
# it prints, so it must print nothing.
set -eu
DG=mydg VOL=home SNAP=SNAP-home
if ! vxprint -g $DG -q -p -F '%state' | grep SNAPDONE >/dev/null; then
    vxassist -g $DG -b snapstart $VOL
    vxassist -g $DG snapwait $VOL
fi
vxassist -g $DG snapshot $VOL
e2fsck -p /dev/vx/rdsk/$DG/$SNAP >/dev/null 2>&1 || [ $? -le 1 ]
mkdir -p /mnt/night
mount /dev/vx/dsk/$DG/$SNAP /mnt/night
tar -C /mnt/night -cf /tmp/night.tar .
umount /mnt/night
vxassist -g $DG snapback $SNAP
