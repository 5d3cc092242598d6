#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-mirror 1.14 with a log of type `disk` and `handle_errors`, dmsetup
# 1.02.185.
#
# The disk of the dirty region log of an equal mirror dies while nothing is written, and the mirror is suspended and resumed, as it is for each
# change of its table. One would expect a write to be held, as it is when the log fails in use, or to go to both legs, which are alive
# ("AA"). The kernel reads the log again with the resume; as it cannot, no region counts as in sync, and the write goes to the first leg
# alone and is acknowledged. A tool that now takes the log out and says `nosync`, because the legs were equal, has lost the write on the
# second leg. With `nosync` behind the log from the start all regions count as in sync after such a resume, and the write is held.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 '' 'dm-mirror dm-delay' <<'GUEST'
dmsetup create a --table '0 65536 linear /dev/ram0 0'
dmsetup create b --table '0 65536 delay /dev/ram1 0 0 /dev/ram1 0 300'
dmsetup create log --table '0 2048 linear /dev/ram2 0'; dmsetup mknodes
mirror() { echo "0 65536 mirror disk $1 2 /dev/mapper/a 0 /dev/mapper/b 0 1 handle_errors"; }
swap() { dmsetup suspend --noflush --nolockfs $1; dmsetup load $1 --table "$2"; dmsetup resume $1; }
state() { [ -e /tmp/written ] && write=done || write=held; echo "$1: $(dmsetup status m | cut -d' ' -f9-), write $write"; }
for words in '2 /dev/mapper/log 2048' '3 /dev/mapper/log 2048 nosync'; do
    rm -f /tmp/written
    swap log '0 2048 linear /dev/ram2 0'
    # Made equal by word: the log is written with all regions in sync.
    dmsetup create m --table "$(mirror '3 /dev/mapper/log 2048 nosync')"; dmsetup mknodes
    dmsetup status m | cut -d' ' -f7
    dmsetup suspend --noflush --nolockfs m
    dmsetup load m --table "$(mirror "$words")"
    swap log '0 2048 error'
    dmsetup resume m
    (dd if=/dev/mapper/a of=/dev/mapper/m bs=4096 seek=8000 count=1 oflag=direct 2>/dev/null; touch /tmp/written) &
    sleep 2
    state "${words##* }"
    swap m '0 65536 linear /dev/mapper/a 0'
    sleep 1
    dmsetup remove m
done
GUEST
)
echo "$said"
expect 'a mirror that is resumed without its log writes to one leg' '32/32
2048: AA 3 disk 254:2 D, write done
32/32
nosync: AA 3 disk 254:2 D, write held' "$said"
