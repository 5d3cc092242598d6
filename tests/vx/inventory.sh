# What a collector makes of the disks and groups: which disk is whose, how much is free, what is not started.
set -eu
for dg in $(vxdg list | awk '{print $1}' | grep -v NAME); do
    vxdg list "$dg" >/dev/null && echo "group $dg imported"
    echo "free $(vxdg -g "$dg" free | grep -v OFFSET | awk '{s += $5} END {print s}')"
    echo "disks $(vxprint -q -d -g "$dg" | awk '{sum += $5} END {print sum / 2048}')"
    vxinfo -g "$dg" | grep -v Start || true
done
vxdisk -o alldgs list | grep -v DEVICE | awk '$4 != "-" {print "disk", $3, $4, $5}'
vxdisk list | awk '$5 == "online" && $6 == "invalid"' | wc -l | awk '{print ($1 > 0) ? "others" : "none"}'
