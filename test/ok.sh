#!/usr/bin/env bash
# Runs the checks that need no root, two at a time:
#
#     ok.sh         lint with types, unit tests, golden outputs, format: before each commit
#     ok.sh lint    the same lint by eslint, which has one rule more, types and format: in CI
#
# Prints one line per step with its seconds and the output of failed steps. Exits with 1 when a step
# failed. docs/decisions/0033 says why there are two linters.
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

# Runs the tests below a folder, without those below the second one.
run_tests() {
  mapfile -t files < <(find "test/$1" -name '*.test.ts' -not -path "test/${2-}/*" 2>/dev/null | sort)
  [[ ${#files[@]} -gt 0 ]] || {
    echo "no test/$1/**/*.test.ts"
    return 1
  }
  # One process runs all files: a process for each would cost more than most files take. Hooks must
  # therefore stand in suites.
  node --import tsx --test-reporter=spec --input-type=module --eval "$(printf "import './%s';" "${files[@]}")"
}

# oxlint reports the compiler's errors too (`typeCheck` in its configuration).
lint() { step oxlint oxlint -c oxlint.config.mjs --deny-warnings; }
# Any run of prettier without --cache removes the cache at its usual place.
format() {
  step prettier prettier --check --log-level warn --cache --cache-strategy content \
    --cache-location node_modules/.cache/ok-prettier .
}

begin=$SECONDS
case ${1:-ok} in
ok)
  lane_a() {
    lint
    step golden run_tests golden
    # So that both lanes take about as long.
    step cnictl run_tests unit/cnictl
    format
  }
  lane_b() { step unit run_tests unit unit/cnictl; }
  ;;
lint)
  lane_a() { step eslint eslint --max-warnings=0 .; }
  lane_b() {
    lint
    format
  }
  ;;
*)
  echo "usage: ok.sh [lint]" >&2
  exit 2
  ;;
esac
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
