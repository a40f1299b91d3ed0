#!/usr/bin/env bash
# Packages without root: fetched by a user who has neither root nor sudo, compiled against, run with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
for program in apt-get cmake; do
  if ! command -v "$program" >/dev/null; then echo "skipped: no $program"; exit 77; fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
as_user=(env)
if [[ $(id -u) == 0 ]]; then
  chown nobody "$work"
  as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$work")
fi
cp scripts/fetch_packages.sh "$work/"  # Its user may not be let into this tree.
fetch() { (cd / && "${as_user[@]}" "$work/fetch_packages.sh" "$work/packages" "$@"); }
die() { echo "FAILED: $*"; cat "$work/out"; exit 1; }

code=0
fetch no-such-package-of-titan >"$work/out" 2>&1 || code=$?
if grep -qE 'Failed to fetch|Could not resolve|Unable to connect' "$work/out" "$work/packages/log"; then echo "skipped: no network for apt"; exit 77; fi
[[ $code == 2 ]] && grep -q "apt-get failed: E: Unable to locate package no-such-package-of-titan" "$work/out" || die "an unknown package"
[[ ! -e $work/packages/.complete ]] || die "half a folder passes for a whole one"

fetch libxxhash-dev libc6-dev >"$work/out" 2>&1 || die "fetching"
grep -q "neither root nor sudo" "$work/out" || die "nothing was said"
root=$work/packages/root
[[ -e $root/usr/include/xxhash.h && -e $root/usr/include/stdio.h ]] || die "headers are missing"
[[ -z $(find "$root" -xtype l -name 'libxxhash*') ]] || die "links that lead nowhere"
[[ ! -e $work/packages/run/libc.so.6 ]] || die "another C library would be mixed in"
stamp=$(stat -c %Y.%i "$root")
fetch libxxhash-dev libc6-dev >"$work/out" 2>&1 || die "a second time"
[[ $(stat -c %Y.%i "$root") == "$stamp" ]] || die "fetched twice"

# This machine's compiler, the folder's headers and libraries, this machine's C library.
sed -i '/COMPILER/d' "$work/packages/toolchain.cmake"
mkdir "$work/project"
cat >"$work/project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(hash LANGUAGES C)
find_library(xxhash xxhash REQUIRED)
find_path(header xxhash.h REQUIRED)
message(STATUS "found ${xxhash} ${header}")
add_executable(hash hash.c)
target_link_libraries(hash ${xxhash})
CMAKE
cat >"$work/project/hash.c" <<'C'
#include <stdio.h>
#include <xxhash.h>
int main(void) { return printf("%d\n", XXH64("titan", 5, 0) == XXH64("titan", 5, 0)) != 2; }
C
(
  source "$work/packages/environment.sh"
  cmake -S "$work/project" -B "$work/build" && cmake --build "$work/build"
) >"$work/out" 2>&1 || die "building with the toolchain"
grep -q "found $root" "$work/out" || die "the machine's own library was taken"
[[ $("$work/build/hash") == 1 ]] || die "running"
echo "packages without root: fetched, compiled, run"
