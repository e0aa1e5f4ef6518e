#!/usr/bin/env bash
# Runs the checks that need no root: format, lint, types, unit tests and golden outputs, two at a
# time. Prints one line per step with its seconds and the output of failed steps. Exits with 1 when
# a step failed.
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
  # One process runs all files: a process for each would cost more than most files take. Hooks must
  # therefore stand in suites.
  node --import tsx --test-reporter=spec --input-type=module --eval "$(printf "import './%s';" "${files[@]}")"
}

begin=$SECONDS
# eslint takes the longest and has a lane of its own. The rest runs in the other lane.
lane_a() {
  step eslint eslint --max-warnings=0 .
}
lane_b() {
  step tsc tsc -p . --incremental --tsBuildInfoFile node_modules/.cache/tsc.tsbuildinfo
  step unit run_tests unit
  step golden run_tests golden
  step prettier prettier --check --log-level warn --cache --cache-strategy content .
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
