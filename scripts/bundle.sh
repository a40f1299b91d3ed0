#!/usr/bin/env bash
# Pack the release build into one folder that runs on another machine beside that machine's LibTorch.
#
#   scripts/bundle.sh [--tests] [--no-build] [FOLDER]     default build/bundle/titan; FOLDER.tar.gz is written beside it
#
# In it: bin/, lib/ (ours and what Debian packages brought), train_configs/, and `run`:
#   LD_LIBRARY_PATH=/path/to/torch/lib titan/run train --config dit_shapes
# --tests takes the programs with [cuda] test cases along, --no-build packs what is built. LibTorch and its NVIDIA libraries stay
# out: the archive and the working tree, which travel together to a GPU (docs/benchmarks.md), hold 64 MiB at most.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly limit=$((64 << 20))
fail() { echo "[bundle] error: $*" >&2; exit 2; }

tests=false build=true
while [[ ${1:-} == -* ]]; do
  case $1 in --tests) tests=true ;; --no-build) build=false ;; *) fail "unknown option: $1 (known: --tests, --no-build)" ;; esac
  shift
done
folder=${1:-build/bundle/titan}
if [[ $build == true ]]; then
  source scripts/ready.sh
  titan_ready release programs
  if [[ $tests == true ]]; then titan_ready release all; fi
fi
rm -rf "$folder" "$folder.tar.gz"
mkdir -p "$folder"
cmake --install build/release --prefix "$folder" --strip >build/bundle-install.log
rm -rf "$folder/include" "$folder/lib/cmake"
if [[ -d $folder/share/titan/train_configs ]]; then mv "$folder/share/titan/train_configs" "$folder/"; fi
rm -rf "$folder/share"
if [[ $tests == true ]]; then
  mkdir -p "$folder/bin"
  found=0
  for program in build/release/bin/*_test; do
    # Few tests need a GPU; all of them would be 38 MiB. The words may stand in other text, so the program is asked, too.
    grep -qaF '[cuda]' "$program" || continue
    cases=$("$program" --list-tests '[cuda]' || true)  # its exit code is their number
    grep -qE '^[1-9][0-9]* matching' <<<"$cases" || continue
    strip -o "$folder/bin/$(basename "$program")" "$program"
    found=$((found + 1))
  done
  [[ $found -gt 0 ]] || fail "no program in build/release/bin has [cuda] test cases"
fi

# What the loader finds in the system's folders comes along, except glibc (it belongs to the kernel's machine) and
# what LibTorch brings itself. libstdc++ is a fallback only: a newer one over there must win.
mkdir -p "$folder/lib/fallback"
find "$folder/bin" "$folder/lib" -type f -print0 2>/dev/null | xargs -0 ldd 2>/dev/null |
  awk '$2 == "=>" && $3 ~ "^(/usr)?/lib/|/packages/run/" {print $3}' | sort -u | while read -r library; do
    case $(basename "$library") in
      libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libresolv.so.* | libutil.so.* | libmvec.so.* | ld-linux* | libgomp.so.* | libcuda.so.*) ;;
      libstdc++.so.* | libgcc_s.so.*) cp -L "$library" "$folder/lib/fallback/" ;;
      *) cp -L "$library" "$folder/lib/" ;;
    esac
  done

# The tables of ICU (which libarchive wants through libxml2) alone are 31 MB: they travel packed, `run` unpacks them once.
find "$folder/lib" -maxdepth 1 -type f -size +16M -exec gzip -9 {} +

cat >"$folder/run" <<'RUN'
#!/bin/sh
# Run a program of this bundle: LD_LIBRARY_PATH (or TITAN_LIBTORCH) says where LibTorch 2.11.0 lies.
#   LD_LIBRARY_PATH=/path/to/torch/lib ./run train --help
here=$(cd "$(dirname "$0")" && pwd)
program=${1:?usage: run PROGRAM [ARGUMENTS]; programs: $(ls "$here/bin" | tr '\n' ' ')}
shift
path=${LD_LIBRARY_PATH:-}
if [ -n "${TITAN_LIBTORCH:-}" ]; then path=$TITAN_LIBTORCH/lib${path:+:$path}; fi
found=
IFS=:
for folder in $path; do
  if [ -e "$folder/libtorch_cpu.so" ]; then found=$folder; fi
done
unset IFS
if [ -z "$found" ]; then
  echo "[bundle] error: no libtorch_cpu.so on LD_LIBRARY_PATH ($path)" >&2
  exit 2
fi
# The CUDA runtime that libtitan_cuda.so wants is a wheel beside LibTorch's.
for folder in "$found"/../../nvidia/*/lib; do
  if [ -d "$folder" ]; then path=$path:$folder; fi
done
for packed in "$here"/lib/*.gz; do
  if [ -e "$packed" ]; then
    gunzip -c "$packed" >"$packed.$$" && mv "$packed.$$" "${packed%.gz}" && rm -f "$packed" || exit 2
  fi
done
system=$(/sbin/ldconfig -p 2>/dev/null | awk '/libstdc\+\+\.so\.6 .*x86-64/ {print $NF; exit}')
if [ -z "$system" ] || ! grep -q @GLIBCXX@ "$system"; then path=$here/lib/fallback:$path; fi
LD_LIBRARY_PATH=$here/lib:$path exec "$here/bin/$program" "$@"
RUN
newest=$(find "$folder/bin" "$folder/lib" -maxdepth 1 -type f ! -name "*.gz" -exec objdump -T {} + 2>/dev/null |
  grep -oE 'GLIBCXX_3\.4\.[0-9]+' | sort -uV | tail -n1)
sed -i "s/@GLIBCXX@/${newest:-GLIBCXX_3.4.30}/" "$folder/run"
chmod +x "$folder/run"

tar -C "$(dirname "$folder")" -czf "$folder.tar.gz" "$(basename "$folder")"
size=$(stat -c %s "$folder.tar.gz")
# What git knows, or would ignore no more; outside a clone the archive is measured alone.
tree=$({ git ls-files -z --cached --others --exclude-standard 2>/dev/null || true; } |
  xargs -0r stat -c %s 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum }')
[[ $((size + tree)) -le $limit ]] ||
  fail "$folder.tar.gz holds $((size >> 20)) MiB and the working tree $((tree >> 20)), together more than $((limit >> 20))"
echo "[bundle] $folder.tar.gz: $((size >> 20)) MiB, with the working tree $(((size + tree) >> 20)) of $((limit >> 20));" \
  "$(find "$folder/bin" -type f | wc -l) programs, $(find "$folder/lib" -type f | wc -l) libraries"
