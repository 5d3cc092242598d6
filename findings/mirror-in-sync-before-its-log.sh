#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-mirror 1.14 with a log of type `disk`, dmsetup 1.02.185.
#
# `dmsetup status` counts a region of a mirror as in sync before the dirty region log on the disk says so: the kernel raises the count,
# then writes the log. With a log whose writes take half a second the status is 4/4 while the disk still has 3 of 4 regions clean, and the
# fourth follows. One would expect the count to be what a crash leaves. A tool that takes the legs apart, or copies the log, as soon as
# the status is complete finds regions that are in sync and not noted; a machine that loses power there copies them again.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 '' 'dm-mirror dm-delay' <<'GUEST'
# The log lies on a disk that takes half a second for each write: header in sector 0, one bit for each region from byte 1024 on
# (7 is three clean regions, 15 all four).
dmsetup create log --table '0 2048 delay /dev/ram2 0 0 /dev/ram2 0 500'; dmsetup mknodes
clean() { blockdev --flushbufs /dev/ram2; dd if=/dev/ram2 bs=512 skip=2 count=1 2>/dev/null | od -An -tu1 -N1 | tr -d ' '; }
ratio() { dmsetup status m | cut -d' ' -f7; }
dmsetup create m --table '0 8192 mirror disk 2 /dev/mapper/log 2048 2 /dev/ram0 0 /dev/ram1 0 1 handle_errors'
for i in $(seq 400); do [ "$(ratio)" = 4/4 ] && break; usleep 20000; done
echo "status $(ratio): clean on the disk $(clean)"
sleep 2
echo "status $(ratio): clean on the disk $(clean)"
GUEST
)
echo "$said"
expect 'a region counts as in sync before the log says so' 'status 4/4: clean on the disk 7
status 4/4: clean on the disk 15' "$said"
