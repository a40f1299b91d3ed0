#!/usr/bin/env bash
# Set-up against a tiny fake index: first run, second run, resume, no network, wrong hash, full disk, own LibTorch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=$(mktemp -d)
cleanup() {
  [[ -z ${server:-} ]] || kill "$server" 2>/dev/null || true
  mountpoint -q "$work/small" && umount "$work/small"
  rm -rf "$work"
}
trap cleanup EXIT
unset TITAN_WHEELS PIP_EXTRA_INDEX_URL
export PIP_FIND_LINKS= TITAN_WHEEL_LIST=$work/wheels.txt TITAN_SOURCE_LIST=$work/sources.txt
checks=0

expect() {  # expect CODE TEXT: run `fetch`, look at its exit code and for one line with TEXT
  local code=0
  fetch >"$work/out" 2>&1 || code=$?
  if [[ $code != "$1" ]] || ! grep -qF -- "$2" "$work/out" || grep -q Traceback "$work/out"; then
    echo "FAILED: expected exit $1 and '$2', got exit $code and:"
    cat "$work/out"
    exit 1
  fi
  checks=$((checks + 1))
  echo "ok: $(grep -F -- "$2" "$work/out" | head -n1)"
}
fetch() { python3 scripts/fetch_libtorch.py --cache "$cache" $options; }
options=

python3 - "$work" <<'PY'
import hashlib, io, os, pathlib, sys, tarfile, zipfile
work = pathlib.Path(sys.argv[1])
def wheel(name, version, members):
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    folder = work / "simple" / name
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in members.items():
            archive.writestr(path, body)
    body = (folder / file).read_bytes()
    (folder / "index.html").write_text(f'<a href="{file}#sha256=0">{file}</a>')
    return f"{name} {version} {len(body)} {hashlib.sha256(body).hexdigest()} {file}\n"
torch = wheel("torch", "2.11.0", {"torch/lib/libtorch_cpu.so": os.urandom(200_000), "torch/include/a.h": b"// a\n",
                                  "torch/nn/python.py": b"not for us\n"})
runtime = wheel("nvidia-cuda-runtime", "13.0.96", {"nvidia/cu13/lib/libcudart.so.13": os.urandom(1000)})
nccl = wheel("nvidia-nccl-cu13", "2.28.9", {"nvidia/nccl/include/nccl.h": b"// nccl\n"})
cublas = wheel("nvidia-cublas", "13.1.0.3", {"nvidia/cu13/lib/libcublas.so.13": os.urandom(1000)})
(work / "wheels.txt").write_text(f"cpu {torch}cpu {runtime}cuda {nccl}cuda {cublas}")
nanoarrow = work / "simple/nanoarrow"
nanoarrow.mkdir()
with tarfile.open(nanoarrow / "nanoarrow-0.1.tar.gz", "w:gz") as archive:
    for path in ("arrow-nanoarrow/src/nanoarrow/ipc/decoder.c", "arrow-nanoarrow/src/nanoarrow/ipc/decoder_test.cc",
                 "flatcc-0a/src/runtime/verifier.c"):
        archive.addfile(tarfile.TarInfo(f"nanoarrow-0.1/subprojects/{path}"), io.BytesIO())
body = (nanoarrow / "nanoarrow-0.1.tar.gz").read_bytes()
(nanoarrow / "index.html").write_text('<a href="nanoarrow-0.1.tar.gz">nanoarrow-0.1.tar.gz</a>')
(work / "sources.txt").write_text(
    f"source nanoarrow 0.1 {len(body)} {hashlib.sha256(body).hexdigest()} nanoarrow-0.1.tar.gz\n")
zeros = wheel("zeros", "1.0", {"torch/lib/zeros": bytes(20_000_000)}).replace("zeros", "torch", 1)
(work / "zeros.txt").write_text(f"cpu {zeros}")
(work / "simple/zeros").rename(work / "zeros")
PY

export PIP_INDEX_URL=file://$work/simple
cache=$work/a
expect 0 "LibTorch is ready in $cache/libtorch-2.11.0"
root=$cache/libtorch-2.11.0
[[ -e $root/torch/lib/libtorch_cpu.so && -e $root/nvidia/cu13/lib/libcudart.so.13 ]]
[[ ! -e $root/torch/nn && ! -e $root/nvidia/nccl && -z $(ls -A "$cache/downloads") ]]
before=$(stat -c %Y.%i "$root/torch/lib/libtorch_cpu.so")
PIP_INDEX_URL=http://127.0.0.1:9 expect 0 "LibTorch is ready"  # Nothing to do: no network needed.
[[ $(stat -c %Y.%i "$root/torch/lib/libtorch_cpu.so") == "$before" ]]
options=--with-cuda expect 0 "unpacking nvidia-nccl-cu13"
[[ -e $root/nvidia/nccl/include/nccl.h && -e $root/nvidia/cu13/lib/libcublas.so.13 && -e $root/nvidia/cu13/lib/libcudart.so.13 ]]

