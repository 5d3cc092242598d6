# Prints "VOLUME PLEX" for each complete snapshot plex, found by vxprint -F.
set -eu
DG=mydg
for vol in $(vxprint -g $DG -v -n); do
    vxprint -g $DG -p -F '%vol %name %state' | while read -r of plex state; do
        if [ "$of" = "$vol" ] && [ "$state" = SNAPDONE ]; then echo "$vol $plex"; fi
    done
done
