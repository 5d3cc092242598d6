# Waits until no copy runs any more, as scripts do it: by counting the lines of vxtask list.
set -eu
tries=0
while [ "$(vxtask list | grep -v TASK | wc -l)" -gt 0 ]; do
    sleep 1
    tries=$((tries + 1))
    [ $tries -lt 120 ] || exit 3
done
vxprint -g mydg -q -ht | egrep '^v|^pl' | awk '{print $4$5}' | grep -v ENABLEDACTIVE | sort | uniq -c | awk '{print $1, $2}'
