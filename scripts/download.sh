#!/usr/bin/env bash
# Fetch data and weights that the configs name: scripts/download.sh NAME DIR (--list says which; docs/downloads.md).
exec python3 "$(dirname "${BASH_SOURCE[0]}")/download.py" "$@"
