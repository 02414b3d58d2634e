# Configure and build one preset of CMakePresets.json.

PRESETS="dev release asan tsan clang fuzz"

# The compiler needs about 1.3 GB for a file that includes CAF; more jobs than memory only swap.
build_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 1300000) }' /proc/meminfo)
  [ "$memory" -lt 1 ] && memory=1
  echo $((cores < memory ? cores : memory))
}

# build_preset PRESET [TARGET...]
build_preset() {
  local preset=$1
  shift
  case " $PRESETS " in
    *" $preset "*) ;;
    *) die "there is no preset '$preset'; one of: $PRESETS" ;;
  esac
  step "configure-$preset" cmake --preset "$preset" || return 1
  STEP_TAIL=40 step "build-$preset" cmake --build "build/$preset" -j "$(build_jobs)" ${1:+--target "$@"}
}

run_build() {
  begin_steps
  setup_packages
  build_preset "${1:-dev}" || exit 1
  end_steps
  say "built: build/${1:-dev}"
}
