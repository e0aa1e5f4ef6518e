#!/bin/sh
# Users and roles of etcd for cellnet, with no more rights than each needs. docs/operations/etcd-access.md
# tells what they protect, and what they do not.
#
#   etcd-roles.sh operator USER      for cnictl: all keys of cellnet
#   etcd-roles.sh node NODE [USER]   for agent and plugins of one node (USER: default NODE)
#   etcd-roles.sh remove NODE [USER] takes a node's user and role away
#
# etcdctl takes endpoints, certificates and root's user from ETCDCTL_ENDPOINTS, ETCDCTL_CACERT,
# ETCDCTL_CERT, ETCDCTL_KEY and ETCDCTL_USER. A new user has the password in the file that
# PASSWORD_FILE names; without it none: then it logs in by a client certificate whose common name
# is USER. CELLNET_PREFIX: the part of the keys before /v1/ (default /cellnet). To run it again
# changes nothing.
set -eu
export ETCDCTL_API=3
keys="${CELLNET_PREFIX:-/cellnet}/v1"

usage() {
  sed -n '5,7s/^# *//p' "$0" >&2
  exit 2
}

role() {
  etcdctl role get "$1" >/dev/null 2>&1 || etcdctl role add "$1"
}

# grant ROLE read|readwrite KEY: a KEY that ends with / stands for all keys below it.
grant() {
  case "$3" in
    */) etcdctl role grant-permission "$1" --prefix=true "$2" "$3" >/dev/null ;;
    *) etcdctl role grant-permission "$1" "$2" "$3" >/dev/null ;;
  esac
}

# user NAME ROLE
user() {
  if ! etcdctl user get "$1" >/dev/null 2>&1; then
    if [ -n "${PASSWORD_FILE:-}" ]; then
      etcdctl user add "$1" --interactive=false <"$PASSWORD_FILE"
    else
      etcdctl user add "$1" --no-password
    fi
  fi
  etcdctl user grant-role "$1" "$2" >/dev/null
}

[ $# -ge 2 ] || usage
command=$1
name=$2
case "$name" in
  '' | *[!A-Za-z0-9._-]*)
    echo "'$name': expected a name of letters, digits, '.', '_' and '-'" >&2
    exit 2
    ;;
esac

case "$command" in
  operator)
    role cellnet-operator
    grant cellnet-operator readwrite "$keys/"
    user "$name" cellnet-operator
    ;;
  node)
    # What all nodes share: an address is taken and released in a block, and any node may claim any
    # block or get a kept address of it, so each must be able to write all of them.
    role cellnet-node
    grant cellnet-node read "$keys/"
    grant cellnet-node readwrite "$keys/blocks/"
    grant cellnet-node readwrite "$keys/history/"
    grant cellnet-node readwrite "$keys/kept/"
    grant cellnet-node readwrite "$keys/own/"
    grant cellnet-node readwrite "$keys/usage/"
    grant cellnet-node readwrite "$keys/cluster/set-back"
    # What is this node's alone.
    own="cellnet-node-$name"
    role "$own"
    grant "$own" readwrite "$keys/nodes/$name/"
    for group in machines alive lost; do
      grant "$own" readwrite "$keys/$group/$name"
    done
    user "${3:-$name}" cellnet-node
    user "${3:-$name}" "$own"
    ;;
  remove)
    etcdctl user delete "${3:-$name}"
    etcdctl role delete "cellnet-node-$name"
    ;;
  *) usage ;;
esac
