#!/bin/sh
# breakoff-start [now]: starts the volumes of this machine; without "now" only if no group of it lacks a disk. The one place in which an
# initrd starts volumes. The monitor that this leaves behind goes on when the initrd is left (its name begins with "@"), until
# breakoff-monitor.service takes over.

lacks_disks() {
    /usr/bin/breakoff -q group list 2>/dev/null | while read -r _ state _ _ of _; do
        if [ "$state" = imported ] && [ "$of" = of ]; then
            echo yes
        fi
    done
}

[ "$1" = now ] || [ -z "$(lacks_disks)" ] || exit 1
mkdir -p /run/breakoff
BREAKOFF_STATE_DIR=/run/breakoff/state exec /usr/bin/breakoff start --auto >/run/breakoff/initramfs.log 2>&1
