# The everyday tier, and with --full everything. All steps run; what failed is said at the end.

passed=0 failed=0 skipped=0

count() { # outcome of something that counts as one test
  case $1 in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)) ;;
  esac
}

# add_counts FILE KIND [EXIT_CODE]: sums what the test programs themselves counted
add_counts() {
  local p f s
  read -r p f s < <(python3 tools/dev/count_tests.py "$@")
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1})) skipped=$((skipped + ${s:-0}))
}

# ctest_preset PRESET [CTEST OPTION...]
ctest_preset() {
  local preset=$1 status=0
  shift
  local report=$PWD/$LOGS/ctest-$preset.xml
  rm -f "$report"
  STEP_TAIL=40 step "ctest-$preset" ctest --test-dir "build/$preset" --output-on-failure --timeout 600 \
    --test-output-size-passed 4000000 --test-output-size-failed 4000000 \
    --output-junit "$report" -j "$(build_jobs)" "$@" || status=$?
  add_counts "$report" junit $status
}

# A script passes with exit code 0, is skipped with 77 (its last line is the reason), fails with any
# other. It finds the build in IMAGO_BUILD_DIR. TAP lines or unittest's summary are counted if it
# prints them.
run_script() { # SCRIPT [SUFFIX OF ITS LOG'S NAME]
  local script=$1 name status=0
  name=$(basename "${script%.*}")${2:-}
  local log=$LOGS/$name.log
  run_logged "$name" timeout --kill-after=20 600 "$script" || status=$?
  case $status in
    0) say "${GREEN}ok${PLAIN} ($run_seconds)" ;;
    77) say "skipped: $(tail -n 1 "$log")" ;;
    *) STEP_TAIL=25 run_failed "$name" ;;
  esac
  grep -E '^(not )?ok .*# SKIP' "$log" | sed 's/^/   /' >&2
  add_counts "$log" script $status
}

test_scripts() {
  export IMAGO_BUILD_DIR=$PWD/build/dev IMAGO_SOURCE_DIR=$PWD
  local script
  for script in tests/scripts/* tests/interop/*; do
    # What is not executable, or begins with "lib", is there for the others.
    [ -f "$script" ] && [ -x "$script" ] && [[ $(basename "$script") != lib* ]] || continue
    run_script "$script"
  done
}

# The daemon itself under a sanitizer, driven by the scripts that start it. Whatever it reports fails
# the step, also where a script does not look at how the daemon ended.
test_sanitized_daemon() { # PRESET
  local preset=$1 reports=$PWD/$LOGS/reports-$1 script
  rm -rf "$reports"
  mkdir -p "$reports"
  export IMAGO_BUILD_DIR=$PWD/build/$preset IMAGO_SOURCE_DIR=$PWD
  local -x ASAN_OPTIONS=$ASAN_OPTIONS:log_path=$reports/report
  local -x UBSAN_OPTIONS=$UBSAN_OPTIONS:log_path=$reports/report
  local -x TSAN_OPTIONS=$TSAN_OPTIONS:log_path=$reports/report
  for script in tests/scripts/daemon_test.py tests/interop/*_test.py; do
    run_script "$script" "-$preset"
  done
  step "reports-$preset" no_reports "$reports"
  count $?
}
no_reports() {
  local status=0 report
  for report in "$1"/*; do
    [ -f "$report" ] || continue
    cat "$report"
    status=1
  done
  return $status
}

test_demo() {
  local status=0
  [ -x build/dev/daemon/imagod ] || return 0
  step demo tools/demo --build build/dev --seconds 3 || status=$?
  count $status
}

export_sanitizer_options() {
  export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
  export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
  export TSAN_OPTIONS=suppressions=$PWD/tests/support/tsan.supp:halt_on_error=0:second_deadlock_stack=1
}

test_preset() { # PRESET [CTEST OPTION...]
  if build_preset "$1"; then
    ctest_preset "$@"
  else
    count 1
  fi
}

run_test() {
  local full=${1:-}
  case $full in '' | --full) ;; *) die "test knows only --full, not '$full'" ;; esac
  begin_steps
  setup_packages
  export_sanitizer_options
  test_preset dev
  lint_steps "$full"
  count $?
  STEP_TAIL=40 step lint-tests python3 -m unittest discover -v -s tests/lint -p '*_test.py'
  add_counts "$LOGS/lint-tests.log" script $?
  test_scripts
  test_demo
  test_kernel
  test_preset asan --label-exclude no-sanitizer
  if [ "$full" = --full ]; then
    test_sanitized_daemon asan
    test_preset tsan --label-exclude 'no-sanitizer|no-tsan'
    test_sanitized_daemon tsan
    test_preset clang
  fi
  end_steps
  [ ${#failed_steps[@]} -gt 0 ] && say "${RED}failed: ${failed_steps[*]}${PLAIN}"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ $failed = 0 ] && [ ${#failed_steps[@]} = 0 ]
}
