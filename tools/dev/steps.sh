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

# begin_steps: the times of what follows go to build/logs/steps.tsv (name, outcome, seconds)
begin_steps() {
  steps_begun=$EPOCHREALTIME
  mkdir -p "$LOGS"
  : >"$LOGS/steps.tsv"
}
end_steps() { say "took $(since "$steps_begun"); the time of each step: $LOGS/steps.tsv"; }

# show_progress LOG BEGUN: tells how far a step is until stdin ends: on a terminal each second, in
# place; otherwise a line a minute. Its exit code says whether it has written a line.
show_progress() {
  local log=$1 begun=$2 wait=60 last wrote=1
  [ -t 2 ] && wait=1
  while
    read -rt $wait
    [ $? -gt 128 ]
  do
    last=$(tail -c 4000 "$log" 2>/dev/null | tr -d '\r' | tr -c '[:print:]\n' '?' | grep . | tail -n 1)
    if [ -t 2 ]; then
      last="$(since "$begun"): $last"
      printf '\e7%s\e[K\e8' "${last:0:70}" >&2
    else
      wrote=0
      printf '\n   %s: %s' "$(since "$begun")" "${last:0:100}" >&2
    fi
  done
  [ -t 2 ] && printf '\e[K' >&2
  return $wrote
}

# run_logged NAME COMMAND...: runs COMMAND with its output in build/logs/NAME.log, telling how far it
# is. Leaves how long it took in `run_seconds`; returns the exit code of COMMAND.
run_logged() {
  local name=$1 begun=$EPOCHREALTIME status=0 end_of_step watcher
  shift
  mkdir -p "$LOGS"
  : >"$LOGS/$name.log"
  printf '%s' "${BOLD}--${PLAIN} $name ... " >&2
  exec {end_of_step}> >(show_progress "$LOGS/$name.log" "$begun")
  watcher=$!
  (
    exec {end_of_step}>&-
    "$@"
  ) >>"$LOGS/$name.log" 2>&1 </dev/null || status=$?
  exec {end_of_step}>&-
  wait "$watcher" 2>/dev/null && printf '\n   ' >&2
  run_seconds=$(since "$begun")
  printf '%s\t%s\t%s\n' "$name" "$status" "${run_seconds% s}" >>"$LOGS/steps.tsv"
  return $status
}

# run_failed NAME: says so, with the end of the log
run_failed() {
  failed_steps+=("$1")
  say "${RED}failed${PLAIN} ($run_seconds), log: $LOGS/$1.log"
  tail -n "${STEP_TAIL:-15}" "$LOGS/$1.log" | sed 's/^/   | /' >&2
}

# step NAME COMMAND...: run_logged, and how it ended.
step() {
  local status=0
  run_logged "$@" || status=$?
  if [ $status = 0 ]; then say "${GREEN}ok${PLAIN} ($run_seconds)"; else run_failed "$1"; fi
  return $status
}
