#!/bin/bash
# Linux 6.1.192 (Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2), dm-mirror 1.14, dmsetup 1.02.185.
#
# A `mirror` table without the feature word handle_errors ends its first copy onto a leg that fails every write, and says that it is in
# sync and alive: the count is whole, both letters are `A`. With the word the same copy stays at nothing, and the letter is `S`. The
# word reads as if it chose what becomes of I/O after an error (and `dmsetup create` works without it); that the state of the copy is
# true only with it, one learns from a leg that is empty.
set -euo pipefail
. "$(dirname "$0")/vm.sh"

said=$(guest linux-image-6.1.0-56-cloud-amd64=6.1.192-2 '' dm-mirror <<'GUEST'
dmsetup create leg --table '0 16384 error'; dmsetup mknodes
try() { # WHAT FEATURES
    dmsetup create m --table "0 16384 mirror core 1 1024 2 /dev/ram0 0 /dev/mapper/leg 0 $2"
    sleep 3
    echo "$1: $(dmsetup status m | awk '{ print $7, $9 }')"
    dmsetup remove m
}
try 'without the word'
try 'with it' '1 handle_errors'
GUEST
)
echo "$said"
expect 'a mirror without handle_errors says that a copy is whole of which every write has failed' 'without the word: 16/16 AA
with it: 0/16 AS' "$said"
