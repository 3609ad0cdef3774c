#!/usr/bin/env bash
# A real S3 server for the fault suite: Ceph's object gateway, from Debian's packages, on 127.0.0.1.
# Nothing is installed; the packages are unpacked into DIR, and all objects are in memory.
#
#   AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... ceph_rgw.sh up DIR [PORT]     the last line is the endpoint
#   ceph_rgw.sh down DIR
set -euo pipefail
action=$1 dir=$(mkdir -p "$2" && cd "$2" && pwd) port=${3:-5558}
packages=$dir/packages root=$dir/root state=$dir/state

stop() {
    for file in "$state"/run/*.pid; do
        [ -e "$file" ] && kill "$(cat "$file")" 2>/dev/null || true
        rm -f "$file"
    done
}

try_for() { # seconds, then a command
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || { echo "no answer from: $*" >&2; return 1; }
        sleep 0.3
    done
}

stop
[ "$action" = down ] && exit 0

if [ ! -x "$root/usr/bin/radosgw" ]; then
    command -v apt-get >/dev/null || { echo "apt-get is needed to fetch Ceph" >&2; exit 1; }
    mkdir -p "$packages/partial" "$root"
    apt-get install --download-only --no-install-recommends -y -q -o "Dir::Cache::archives=$packages" \
        radosgw ceph-mon ceph-osd ceph-common >"$dir/apt.log" 2>&1 || { tail -1 "$dir/apt.log" >&2; exit 1; }
    for package in "$packages"/*.deb; do dpkg -x "$package" "$root"; done
fi
libraries=$root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
export PATH=$root/usr/bin:$PATH PYTHONPATH=$root/usr/lib/python3/dist-packages
export LD_LIBRARY_PATH=$libraries:$libraries/ceph:${libraries/\/usr/}

rm -rf "$state"
mkdir -p "$state"/{mon,osd,rgw,run,log}
conf=$state/ceph.conf monitor=127.0.0.1:$((port + 10000)) fsid=$(cat /proc/sys/kernel/random/uuid)
cat >"$conf" <<CONF
[global]
fsid = $fsid
mon host = $monitor
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = $state/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
run dir = $state/run
pid file = $state/run/\$name.pid
admin socket = $state/run/\$name.asok
log file = $state/log/\$name.log
crash dir = $state/log
plugin dir = $libraries/ceph
osd class dir = $libraries/rados-classes
erasure code dir = $libraries/ceph/erasure-code
[mon]
mon data = $state/mon
mon initial members = a
[osd]
osd data = $state/osd
osd objectstore = memstore
memstore device bytes = 1073741824
[client]
rgw data = $state/rgw
rgw frontends = beast endpoint=127.0.0.1:$port
CONF
{
    ceph-authtool --create-keyring "$state/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$state/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
    ceph-authtool "$state/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
    monmaptool --create --add a "$monitor" --fsid "$fsid" "$state/monmap"
    ceph-mon -c "$conf" --mkfs -i a --monmap "$state/monmap" --keyring "$state/keyring"
    ceph-mon -c "$conf" -i a
    # its own interpreter: the packages hold modules for the system's Python
    ceph=(timeout 20 /usr/bin/python3 "$root/usr/bin/ceph" -c "$conf")
    try_for 60 "${ceph[@]}" mon stat
    "${ceph[@]}" osd create
    "${ceph[@]}" osd crush add osd.0 1.0 root=default host=localhost
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
    ceph-osd -c "$conf" -i 0
    timeout 120 radosgw-admin -c "$conf" user create --uid=test --display-name=test \
        --access-key="$AWS_ACCESS_KEY_ID" --secret-key="$AWS_SECRET_ACCESS_KEY"
    radosgw -c "$conf" -n client.admin
    try_for 60 curl -s -o /dev/null "http://127.0.0.1:$port"
} >"$dir/up.log" 2>&1 || { tail -3 "$dir/up.log" >&2; stop; exit 1; }
echo "http://127.0.0.1:$port"
