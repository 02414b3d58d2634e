# demo, fuzz, bench, docs

run_demo() {
  case " $* " in *" --help "* | *" -h "*) exec tools/demo --help ;; esac
  setup_packages
  case " $* " in *" --xfrm "*) setup_kernel_packages ;; esac
  build_preset release imagod imagoctl || exit 1
  exec tools/demo --build build/release "$@"
}

fuzz_one() { # TARGET SECONDS
  local target=$1 seconds=$2 name corpus
  name=$(basename "$target")
  corpus=build/fuzz/corpus/$name
  mkdir -p "$corpus" build/fuzz/crashes
  local seeds=tests/fuzz/corpus/${name#fuzz_}
  [ -d "$seeds" ] || seeds=
  "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/crashes/$name-" "$corpus" $seeds
}

run_fuzz() {
  local seconds=${1:-60} target
  [[ $seconds =~ ^[0-9]+$ ]] || die "fuzz takes a number of seconds, not '$seconds'"
  begin_steps
  setup_packages
  local targets
  step configure-fuzz cmake --preset fuzz || exit 1
  mapfile -t targets < <(ninja -C build/fuzz -t targets all | grep -oE '^fuzz_\w+: phony' | cut -d: -f1)
  [ ${#targets[@]} -gt 0 ] || die "there are no fuzz targets in tests/fuzz"
  STEP_TAIL=40 step build-fuzz cmake --build build/fuzz -j "$(build_jobs)" --target "${targets[@]}" || exit 1
  export_sanitizer_options
  for target in "${targets[@]}"; do
    STEP_TAIL=30 step "$target" fuzz_one "build/fuzz/tests/fuzz/$target" "$seconds" &&
      say "   $(awk '/stat::number_of_executed_units/ { print $2 }' "$LOGS/$target.log") inputs"
  done
  end_steps
  say "${#targets[@]} targets, ${#failed_steps[@]} with findings"
  if [ ${#failed_steps[@]} -gt 0 ]; then
    say "inputs that fail: build/fuzz/crashes/; to replay one: build/fuzz/tests/fuzz/TARGET FILE"
    exit 1
  fi
}

run_bench() {
  setup_packages
  # Programs for one purpose, with options of their own; all else is one run with one report.
  local program=
  case ${1:-} in
    engines) program=bench_handshake ;;
    explore) program=bench_explore ;;
  esac
  if [ -n "$program" ]; then
    shift
    { build_preset release "$program" || exit 1; } >&2
    exec "build/release/bench/$program" "$@"
  fi
  case " $* " in *" --help "* | *" -h "*) exec bench/run.py --help ;; esac
  # What is printed for programs stays alone on standard output.
  { build_preset release imagod imago-load null_xfrm bench_handshake bench_wire bench_log bench_hop \
    bench_kill bench_idle || exit 1; } >&2
  exec bench/run.py "$@"
}

run_explore() {
  local program=imago-explore argument
  for argument in "$@"; do [ "$argument" = --planted ] && program=imago-explore-planted; done
  # What is printed for programs stays alone on standard output.
  { setup_packages && build_preset release "$program"; } >&2 || exit 1
  exec "build/release/tools/$program" "$@"
}

run_docs() {
  step docs-links python3 tools/lint.py --only links || exit 1
  step docs-features python3 tools/count_features.py || exit 1
  mkdir -p build/docs
  local page
  for page in docs/man/*.[1-9]; do
    if command -v man >/dev/null; then
      step "docs-$(basename "$page")" man --warnings -P cat -l "$page" || exit 1
      cp "$LOGS/docs-$(basename "$page").log" "build/docs/$(basename "$page").txt"
    fi
  done
  say "documents: README.md $(ls docs/*.md 2>/dev/null | tr '\n' ' ')"
}
