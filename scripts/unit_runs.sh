#!/bin/sh
# Starts packaging/gantry.service under a systemd of its own and looks whether it serves, jails, reloads and stops.
# Usage: unit_runs.sh ROOT, a root in which /opt/gantry is installed, as `docker_runs.mjs --keep` leaves one. It is changed. Takes root.
# That this machine cannot start another systemd is said and is no failure; what a systemd that runs then shows is.
set -eu
root=$1
here=$(cd "$(dirname "$0")/.." && pwd)
group=gantry-unit-$$

# A group of processes of its own, below which the other systemd makes those of its services.
if [ -d /sys/fs/cgroup/systemd ]; then
  groups=/sys/fs/cgroup/systemd mounted='-t cgroup -o none,name=systemd'
elif [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  groups=/sys/fs/cgroup mounted='-t cgroup2'
else
  groups=
fi
if [ -z "$groups" ] || ! mkdir "$groups/$group" 2>/dev/null; then
  echo "NOT SHOWN: no cgroup can be made here, so no systemd can be started"
  exit 0
fi
leave() {
  # What was killed goes a moment later.
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "$groups/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [ -e "$groups/$group" ] || return 0
    sleep 0.2
  done
}
trap leave EXIT

cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd >/dev/null 2>&1'
ln -sf ../local/bin/node "$root/usr/bin/node"
mkdir -p "$root/etc/gantry"
# What differs from the defaults: less of this machine.
printf 'warm_runners: 1\nlog_file: {path: /var/log/gantry/gantry.log}\n' >"$root/etc/gantry/gantry.yaml"
cp "$here/packaging/gantry.service" "$root/etc/systemd/system/"
: >"$root/etc/machine-id"
# What would touch the kernel that both share, or wait for hardware.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-sysctl.service systemd-modules-load.service systemd-random-seed.service systemd-binfmt.service \
  systemd-remount-fs.service systemd-timesyncd.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
  sys-kernel-tracing.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
printf '[Unit]\nWants=gantry.service proof.service\n' >"$root/etc/systemd/system/proof.target"
cat >"$root/etc/systemd/system/proof.service" <<'UNIT'
[Unit]
After=gantry.service
[Service]
Type=oneshot
StandardOutput=file:/proof.out
StandardError=file:/proof.out
ExecStart=/bin/sh /proof.sh
UNIT
cat >"$root/proof.sh" <<'PROOF'
echo begun
export GANTRY_DATA=/var/lib/gantry
cd /opt/gantry
tries=0
until node packaging/healthcheck.mjs 2>/dev/null || [ $tries -ge 150 ]; do tries=$((tries + 1)); sleep 0.2; done
echo 'export default (x) => x + 1;' >/tmp/program.js
node bin/gantry.mjs run /tmp/program.js --input 41
pid=$(systemctl show -p MainPID --value gantry)
grep -E '^(Uid|NoNewPrivs|CapBnd|Seccomp):' "/proc/$pid/status"
mv /var/log/gantry/gantry.log /var/log/gantry/moved.log
systemctl reload gantry
tries=0
until [ -e /var/log/gantry/gantry.log ] || [ $tries -ge 50 ]; do tries=$((tries + 1)); sleep 0.2; done
[ "$pid" = "$(systemctl show -p MainPID --value gantry)" ] && [ -e /var/log/gantry/gantry.log ] && echo 'reloaded in place'
systemctl stop gantry
systemctl show -p Result -p ExecMainStatus gantry
grep -c 'told to stop' /var/log/gantry/gantry.log
echo ended
PROOF
cat >"$root/boot.sh" <<BOOT
set -e
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ "$groups" = /sys/fs/cgroup ]; then
  mount $mounted cgroup "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount $mounted cgroup "$root/sys/fs/cgroup/systemd"
fi
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
cd "$root"
mkdir -p .old && pivot_root . .old && umount -l /.old
exec env -i container=lxc PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
  /lib/systemd/systemd --system --unit=proof.target --log-target=console --log-level=warning --show-status=no
BOOT

sh -c "echo \$\$ >'$groups/$group/cgroup.procs' && exec timeout --signal=KILL 90 \
  unshare --cgroup --mount --pid --uts --ipc --net --fork --kill-child sh '$root/boot.sh'" >"$root/boot.out" 2>&1 </dev/null &
systemd=$!
tries=0
until grep -q '^ended' "$root/proof.out" 2>/dev/null || ! kill -0 $systemd 2>/dev/null; do
  tries=$((tries + 1))
  sleep 0.5
done
# `timeout` leads a group of its own; with `unshare` in it dies systemd, and with that every process of its namespace.
kill -s KILL -- "-$systemd" 2>/dev/null || true
wait $systemd 2>/dev/null || true
if ! grep -q '^begun' "$root/proof.out" 2>/dev/null; then
  echo "NOT SHOWN: another systemd did not start here:"
  tail -5 "$root/boot.out"
  exit 0
fi
cat "$root/proof.out"
failed=0
for wanted in '^42$' '^jail  *bwrap' '^NoNewPrivs:.1$' '^CapBnd:.0000000000000000$' '^Seccomp:.2$' '^reloaded in place$' \
  '^Result=success$' '^ExecMainStatus=0$' '^1$' '^ended$'; do
  grep -q "$wanted" "$root/proof.out" || { echo "MISSING: $wanted"; failed=1; }
done
exit $failed
