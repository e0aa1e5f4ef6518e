#!/usr/bin/env bash
# The whole gate that needs no root: format, lint, types, unit tests, golden outputs. Two jobs at a time.
# Prints a line a step with its seconds, the output of those that failed, and exits 1 when any did.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
mkdir -p node_modules/.cache

step() {
  local name=$1 start=$EPOCHREALTIME status=ok
  shift
  "$@" >"$logs/$name" 2>&1 </dev/null || status=FAILED
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${start/[.,]/}) / 100000))
  printf '%-9s %-6s %3d.%d s\n' "$name" "$status" $((tenths / 10)) $((tenths % 10))
  [[ $status == ok ]] || : >"$logs/$name.failed"
}

run_tests() {
  mapfile -t files < <(find "test/$1" -name '*.test.ts' 2>/dev/null | sort)
  [[ ${#files[@]} -gt 0 ]] || {
    echo "no test/$1/**/*.test.ts"
    return 1
  }
  # In one process: each of its own costs more than most of them take (so hooks stand in suites). `npm test` runs them one by one.
  node --import tsx --test-reporter=spec --input-type=module --eval "$(printf "import './%s';" "${files[@]}")"
}

begin=$SECONDS
# The longest alone in one lane, the rest in the other.
lane_a() {
  step eslint eslint --max-warnings=0 .
  step prettier prettier --check --log-level warn .
}
lane_b() {
  step tsc tsc -p . --incremental --tsBuildInfoFile node_modules/.cache/tsc.tsbuildinfo
  step unit run_tests unit
  step golden run_tests golden
}
lane_a &
lane_b &
wait

status=0
for failed in "$logs"/*.failed; do
  [[ -e $failed ]] || continue
  log=${failed%.failed}
  printf '\n--- %s\n' "$(basename "$log")"
  cat "$log"
  status=1
done
printf '%s in %d s\n' "$([[ $status == 0 ]] && echo 'ok' || echo 'not ok')" $((SECONDS - begin))
exit $status
