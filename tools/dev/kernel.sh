# The kernel data plane, in kernels of their own.

# Only these tests need it; without it they are skipped, and say so.
KERNEL_PACKAGES=(user-mode-linux kmod iptables openiked systemd)

# libreswan's package and strongSwan's exclude each other: it is unpacked, and what it needs installed.
LIBRESWAN_PACKAGES=(libldns3 libevent-pthreads-2.1-7 libevent-2.1-7 libunbound8 libcurl3-nss libnss3-tools)

unpack_libreswan() {
  local here=$PWD/build/peers
  rm -rf "$here" && mkdir -p "$here/package" || return 1
  # apt reads no archive as another user where that user cannot go.
  (cd "$here/package" && apt-get download -q -o APT::Sandbox::User=root libreswan) &&
    dpkg -x "$here"/package/libreswan_*.deb "$here/libreswan"
}

setup_libreswan() {
  [ "$(id -u)" = 0 ] || return 0
  local needed
  needed=$(missing_packages "${LIBRESWAN_PACKAGES[@]}")
  # shellcheck disable=SC2086
  [ -z "$needed" ] || step setup-libreswan install_packages $needed || true
  [ -x build/peers/libreswan/usr/libexec/ipsec/pluto ] || step unpack-libreswan unpack_libreswan ||
    say "   what needs libreswan will be skipped"
  failed_steps=()
}

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
  setup_libreswan
  build_preset dev imagod imagoctl test_kernel_if || exit 1
  exec tests/lab/kernel_test.py --build build/dev "$@"
}

# The part of it that the everyday tier takes: the contract suite, systemd's unit and a chosen few cases.
test_kernel() {
  setup_kernel_packages
  local status=0 log=$LOGS/kernel.log
  local begun=$EPOCHREALTIME
  mkdir -p "$LOGS"
  printf '%s' "${BOLD}--${PLAIN} kernel ... " >&2
  tests/lab/kernel_test.py --build build/dev --few >"$log" 2>&1 </dev/null || status=$?
  case $status in
    0)
      say "${GREEN}ok${PLAIN} ($(since "$begun"))"
      grep -E 'skipped:' "$log" >&2
      ;;
    77) say "skipped: $(tail -n 1 "$log")" ;;
    *)
      failed_steps+=("kernel")
      say "${RED}failed${PLAIN} ($(since "$begun")), log: $log"
      tail -n 25 "$log" | sed 's/^/   | /' >&2
      ;;
  esac
  count $status
}
