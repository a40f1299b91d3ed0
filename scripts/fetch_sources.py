#!/usr/bin/env python3
"""Put the libraries that are built in from source into a cache that all clones share.

    fetch_sources.py --cache DIR

Downloads the pinned source distributions of scripts/sources.txt, checks their hashes and unpacks what the build needs into
DIR/NAME-VERSION, which appears whole or not at all. nanoarrow's distribution holds the C library with its IPC part and
flatcc, whose runtime the IPC part needs. Exit codes and the places looked at are fetch_libtorch.py's.

Environment: PIP_INDEX_URL and TITAN_WHEELS as for wheels. TITAN_SOURCE_LIST replaces scripts/sources.txt (for tests).
"""
import argparse
import os
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile

from fetch_libtorch import HERE, SetupError, locked, obtain, read_wheels, report, say

# What is kept of a distribution: pattern of the member's path, place in the cache.
PARTS = {
    "nanoarrow": [
        (re.compile(r"subprojects/arrow-nanoarrow/src/(nanoarrow/(?:(?:common|ipc)/)?[^/]+\.(?:c|h|in))$"), r"\1"),
        (re.compile(r"subprojects/flatcc-[0-9a-f]+/include/(flatcc/.+\.h)$"), r"\1"),
        (re.compile(r"subprojects/flatcc-[0-9a-f]+/src/runtime/([^/]+\.c)$"), r"flatcc/runtime/\1"),
        (re.compile(r"subprojects/flatcc-[0-9a-f]+/(LICENSE|NOTICE)$"), r"flatcc/\1"),
        (re.compile(r"(LICENSE\.txt|NOTICE\.txt|PKG-INFO)$"), r"\1"),
    ],
}


def place_of(name, path):
    for pattern, place in PARTS[name]:
        if match := pattern.match(path):
            return match.expand(place)
    return None


def unpack(source, path, root):
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root.parent) as scratch, tarfile.open(path) as archive:
        whole = pathlib.Path(scratch) / root.name
        for member in archive:
            place = place_of(source.name, member.name.partition("/")[2])
            if not member.isfile() or place is None:
                continue
            target = whole / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.extractfile(member).read())
            # The archive's own times: a header unpacked again must not look newer than what was built from it.
            os.utime(target, (member.mtime, member.mtime))
        if not whole.exists():
            raise SetupError(f"{path.name} holds nothing that is needed")
        os.replace(whole, root)


def run(cache):
    sources = read_wheels(pathlib.Path(os.environ.get("TITAN_SOURCE_LIST", HERE / "sources.txt")))
    folder = cache / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        for leftover in cache.glob(".unpack-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for source in sources:
            root = cache / f"{source.name}-{source.version}"
            if not root.exists():
                path = obtain(source, folder)
                unpack(source, path, root)
                if path.parent == folder:
                    path.unlink()
            say(f"{source.name} {source.version}: {root}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    return report(lambda: run(arguments.cache), arguments.cache)


if __name__ == "__main__":
    sys.exit(main())
