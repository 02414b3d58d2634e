#!/bin/bash
# What `cmake --install` lays down is enough for a program of somebody else: the first example is
# built against the installed prefix with find_package(imago), and run.
set -u
build=${IMAGO_BUILD_DIR:?the build folder to install from}
source=${IMAGO_SOURCE_DIR:?the root of the repository}
if [ ! -f "$build/actors/libimago.a" ] || [ ! -f "$source/examples/embed_minimal.cpp" ]; then
  echo "libimago or examples/embed_minimal.cpp is not there to install and build"
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix

fail() {
  echo "not ok - $1"
  exit 1
}
there() { [ -e "$prefix/$1" ] || fail "$1 was not installed"; }

DESTDIR='' cmake --install "$build" --prefix "$prefix" >"$folder/install.log" || fail "cmake --install"
for path in bin/imagod bin/imagoctl share/man/man8/imagod.8 share/man/man1/imagoctl.1 \
  share/man/man5/imago.conf.5 share/bash-completion/completions/imagoctl \
  include/imago/actors/engine.hpp include/imago/kernel_if/backend.hpp; do
  there "$path"
done
echo "ok - programs, manual pages, completion and headers are installed"

! grep -rnE '#[[:space:]]*include[[:space:]]*<caf/' "$prefix/include" || fail "an installed header includes CAF"
echo "ok - no installed header shows CAF"
! grep -rnF "$source" "$prefix/lib/"*/cmake "$prefix/lib/cmake" 2>/dev/null || fail "the package names the source tree"
echo "ok - the CMake package does not name the source tree"
"$prefix/bin/imagod" --help >/dev/null || fail "the installed imagod does not run"
"$prefix/bin/imagoctl" --help >/dev/null || fail "the installed imagoctl does not run"
echo "ok - the installed programs run"

if [ -d "$build/python/imago" ]; then
  packages=$(dirname "$(find "$prefix/lib" -type d -path '*/dist-packages/imago')")
  (cd "$folder" && PYTHONPATH=$packages /usr/bin/python3 "$source/examples/scripts/plain_tunnel.py") ||
    fail "the installed Python module does not run an example"
  echo "ok - the installed Python module runs an example"
fi

mkdir "$folder/embedder"
cp "$source/examples/embed_minimal.cpp" "$folder/embedder/main.cpp"
cat >"$folder/embedder/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(embedder LANGUAGES CXX)
find_package(imago 0.1 REQUIRED)
add_executable(embedder main.cpp)
target_link_libraries(embedder PRIVATE imago::imago)
CMAKE
cmake -S "$folder/embedder" -B "$folder/embedder/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_BUILD_TYPE=Debug || fail "find_package(imago)"
cmake --build "$folder/embedder/build" || fail "building against the installed prefix"
echo "ok - the example builds against the installed prefix"
timeout 60 "$folder/embedder/build/embedder" || fail "running the embedded engine"
echo "ok - the embedded engine brings up its tunnel"
