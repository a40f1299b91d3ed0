# Sourced by the run_*.sh scripts: prepare the machine once, configure once, build what changed.
#
#   titan_ready PRESET TARGET...
#
# Set-up runs again only when its scripts, the LibTorch in use or the driver's presence change.
titan_setup_key() {
  { cat scripts/setup.sh scripts/fetch_* scripts/wheels.txt scripts/sources.txt scripts/packages.txt
    echo "${TITAN_LIBTORCH:-}" "${TITAN_CACHE:-}" "$HOME" "$PWD"
    if [[ -e /proc/driver/nvidia/version ]]; then echo driver; fi
  } | sha256sum | cut -d' ' -f1
}

titan_ready() {
  local preset=$1 stamp=build/.setup options=() key
  shift
  if [[ " $* " == *" all "* ]]; then stamp=build/.setup-tests options=(--with-tests); fi
  key=$(titan_setup_key)
  if [[ ! -e $stamp || $(<"$stamp") != "$key" ]]; then
    scripts/setup.sh "${options[@]}" || return $?
    mkdir -p build && echo "$key" >"$stamp"
  fi
  # Where packages were fetched without root, builds use those.
  if [[ -e build/.packages ]]; then source "$(<build/.packages)/environment.sh"; fi
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
  awk '
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