# A connection that breaks half-way, then a run that goes on where it stopped.
python3 tests/checks/flaky_index.py "$work/simple" "$work/log" >"$work/port" &
server=$!
for _ in $(seq 100); do [[ -s $work/port ]] && break; sleep 0.1; done
cache=$work/b
PIP_INDEX_URL=http://127.0.0.1:$(<"$work/port") expect 2 "cannot download torch-2.11.0-py3-none-any.whl"
half=$(stat -c %s "$cache"/downloads/torch*.part)
[[ $half -gt 0 ]]
PIP_INDEX_URL=http://127.0.0.1:$(<"$work/port") expect 2 "already here"  # torch resumed; now the next one breaks
PIP_INDEX_URL=http://127.0.0.1:$(<"$work/port") expect 0 "LibTorch is ready"
grep -qx "torch-2.11.0-py3-none-any.whl from $half" "$work/log"

# Two clones at once share one download.
cache=$work/c
(fetch >"$work/one" 2>&1) & first=$!
expect 0 "LibTorch is ready"
wait "$first"
[[ $(cat "$work/one" "$work/out" | grep -c "downloading torch") == 1 ]]

cache=$work/d
PIP_INDEX_URL=http://127.0.0.1:9 expect 2 "cannot look up torch"
sed -E '/torch/s/[0-9a-f]{64}/'"$(printf '0%.0s' {1..64})/" "$work/wheels.txt" >"$work/wrong.txt"
TITAN_WHEEL_LIST=$work/wrong.txt expect 2 "has the wrong SHA-256"
[[ -z $(ls -A "$cache/downloads") && ! -e $cache/libtorch-2.11.0/torch ]]
TITAN_WHEELS=$work/simple/torch PIP_INDEX_URL=file://$work/simple expect 0 "LibTorch is ready"
[[ -e $work/simple/torch/torch-2.11.0-py3-none-any.whl ]]

# A full disk: seen beforehand, and met on the way.
mkdir "$work/small"
if mount -t tmpfs -o size=128k tmpfs "$work/small" 2>/dev/null; then
  cache=$work/small/cache
  expect 2 "not enough disk space for LibTorch"
  TITAN_WHEELS=$work/zeros TITAN_WHEEL_LIST=$work/zeros.txt expect 2 "no space left in"
  [[ ! -e $cache/libtorch-2.11.0/torch && ! -e $cache/libtorch-2.11.0/.complete ]]
  umount "$work/small"
else
  echo "skipped: a full disk (cannot mount a small tmpfs here)"
fi

# A LibTorch of one's own.
mkdir -p "$work/own/lib" "$work/own/include/torch/headeronly"
printf '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n' \
  >"$work/own/include/torch/headeronly/version.h"
touch "$work/own/lib/libtorch_cpu.so"
fetch() { scripts/setup.sh --no-packages; }
TITAN_LIBTORCH=$work/own TITAN_CACHE=$work/e expect 0 "TITAN_LIBTORCH=$work/own"
[[ ! -e $work/e/libtorch-2.11.0 ]]

# Libraries in source: fetched once beside it, whole or not at all.
[[ -e $work/e/nanoarrow-0.1/nanoarrow/ipc/decoder.c && -e $work/e/nanoarrow-0.1/flatcc/runtime/verifier.c ]]
[[ ! -e $work/e/nanoarrow-0.1/nanoarrow/ipc/decoder_test.cc && -z $(ls -A "$work/e/downloads") ]]
PIP_INDEX_URL=http://127.0.0.1:9 TITAN_LIBTORCH=$work/own TITAN_CACHE=$work/e expect 0 "nanoarrow 0.1: $work/e/nanoarrow-0.1"
PIP_INDEX_URL=http://127.0.0.1:9 TITAN_LIBTORCH=$work/own TITAN_CACHE=$work/f expect 2 "cannot look up nanoarrow"
sed -E 's/[0-9a-f]{64}/'"$(printf '0%.0s' {1..64})/" "$work/sources.txt" >"$work/wrong_sources.txt"
TITAN_SOURCE_LIST=$work/wrong_sources.txt TITAN_LIBTORCH=$work/own TITAN_CACHE=$work/f expect 2 "has the wrong SHA-256"
[[ ! -e $work/f/nanoarrow-0.1 ]]

sed -i 's/MINOR 11/MINOR 10/' "$work/own/include/torch/headeronly/version.h"
TITAN_LIBTORCH=$work/own expect 2 "does not hold LibTorch 2.11.0"
fetch() { scripts/setup.sh --frobnicate; }
expect 2 "unknown option: --frobnicate"
echo "all $checks checks passed"
