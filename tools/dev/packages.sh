# What a fresh Debian 12 lacks. Silent and fast when everything is there.

PACKAGES=(
  g++ cmake ninja-build ccache clang clang-tidy clang-format libclang-rt-14-dev
  libcaf-dev libssl-dev libmnl-dev libseccomp-dev libmimalloc-dev libfmt-dev libcli11-dev nlohmann-json3-dev doctest-dev
  python3-dev pybind11-dev python3-pytest
  iproute2 iputils-ping tcpdump openssl python3 git ca-certificates gnuplot-nox
)
# Only the interop tests need these; without them they are skipped, and say so.
INTEROP_PACKAGES=(
  strongswan-swanctl charon-systemd libcharon-extra-plugins
  libstrongswan-extra-plugins libstrongswan-standard-plugins
)

missing_packages() {
  local installed
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Abbrev}\n' "$@" 2>/dev/null |
    awk '$2 == "ii" { print $1 }')
  local package
  for package in "$@"; do
    grep -qxF -e "$package" <<<"$installed" || printf '%s ' "$package"
  done
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  local options=(-y --no-install-recommends -o Dpkg::Use-Pty=0)
  # An index that is fresh enough needs no update; a package it does not have asks for one.
  apt-get install "${options[@]}" "$@" && return 0
  apt-get update && apt-get install "${options[@]}" "$@"
}

# The interop tests start charon themselves; Debian would also start one of its own.
install_interop_packages() {
  install_packages "$@" || return 1
  [ -d /run/systemd/system ] || return 0
  local service
  for service in strongswan openiked; do systemctl disable --now "$service.service" 2>/dev/null || true; done
}

setup_packages() {
  command -v dpkg-query >/dev/null || die "this is not Debian; see tools/dev/packages.sh for what is needed"
  local needed interop
  needed=$(missing_packages "${PACKAGES[@]}")
  interop=$(missing_packages "${INTEROP_PACKAGES[@]}")
  [ -z "$needed$interop" ] && return 0
  if [ "$(id -u)" != 0 ]; then
    [ -z "$needed" ] && return 0
    die "as root: apt-get install --no-install-recommends $needed"
  fi
  if [ -n "$needed" ]; then
    # shellcheck disable=SC2086
    step setup install_packages $needed || exit 1
  fi
  if [ -n "$interop" ]; then
    # shellcheck disable=SC2086
    step setup-interop install_interop_packages $interop || say "   the interop tests will be skipped"
    failed_steps=()
  fi
}
