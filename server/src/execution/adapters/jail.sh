# Builds the world of one runner inside fresh user, mount, net, pid, ipc and uts namespaces, then becomes workerd.
# Called as: sh -c SCRIPT jail ROOT WORKERD SOCKETS ISOLATE DATA_BYTES ARG...
#   ROOT     an empty directory to mount the new root on
#   WORKERD  the binary                    -> /gantry/workerd
#   SOCKETS  the runner's socket directory -> /gantry/s        (the only writable place but /tmp)
#   ISOLATE  our code for workerd          -> /gantry/isolate
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 workerd=$2 sockets=$3 isolate=$4 data_bytes=$5
shift 5

mount --make-rprivate /
mount -t tmpfs -o size=1m,mode=0755,nosuid,nodev gantry "$root"
cd "$root"
mkdir -p usr gantry/s gantry/isolate proc tmp dev old
: >gantry/workerd

# Binds SOURCE read-only at TARGET. A bind of a mount that we do not own keeps the flags that are locked on it, and the
# kernel refuses a remount that leaves one out: where the short form fails, they are read back and named again.
bind_read_only() { # SOURCE TARGET
  mount -o rbind,ro,nosuid,nodev "$1" "$2" 2>/dev/null && return
  flags=
  while read -r _ _ _ _ at present _; do
    if [ "$at" = "$root/$2" ]; then flags=,$present,; fi
  done </proc/self/mountinfo
  locked=
  for flag in noexec noatime nodiratime relatime; do
    case $flags in *,$flag,*) locked=$locked,$flag ;; esac
  done
  mount -o "remount,bind,ro,nosuid,nodev$locked" "$root/$2"
}

# `mount --all` over one table was measured too: it saves ten processes and no time.
bind_read_only /usr usr
for name in lib lib64; do
  if [ -L "/$name" ]; then
    ln -s "usr/$name" "$name" # merged /usr, as on every current Debian
  elif [ -d "/$name" ]; then
    mkdir "$name"
    bind_read_only "/$name" "$name"
  fi
done
bind_read_only "$workerd" gantry/workerd
bind_read_only "$isolate" gantry/isolate
mount --bind "$sockets" gantry/s
for name in null zero random urandom; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t tmpfs -o size=16m,mode=0700,nosuid,nodev,noexec tmp tmp # tmpfs pages escape the watch on resident memory

pivot_root . old
umount -l /old
rmdir /old
# A bind remount: one of the file system itself would have to repeat its uid option, which has no meaning in here.
if mount -o remount,bind,ro,nosuid,nodev,relatime / 2>/dev/null; then ro_root=true; else ro_root=false; fi
# Whoever is answered has a parent that lives, and with it every death signal: see ANNOUNCED in jails.ts.
printf '{"event":"jail","ro_root":%s}\n' "$ro_root" >&0
read -r _ <&0

cd /gantry
ulimit -d "$((data_bytes / 1024))"
ulimit -t 120
ulimit -n 256
ulimit -c 0
exec env -i setpriv --no-new-privs --bounding-set=-all --inh-caps=-all /gantry/workerd "$@"
