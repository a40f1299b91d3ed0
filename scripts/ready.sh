# Sourced by the run_*.sh scripts: prepare the machine once, configure once, build what changed.
#
#   titan_ready PRESET TARGET...
#
# Set-up runs again only when its scripts, the LibTorch in use or the driver's presence change. In a tree that this user
# cannot write (an image, another user's) programs run as they were built.
titan_setup_key() {
  { cat scripts/setup.sh scripts/fetch_* scripts/wheels.txt scripts/sources.txt scripts/packages.txt
    echo "${TITAN_LIBTORCH:-}" "${TITAN_CACHE:-}" "${HOME:-}" "$PWD"
    if [[ -e /proc/driver/nvidia/version ]]; then echo driver; fi
  } | sha256sum | cut -d' ' -f1
}

titan_ready() {
  local preset=$1 stamp=build/.setup options=() key
  shift
  if ! mkdir -p build 2>/dev/null || [[ ! -w build ]]; then
    if [[ $* == programs && -x build/$preset/bin/train && -x build/$preset/bin/titan ]]; then return; fi
    echo "[build] error: $(id -un) cannot write $PWD/build, where this is to be built: clone into a folder of your own" >&2
    return 2
  fi
  if [[ " $* " == *" all "* ]]; then stamp=build/.setup-tests options=(--with-tests); fi
  key=$(titan_setup_key)
  # A folder of packages that was swept away (caches are) is fetched again.
  if [[ -e build/.packages && ! -e $(<build/.packages)/environment.sh ]]; then rm -f build/.packages "$stamp"; fi
  if [[ ! -e $stamp || $(<"$stamp") != "$key" ]]; then
    scripts/setup.sh "${options[@]}" || return $?
    mkdir -p build && echo "$key" >"$stamp"
  fi
  # Where packages were fetched without root, builds use those.
  if [[ -e build/.packages ]]; then source "$(<build/.packages)/environment.sh"; fi
  # The compiler's cache must not fail a build where the home cannot be written.
  if [[ -n ${TITAN_CACHE:-} && -z ${CCACHE_DIR:-}${XDG_CACHE_HOME:-} ]]; then
    if ! mkdir -p "${HOME:-/nonexistent}/.cache" 2>/dev/null || [[ ! -w $HOME/.cache ]]; then export CCACHE_DIR=$TITAN_CACHE/ccache; fi
  fi
  local folder=build/$preset
  if [[ ! -e $folder/build.ninja ]]; then
    echo "[build] configuring $folder"
    mkdir -p "$folder"
    cmake --preset "$preset" >"$folder/configure.log" 2>&1 || { tail -n 30 "$folder/configure.log" >&2; return 1; }
    grep -E '^-- (LibTorch|CUDA library)' "$folder/configure.log" | sed 's/^-- /[build] /'
  fi
  # A no-op must stay silent and quick; a real build shows its progress.
  if [[ -t 1 ]]; then ninja -C "$folder" --quiet "$@"; else ninja -C "$folder" "$@" | titan_build_lines; fi
}

# In a pipe: one line for every tenth of a real build, and whatever a compiler says.
titan_build_lines() {
  local options=()
  # Debian's awk reads a pipe by the block: the lines of half an hour would come at its end.
  if [[ $(readlink -f "$(command -v awk)") == *mawk ]]; then options=(-W interactive); fi
  awk "${options[@]}" '
    /^ninja: (Entering directory|no work to do)/ || /^-- / || /^\[[0-9]+\/[0-9]+\] Re-/ { next }
    /^\[[0-9]+\/[0-9]+\] / {
      split(substr($1, 2), at, /[\/\]]/)
      tenth = int(10 * at[1] / at[2])
      if (at[2] > 10 && tenth != last) { print "[build] " at[1] " of " at[2]; fflush() }
      last = tenth
      next
    }
    { print; fflush() }'
}
