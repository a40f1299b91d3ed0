#!/usr/bin/env bash
# Put Debian packages into a folder of one's own, for a machine without root: nothing of the system is changed.
#
#   scripts/fetch_packages.sh FOLDER PACKAGE...
#
# In FOLDER afterwards: root/ (the packages and all they need, unpacked: a sysroot with its own compiler), run/ (those of
# its libraries that this machine lacks), toolchain.cmake and environment.sh, which scripts/ready.sh reads for every build.
# apt's own sources and keys are used, with lists and archives of our own. Exit code 2: something outside must change.
set -euo pipefail
fail() { echo "[setup] error: $*" >&2; exit 2; }
[[ $# -ge 2 ]] || fail "usage: scripts/fetch_packages.sh FOLDER PACKAGE..."
for program in apt-get dpkg-deb tar; do
  command -v "$program" >/dev/null || fail "without root packages are fetched by apt-get, and $program is not here"
done
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
exec 9>"$folder/.lock"
flock 9
root=$folder/root run=$folder/run apt=$folder/apt log=$folder/log
libraries=$root/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu

# Standard input into a file, which keeps its time where nothing changes: builds look at it.
write_new() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

# What a build reads; looked at every time, since this script may be newer than the packages.
write_settings() {
  write_new "$folder/toolchain.cmake" <<CMAKE
# Written by scripts/fetch_packages.sh: compile and link against the packages in root/, run with the libraries in run/.
set(CMAKE_SYSROOT "$root")
set(CMAKE_C_COMPILER "$root/usr/bin/gcc")
set(CMAKE_CXX_COMPILER "$root/usr/bin/g++")
set(CMAKE_CUDA_HOST_COMPILER "$root/usr/bin/g++")
set(CMAKE_CUDA_FLAGS_INIT "-Xcompiler=--sysroot=$root")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_BUILD_RPATH "$run")
# The older kind of run path also serves the libraries that our libraries need.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--disable-new-dtags")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-Wl,--disable-new-dtags")
CMAKE
  write_new "$folder/environment.sh" <<SHELL
# Written by scripts/fetch_packages.sh: what a build needs to see of root/. This machine's own programs come first.
export PATH="\$PATH:$root/usr/bin"
export LD_LIBRARY_PATH="$run\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export CMAKE_TOOLCHAIN_FILE="$folder/toolchain.cmake"
export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$libraries/pkgconfig:$root/usr/share/pkgconfig"
if [[ ! -e /etc/ssl/certs/ca-certificates.crt ]]; then
  export CURL_CA_BUNDLE="\${CURL_CA_BUNDLE:-$folder/certificates.crt}" SSL_CERT_FILE="\${SSL_CERT_FILE:-$folder/certificates.crt}"
fi
if [[ ! -x /usr/bin/git ]]; then export GIT_EXEC_PATH="$root/usr/lib/git-core" GIT_TEMPLATE_DIR="$root/usr/share/git-core/templates"; fi
SHELL
}

key=$(printf '%s\n' "$folder" "$@" | sha256sum | cut -d' ' -f1)
if [[ -e $folder/.complete && $(<"$folder/.complete") == "$key" ]]; then
  write_settings
  echo "[setup] system packages: in $folder"
  exit
fi
rm -rf "$folder/.complete" "$folder/root" "$folder/run"

echo "[setup] neither root nor sudo is at hand: fetching $# packages and what they need into $folder"
free=$(df --output=avail -B1 "$folder" | tail -n1)
((free > 1500000000)) || fail "not enough disk space in $folder (needs 1.5 GB); set TITAN_CACHE to a folder on a larger disk"

# An empty list of what is installed: the sysroot is to be whole, whatever this machine has.
mkdir -p "$apt"/{lists,archives}/partial
: >"$apt/status"
options=(-o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt"
  -o Dir::Cache::archives="$apt/archives" -o Dir::Log="$apt" -o Debug::NoLocking=1 -o APT::Sandbox::User=
  -o Acquire::Languages=none -o Acquire::Retries=3)
if ! { apt-get "${options[@]}" update &&
  apt-get "${options[@]}" install -y --download-only --no-install-recommends "$@"; } >"$log" 2>&1; then
  # Lists that could not be fetched, from which apt's own error follows, come first.
  said=$({ grep -m1 'Failed to fetch' "$log" || true; grep -m1 '^E:' "$log" || tail -n1 "$log"; } | uniq | paste -sd ';' | sed 's,;E:,; E:,')
  fail "apt-get failed: $said (whole output in $log)"
fi

# Debian's folders are merged (bin is usr/bin): packages that still say /lib go the same way.
mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$run"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
count=0
for package in "$apt"/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$root" ||
    fail "cannot unpack $package into $root"
  count=$((count + 1))
done
rm -rf "$apt"

# A link to /usr/lib/... means the sysroot's.
find "$root" -type l -lname '/*' -printf '%p\t%l\n' | while IFS=$'\t' read -r link target; do
  if [[ -e $root$target ]]; then ln -sfn "$root$target" "$link"; fi
done

# Programs run with this machine's own C library, whose parts must not be mixed; from here comes only what it lacks.
known=$({ /sbin/ldconfig -p 2>/dev/null || true; } | awk '/=>/ {print $1}' | sort -u)
for library in "$libraries"/*.so "$libraries"/*.so.*; do
  name=${library##*/}
  # Without a number it is a library only where it is a file of its own (libbfd-2.40-system.so), and no linker's script.
  if [[ $name == *.so ]] && { [[ -L $library ]] || ! head -c 4 "$library" | grep -q ELF; }; then continue; fi
  case $name in libc.so.* | ld-linux* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | libmvec.so.*) continue ;; esac
  grep -qxF "$name" <<<"$known" || ln -s "$library" "$run/$name"
done
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$folder/certificates.crt" 2>/dev/null || true

write_settings
echo "$key" >"$folder/.complete"
echo "[setup] system packages: $count in $folder, $(ls "$run" | wc -l) libraries that this machine lacks"
