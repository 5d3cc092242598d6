#!/bin/sh
# breakoff-start [now]: starts the volumes of this machine; without "now" only those whose disks are all here. The one place in which an
# initrd starts volumes. The monitor that this leaves behind goes on when the initrd is left (its name begins with "@"), until
# breakoff-monitor.service takes over.

mkdir -p /run/breakoff
[ "$1" = now ] || set -- --appeared
[ "$1" != now ] || shift
BREAKOFF_STATE_DIR=/run/breakoff/state exec /usr/bin/breakoff start --auto "$@" >/run/breakoff/initramfs.log 2>&1
