#!/bin/sh
# Makes the root file system of cellnet's image in a folder: dist/, Node, nft, a shell, and the
# libraries that these need. No package manager, no npm. The Dockerfile beside it uses it, and
# without Docker:
#
#     sh docs/examples/image-root.sh dist "$(command -v node)" /tmp/root
#     tar -C /tmp/root -c . | podman import --change 'ENTRYPOINT ["/usr/bin/cellnetd"]' - cellnet:0.2.0
#
# Needs, on this machine, what it copies: nftables, busybox-static, coreutils; and strip (binutils).
set -eu

[ $# -eq 3 ] || { echo "usage: image-root.sh DIST NODE ROOT" >&2; exit 2; }
dist=$1 node=$2 root=$3
[ -e "$dist/package.json" ] || { echo "image-root.sh: '$dist' is no dist/: run npm run build" >&2; exit 2; }

mkdir -p "$root/bin" "$root/usr/bin" "$root/usr/sbin" "$root/etc" "$root/opt" "$root/tmp" "$root/root" \
    "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/var"
chmod 1777 "$root/tmp"
ln -sfn ../run "$root/var/run"

# Copies a program with its libraries, each to the path where the dynamic linker looks for it.
put() {
    cp -L "$1" "$2"
    ldd "$1" | grep -o '/[^ )]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
}
put "$node" "$root/usr/bin/node"
# Symbols for a debugger are a seventh of it.
strip "$root/usr/bin/node"
put "$(command -v nft)" "$root/usr/sbin/nft"
# By it the DaemonSet makes its /proc/sys writable.
put "$(command -v mount)" "$root/bin/mount"
# busybox's own env has no -S, which the agent's first line needs.
put /usr/bin/env "$root/usr/bin/env"
cp -L /bin/busybox "$root/bin/busybox"
for applet in sh cat ls sleep ps kill; do ln -sfn busybox "$root/bin/$applet"; done

printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

# Source maps are for developers. The code caches stay: they are of this very Node.
cp -R "$dist" "$root/opt/cellnet"
rm -rf "$root/opt/cellnet/share"
find "$root/opt/cellnet" -name '*.map' -delete
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) arch='*' ;;
esac
find "$root/opt/cellnet/lib/native" -name '*.node' ! -name "*-$arch.node" -delete
ln -sfn /opt/cellnet/bin/cnictl /opt/cellnet/bin/cellnetd "$root/usr/bin/"
