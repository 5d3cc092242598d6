#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-mirror 1.14 with a log of type `disk`, dmsetup 1.02.185.
#
# A disk dies that carries a leg of a dm mirror and the mirror's dirty region log. One would expect the status to show both, as both are
# written for each write. It shows the failed log alone, with the leg as alive ("AA"), for as long as one waits: the kernel writes the log
# before any leg and, when that fails, sends nothing to the legs. Only when a table with another log is live does the same held write
# reach the dead leg and show it ("DA"), and the write is held a second time. A tool that repairs what the status shows holds writers
# for two repairs.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 '' 'dm-mirror' <<'GUEST'
dmsetup create a --table '0 65536 linear /dev/ram0 0'
dmsetup create b --table '0 65536 linear /dev/ram1 0'; dmsetup mknodes
dmsetup create log --table '0 2048 linear /dev/mapper/a 32768'; dmsetup mknodes
dmsetup create m --table '0 8192 mirror disk 2 /dev/mapper/log 2048 2 /dev/mapper/a 0 /dev/mapper/b 0 1 handle_errors'; dmsetup mknodes
for i in $(seq 400); do dmsetup status m | grep -q 4/4 && break; usleep 20000; done
swap() { dmsetup suspend --noflush --nolockfs $1; dmsetup load $1 --table "$2"; dmsetup resume $1; }
swap a '0 65536 error'
# The regions in sync, the letters of the legs, the log with its letter, and whether the write has ended.
state() { [ -e /tmp/written ] && write=done || write=held; echo "$1: $(dmsetup status m | cut -d' ' -f7,9-), write $write"; }
(dd if=/dev/ram2 of=/dev/mapper/m bs=4096 count=1 oflag=direct 2>/dev/null; touch /tmp/written) &
sleep 5
state 'the disk has died'
swap m '0 8192 mirror core 2 2048 nosync 2 /dev/mapper/a 0 /dev/mapper/b 0 1 handle_errors'
sleep 3
state 'with another log'
swap m '0 8192 linear /dev/mapper/b 0'
sleep 1
[ -e /tmp/written ] && echo 'without the leg: write done'
GUEST
)
echo "$said"
expect 'a log that has failed keeps the failure of a leg on its disk from showing' 'the disk has died: 4/4 AA 3 disk 254:2 D, write held
with another log: 3/4 DA 1 core, write held
without the leg: write done' "$said"
