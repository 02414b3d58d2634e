# The kernel data plane, in kernels of their own.

# Only these tests need it; without it they are skipped, and say so.
KERNEL_PACKAGES=(user-mode-linux kmod iptables)

setup_kernel_packages() {
  local needed
  needed=$(missing_packages "${KERNEL_PACKAGES[@]}" "${INTEROP_PACKAGES[@]}")
  [ -z "$needed" ] || [ "$(id -u)" != 0 ] && return 0
  # shellcheck disable=SC2086
  step setup-kernel install_interop_packages $needed || say "   what needs them will be skipped"
  failed_steps=()
}

run_kernel_test() {
  case " $* " in *" --help "* | *" -h "*) exec tests/lab/kernel_test.py --help ;; esac
  setup_packages
  setup_kernel_packages
  build_preset dev imagod imagoctl test_kernel_if || exit 1
  exec tests/lab/kernel_test.py --build build/dev "$@"
}

# The part of it that the everyday tier takes: one boot and the contract suite.
test_kernel() {
  setup_kernel_packages
  local status=0 log=$LOGS/kernel.log
  local begun=$EPOCHREALTIME
  mkdir -p "$LOGS"
  printf '%s' "${BOLD}--${PLAIN} kernel ... " >&2
  tests/lab/kernel_test.py --build build/dev --contract-only >"$log" 2>&1 </dev/null || status=$?
  case $status in
    0) say "${GREEN}ok${PLAIN} ($(since "$begun"))" ;;
    77) say "skipped: $(tail -n 1 "$log")" ;;
    *)
      failed_steps+=("kernel")
      say "${RED}failed${PLAIN} ($(since "$begun")), log: $log"
      tail -n 25 "$log" | sed 's/^/   | /' >&2
      ;;
  esac
  count $status
}
