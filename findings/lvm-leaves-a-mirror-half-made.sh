#!/bin/bash
# LVM2 2.03.16 (Debian lvm2 2.03.16-2), Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dmsetup 1.02.185.
#
# A new logical volume whose device-mapper name another device has already cannot be activated. A linear one is then taken back: lvcreate
# fails (status 5), and the volume group is as it was. A raid1 one is not: lvcreate fails with the same status, meets an internal error
# of its own ("Removing still active LV") while it cleans up, and leaves the volume and its four parts in the configuration, with the space
# that they take. The next lvcreate of that name fails, also when the name is free in device-mapper. One would expect both kinds to be
# taken back, or the name to be looked up before anything is recorded. breakoff looks the name up before it plans a volume
# (plan::refusal::Devices::NameTaken) and clears what a failed command has made.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 \
    'lvm2=2.03.16-2 libaio1=0.3.113-4 libblkid1=2.38.1-5+deb12u3 libbsd0=0.11.7-2 libcap2=1:2.66-4+deb12u3+b1
     libdevmapper-event1.02.1=2:1.02.185-2 libedit2=3.1-20221030-2 libgcrypt20=1.10.1-3+deb12u1 libgpg-error0=1.46-1 liblz4-1=1.9.4-1
     liblzma5=5.4.1-1+deb12u2 libmd0=1.0.4-2 libsystemd0=252.39-1~deb12u2 libtinfo6=6.4-4 libzstd1=1.5.4+dfsg2-5' 'dm-mirror dm-raid' <<'GUEST'
rm -rf /etc/lvm; mkdir -p /etc/lvm /run/lock/lvm
settings='scan=["/dev/mapper"] use_devicesfile=0 external_device_info_source="none" obtain_device_list_from_udev=0'
lvm() { verb=$1; shift; /usr/sbin/lvm "$verb" --config "devices { $settings } activation { udev_sync=0 udev_rules=0 }" "$@"; }
quiet() { lvm "$@" 2>/dev/null; }
for n in 0 1; do dmsetup create disk$n --table "0 262144 linear /dev/ram$n 0"; done; dmsetup mknodes
quiet pvcreate -qq -y /dev/mapper/disk0 /dev/mapper/disk1; quiet vgcreate -qq vg /dev/mapper/disk0 /dev/mapper/disk1
room() { quiet vgs --noheadings --units m --nosuffix -o vg_free vg | tr -d ' '; }
volumes() { quiet lvs -a --noheadings -o lv_name vg | tr -d ' []' | sort | paste -sd' '; }
# Another device with the name that the volume is going to get.
dmsetup create vg-lv --table '0 8 linear /dev/ram2 0'
empty=$(room)
quiet lvcreate -qq -y -Z n -W n -L 32m -n lv vg; echo "linear: status $?, volumes '$(volumes)', as much room as before: $([ "$(room)" = "$empty" ] && echo yes || echo no)"
lvm lvcreate -y -Z n -W n --type raid1 -m 1 -L 32m -n lv vg >/tmp/said 2>&1; echo "raid1: status $?, volumes '$(volumes)', as much room as before: $([ "$(room)" = "$empty" ] && echo yes || echo no)"
grep -o 'Internal error: [A-Za-z ]* LV\|Manual intervention' /tmp/said
dmsetup remove vg-lv
quiet lvcreate -qq -y -Z n -W n --type raid1 -m 1 -L 32m -n lv vg; echo "the name is free again: status $?, volumes '$(volumes)'"
GUEST
)
echo "$said"
expect 'a raid1 that cannot be activated stays half made, a linear volume does not' "$(cat <<'SEEN'
linear: status 5, volumes '', as much room as before: yes
raid1: status 5, volumes 'lv lv_rimage_0 lv_rimage_1 lv_rmeta_0 lv_rmeta_1', as much room as before: no
Internal error: Removing still active LV
Manual intervention
the name is free again: status 5, volumes 'lv lv_rimage_0 lv_rimage_1 lv_rmeta_0 lv_rmeta_1'
SEEN
)" "$said"
