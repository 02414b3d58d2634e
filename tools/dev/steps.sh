# Steps: one line when a step begins and ends, its output in build/logs/, a pointer when it fails.

LOGS=build/logs
failed_steps=()

if [ -t 2 ]; then BOLD=$'\e[1m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'; else BOLD= RED= GREEN= PLAIN=; fi

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${RED}dev: $*${PLAIN}"
  exit 1
}

# seconds since $1 (a value of EPOCHREALTIME), with one digit
since() {
  local begun=${1/[.,]/} now=${EPOCHREALTIME/[.,]/}
  local tenths=$(((now - begun) / 100000))
  printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# step NAME COMMAND...: runs COMMAND with its output in build/logs/NAME.log. On a terminal the last
# line of the log is shown while it runs.
step() {
  local name=$1 begun=$EPOCHREALTIME status=0
  shift
  mkdir -p "$LOGS"
  local log=$LOGS/$name.log
  printf '%s' "${BOLD}--${PLAIN} $name ... " >&2
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ $status = 0 ]; then
    say "${GREEN}ok${PLAIN} ($(since "$begun"))"
  else
    failed_steps+=("$name")
    say "${RED}failed${PLAIN} ($(since "$begun")), log: $log"
    tail -n "${STEP_TAIL:-15}" "$log" | sed 's/^/   | /' >&2
  fi
  return $status
}
