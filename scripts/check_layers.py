#!/usr/bin/env python3
"""Check who includes whom: a folder of titan/ includes only folders on strictly lower levels, or itself.

base, kernels, config, io, tokenizers and report never see torch; nothing inside includes the umbrella titan/titan.h; a model sees
no parallel code. Prints one line per bad edge and exits with 1 if there is any.
"""
import pathlib
import re
import sys

LEVELS = [
    ["base", "kernels"],
    ["config", "io", "memory", "ops"],
    ["data", "metrics", "tokenizers"],
    ["protocols"],
    ["parallel", "models"],
    ["optim", "checkpoint", "plan"],
    ["train"],
    ["preprocess", "report"],
    ["tools"],
]
LEVEL_OF = {folder: level for level, folders in enumerate(LEVELS) for folder in folders}
# The counter generator's arithmetic is one header for host and device; base includes no kernel, so no cycle.
ALLOWED = {("kernels", "titan/base/philox.h")}
WITHOUT_TORCH = {"base", "kernels", "config", "io", "tokenizers", "report"}
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
TORCH = re.compile(r"(ATen|torch|c10|caffe2)/")


def problems(path, folder):
    """Yield (line number, message) for every include of `path` that its folder must not have."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        if folder in WITHOUT_TORCH and TORCH.match(header):
            yield number, f"{folder} must not see torch: {header}"
        if header == "titan/titan.h":
            yield number, "titan/titan.h is for users of the library"
        parts = header.split("/")
        if parts[0] != "titan" or len(parts) < 3 or parts[1] == folder or (folder, header) in ALLOWED:
            continue
        target = parts[1]
        if target not in LEVEL_OF:
            yield number, f"{target} has no level; add it to scripts/check_layers.py"
        elif LEVEL_OF[target] >= LEVEL_OF[folder]:
            yield number, (f"{folder} (level {LEVEL_OF[folder]}) must not include "
                           f"{target} (level {LEVEL_OF[target]}): {header}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])
    bad = 0
    files = [p for p in sorted((root / "titan").rglob("*")) if p.suffix in SUFFIXES]
    for path in files:
        parts = path.relative_to(root / "titan").parts
        if len(parts) < 2:  # titan/titan.h itself
            continue
        if parts[0] not in LEVEL_OF:
            print(f"{path.relative_to(root)}: folder {parts[0]} has no level; add it to scripts/check_layers.py")
            bad += 1
            continue
        for number, message in problems(path, parts[0]):
            print(f"{path.relative_to(root)}:{number}: {message}")
            bad += 1
    print(f"check_layers: {len(files)} files, {bad} bad includes")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
