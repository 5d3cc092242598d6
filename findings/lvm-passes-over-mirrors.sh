#!/bin/bash
# LVM2 2.03.16 (Debian lvm2 2.03.16-2), Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-mirror 1.14, dmsetup 1.02.185.
#
# LVM takes every device with the device-mapper target "mirror" for a leg of a mirror of its own, whoever made it, and passes over it
# (ignore_lvm_mirrors, on by default). A physical volume on a linear device whose table is swapped for a mirror, under an active volume
# group, is gone for every LVM command from then on, and its group with it; the logical volume in use goes on all the same. With a linear
# table again it is back. One would expect LVM to know its own mirrors by their UUIDs, which begin with LVM-.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'lvm2=2.03.16-2 libaio1=0.3.113-4 libblkid1=2.38.1-5+deb12u3 libbsd0=0.11.7-2 libcap2=1:2.66-4+deb12u3+b1
     libdevmapper-event1.02.1=2:1.02.185-2 libedit2=3.1-20221030-2 libgcrypt20=1.10.1-3+deb12u1 libgpg-error0=1.46-1 liblz4-1=1.9.4-1
     liblzma5=5.4.1-1+deb12u2 libmd0=1.0.4-2 libsystemd0=252.39-1~deb12u2 libtinfo6=6.4-4 libzstd1=1.5.4+dfsg2-5' 'dm-mirror' <<'GUEST'
rm -rf /etc/lvm; mkdir -p /etc/lvm /run/lock/lvm
settings='scan=["/dev/mapper"] use_devicesfile=0 external_device_info_source="none" obtain_device_list_from_udev=0'
lvm() { verb=$1; shift; /usr/sbin/lvm "$verb" --config "devices { $settings } activation { udev_sync=0 udev_rules=0 }" "$@" 2>/dev/null; }
look() { echo "$1: pvs shows $(lvm pvs --noheadings -o pv_name | grep -c /dev/mapper/disk), vgs $(lvm vgs --noheadings -o vg_name | grep -c vg)"; }
swap() { dmsetup reload disk --table "$1"; dmsetup suspend disk; dmsetup resume disk; }
one='0 524288 linear /dev/ram0 0'
dmsetup create disk --table "$one"; dmsetup mknodes
lvm pvcreate -qq -y /dev/mapper/disk; lvm vgcreate -qq vg /dev/mapper/disk; lvm lvcreate -qq -y -Z n -W n -L 64m -n lv vg; dmsetup mknodes
look 'a linear device'
swap '0 524288 mirror core 2 1024 nosync 2 /dev/ram0 0 /dev/ram1 0 1 handle_errors'
look 'a mirror'
lvm lvcreate -qq -y -Z n -W n -L 64m -n other vg >/dev/null; echo "a change of its group: $?"
echo "reading the volume in use: $(dd if=/dev/mapper/vg-lv of=/dev/null bs=1M count=64 2>/dev/null; echo $?)"
settings="$settings ignore_lvm_mirrors=0"
look 'a mirror, ignore_lvm_mirrors=0'
settings=${settings% *}
swap "$one"
look 'a linear device again'
GUEST
)
echo "$said"
expect 'LVM passes over a mirror that is not its own' "$(cat <<'SEEN'
a linear device: pvs shows 1, vgs 1
a mirror: pvs shows 0, vgs 0
a change of its group: 5
reading the volume in use: 0
a mirror, ignore_lvm_mirrors=0: pvs shows 1, vgs 1
a linear device again: pvs shows 1, vgs 1
SEEN
)" "$said"
