#!/usr/bin/env bash
# Prepares this machine for `npm run demo`, `npm test` or `npm run bench`: Debian packages, npm
# packages, dist/. Usage: setup.sh demo|test|bench. Prints what it installs and why. Ends quickly
# when nothing is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

purpose=${1:-}
say() { printf 'setup: %s\n' "$*" >&2; }
refuse() {
  say "$1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}

# package | a file that it installs | its purpose
demo_packages='
etcd-server|/usr/bin/etcd|the store of ranges and addresses
etcd-client|/usr/bin/etcdctl|to look into that store
openvswitch-switch|/usr/sbin/ovs-vswitchd|the bridge that pods are attached to
iproute2|/sbin/ip|network namespaces that play the nodes and pods
iputils-ping|/bin/ping|ping between pods
iputils-arping|/usr/bin/arping|to ask who has an address
tcpdump|/usr/bin/tcpdump|to see gratuitous ARP on the wire
ethtool|/sbin/ethtool|to read the offload settings of links'
test_packages="$demo_packages
iperf3|/usr/bin/iperf3|TCP and UDP transfers between pods
dnsmasq-base|/usr/sbin/dnsmasq|the DHCP server of pods whose address comes from one
containernetworking-plugins|/usr/lib/cni/bridge|the stock CNI plugins that ours is tested with and measured against
podman|/usr/bin/podman|a real container runtime that speaks CNI
runc|/usr/sbin/runc|what podman and containerd start containers with
containerd|/usr/bin/containerd|the runtime that most Kubernetes nodes have
iptables|/usr/sbin/iptables|the rules that the stock plugins portmap and firewall make, and kube-proxy
nftables|/usr/sbin/nft|the rule by which a node masquerades what it forwards to pods
nginx-light|/usr/sbin/nginx|the example that keeps an upstream in step with pods
chromium|/usr/bin/chromium|the browser that opens the page of cnictl serve
fonts-dejavu-core|/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf|the letters of that page in the test's pictures
busybox-static|/bin/busybox|the only file of the test container's image
python3|/usr/bin/python3|raw sockets and service managers of tests
openssl|/usr/bin/openssl|certificates for etcd over TLS
lintian|/usr/bin/lintian|what Debian asks of a package, for ours
kubernetes-client|/usr/bin/kubectl|kubectl, whose plugin cnictl is
man-db|/usr/bin/man|what shows the manual pages, and finds their faults
zsh|/usr/bin/zsh|a shell with completion of cnictl
fish|/usr/bin/fish|another one
faketime|/usr/bin/faketime|a wall clock that is set while the agent runs
prometheus|/usr/bin/promtool|to test the alert rules; no server of it is started
gcc|/usr/bin/cc|the launcher that hands the plugin's calls to the agent
libc6-dev|/usr/include/stdio.h|what the benchmark's runner is compiled against
musl-tools|/usr/bin/musl-gcc|what that launcher is compiled with: it starts in a third of the time"

case $purpose in
demo) packages=$demo_packages ;;
test | bench) packages=$test_packages ;;
*) refuse "usage: setup.sh demo|test|bench" ;;
esac

node_major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
if [[ -z $node_major || $node_major -lt 20 ]]; then
  refuse "Node 20 or later is needed; found: $(node --version 2>/dev/null || echo none)." \
    "https://nodejs.org/en/download has packages for Debian."
fi
if [[ $EUID -ne 0 ]]; then
  refuse "root is needed: the $purpose makes network namespaces and runs Open vSwitch." \
    "Run it as root on a machine you can spare, e.g. sudo npm run $purpose, or in a privileged container." \
    "Without root these still work: npm run ok (checks and unit tests), npm run build."
fi

missing=()
while IFS='|' read -r package file reason; do
  [[ -z $package || -e $file || -e /usr$file ]] && continue
  [[ ${#missing[@]} -eq 0 ]] && say "this machine lacks what the $purpose needs:"
  say "  $package: $reason"
  missing+=("$package")
done <<<"$packages"

# The distribution starts etcd, Open vSwitch and containerd as services on installation. The tests
# start their own, so this policy-rc.d prevents it.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  kept=$policy.before-cellnet
  restore() {
    rm -f "$policy"
    if [[ -e $kept || -L $kept ]]; then mv "$kept" "$policy"; fi
  }
  trap restore EXIT
  trap 'exit 1' INT TERM HUP
  if [[ -e $policy || -L $policy ]]; then mv "$policy" "$kept"; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  apt=(apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3)
  if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    say "apt-get failed; its last lines are above."
    exit 1
  fi
  rm -f "$log"
)

if [[ ${#missing[@]} -gt 0 ]]; then
  if ! command -v apt-get >/dev/null || ! [[ -e /etc/debian_version ]]; then
    refuse "this is not Debian, so nothing was installed. Install the packages above (or what your distribution calls them)," \
      "with their programs in PATH, and run it again: Debian 12 is what it is tested on."
  fi
  say "installing with apt-get, no service is started: ${missing[*]}"
  install_packages "${missing[@]}"
  if [[ -d /run/systemd/system && " ${missing[*]} " =~ \ (etcd-server|openvswitch-switch|containerd|prometheus)\  ]]; then
    say "Debian starts their services at the next boot; 'systemctl disable' them if this machine does not need them."
  fi
fi

# npm writes node_modules/.package-lock.json last. It is older than the lock file exactly when npm
# ci is due.
due() {
  local installed=$1/node_modules/.package-lock.json
  ! [[ -e $installed ]] || [[ $1/package-lock.json -nt $installed ]]
}
install_npm() {
  npm ci --prefix "$1" --no-audit --no-fund --loglevel=error "${@:2}" >&2 </dev/null || return 1
  touch "$1/node_modules/.package-lock.json"
}

# Runs beside the other npm ci, which waits for the network too. The runner says which of its jobs
# lacks this Node, and fails.
newest=test/newest-node
newest_process=
if [[ $purpose == test ]] && due $newest; then
  say "npm ci in $newest: the newest Node, for a part of the tests"
  install_npm $newest --ignore-scripts &
  newest_process=$!
fi

if due .; then
  # npm ci first empties node_modules, even when it is a link to another folder.
  if [[ -L node_modules ]]; then
    say "node_modules is a link, and npm ci would empty what it leads to: remove the link, or run npm ci there"
    exit 1
  fi
  say "npm ci: the packages that package-lock.json names"
  install_npm .
fi

sources=(cni ipam cnictl build.mjs warm-up.mjs package.json package-lock.json)
# A dist/ that was built without a compiler has no launcher.
launcher_lacks() { [[ ! -e dist/libexec/cellnet ]] && command -v cc >/dev/null; }
if ! [[ -e dist/package.json ]] || [[ -n $(find "${sources[@]}" -newer dist/package.json -print -quit) ]] || launcher_lacks; then
  say "npm run build: the programs in dist/"
  node build.mjs >&2
fi

if [[ -n $newest_process ]] && ! wait "$newest_process"; then
  say "npm ci in $newest failed: the tests on the newest Node will fail"
fi
