#!/usr/bin/env python3
"""Fetch data and weights: scripts/download.sh NAME DIR [--dry-run] | --list

Broken downloads go on where they stopped, finished files are left alone, and a file gets its name only when it is whole
and its hash, where one is published, is right. Needs a bare python3 and curl. Models that ask for a token: HF_TOKEN.

Exit codes: 0 done, 2 something outside must change (network, token, disk, a wrong file), each with one line that says what.

Environment: TITAN_DOWNLOAD_MIRROR is asked for MIRROR/HOST/PATH instead of the servers; TITAN_DOWNLOADS replaces
scripts/downloads.txt; TITAN_DOWNLOAD_PATIENCE is how many seconds a file may stay without a new byte (600).
"""
import argparse
import concurrent.futures
import contextlib
import errno
import fcntl
import hashlib
import os
import pathlib
import shutil
import sys
import tarfile
import time
import zipfile

from download_sources import DownloadError, curl, expand, read_table, refusal, size_at_server

PATIENCE_S = float(os.environ.get("TITAN_DOWNLOAD_PATIENCE") or 600)
REPORT_S = 30
# curl's codes for a file system that takes no more, and for servers that cannot go on in the middle of a file.
CURL_HTTP, CURL_WRITE, CURL_RANGE, CURL_RESUME = 22, 23, 33, 36


def say(text):
    print(f"[download] {text}", flush=True)


def human(size):
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"


def size_of(path):
    return path.stat().st_size if path.is_file() else 0


def part_of(path):
    return path.with_name(path.name + ".part")


def is_done(file, path):
    return path.is_file() and file.size in (None, size_of(path))


def hash_of(path, algorithm):
    """Of a file's bytes; "git" is SHA-1 behind git's header of a blob."""
    digest = hashlib.new("sha1" if algorithm == "git" else algorithm)
    if algorithm == "git":
        digest.update(f"blob {size_of(path)}\0".encode())
    with path.open("rb") as file:
        while piece := file.read(1 << 24):
            digest.update(piece)
    return digest.hexdigest()


def with_sizes(files):
    """The sizes that no list has, from the servers."""
    def ask(file):
        return file if file.size is not None else file._replace(size=size_at_server(file))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(ask, files))


def check_space(folder, files):
    """Says what is to come; an error where it does not fit."""
    todo = [file for file in files if not is_done(file, folder / file.place)]
    left = sum((file.size or 0) - min(size_of(part_of(folder / file.place)), file.size or 0) for file in todo)
    packed = sum(file.size or 0 for file in files if file.unpack and not stamp_of(folder / file.place).exists())
    free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    unknown = sum(file.size is None for file in todo)
    say(f"{len(files)} file(s), {human(sum(file.size or 0 for file in files))}; to fetch: {len(todo)} file(s), {human(left)}"
        + (f" and {unknown} of a size that the server does not say" if unknown else "")
        + (f"; unpacked about {human(packed)} more" if packed else "") + f"; free in {folder}: {human(free)}")
    if left + packed > free:
        raise DownloadError(f"{folder} has not enough room: {human(left + packed)} are needed, {human(free)} are free")


def run_curl(file, part, total):
    """One try; returns curl's code and the HTTP status. Prints how far it is from time to time."""
    options = ["--fail", "--continue-at", "-", "--speed-limit", "1", "--speed-time", str(max(1, int(min(30, PATIENCE_S)))),
               "--output", str(part), "--write-out", "%{http_code}"]
    process = curl(file.url, options, token=file.needs_token())
    began, held, reported = time.monotonic(), size_of(part), time.monotonic()
    try:
        while True:
            with contextlib.suppress(Exception):
                process.wait(timeout=0.2)
            if process.returncode is not None:
                break
            if time.monotonic() - reported > REPORT_S:
                reported, now = time.monotonic(), size_of(part)
                rate = (now - held) / (reported - began)
                share = f" ({100 * now / total:.0f} %)" if total else ""
                rest = f", {(total - now) / rate / 60:.0f} minutes left" if total and rate > 0 else ""
                say(f"{file.place}: {human(now)}{share}, {human(rate)}/s{rest}")
        status, problem = process.communicate()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return process.returncode, int(status[-3:] or 0), problem.strip().splitlines()[-1:] or [""]


def fetch_part(file, part):
    """Until the .part is whole, as far as sizes tell. Tries again while bytes come within the patience."""
    last_progress, largest, pause = time.monotonic(), size_of(part), 0.5
    while True:
        if file.size is not None and size_of(part) > file.size:
            part.unlink()  # of another version of the file
        if file.size is not None and file.size == size_of(part) and part.exists():
            return
        code, status, problem = run_curl(file, part, file.size)
        held = size_of(part)
        if code == 0 and (file.size is None or held == file.size):
            part.touch()
            return
        if code == CURL_WRITE or (code and shutil.disk_usage(part.parent).free < 1 << 16):
            raise DownloadError(f"cannot write {part} (is the disk full? {human(shutil.disk_usage(part.parent).free)} are free)")
        if code == CURL_HTTP and status == 416 or code in (CURL_RANGE, CURL_RESUME):
            say(f"{file.place}: the server does not go on in the middle, from the beginning again")
            part.unlink(missing_ok=True)
        elif code == CURL_HTTP and 400 <= status < 500 and status not in (408, 425, 429):
            raise DownloadError(refusal(status, file.url, file.repository))
        elif code == 0 and held > (file.size or 0):
            raise DownloadError(f"{file.url} is longer than announced ({held} instead of {file.size} bytes)")
        if held > largest:
            last_progress, largest, pause = time.monotonic(), held, 0.5
        waited = time.monotonic() - last_progress
        why = f"the server answers {status}" if code == CURL_HTTP else problem[0] or f"{held} of {file.size} bytes"
        if waited + pause > PATIENCE_S:
            raise DownloadError(f"{file.url}: nothing new for {waited:.0f} s ({why}); the next run goes on at {human(held)}")
        say(f"{file.place}: {why}; again in {pause:.3g} s")
        time.sleep(pause)
        pause = min(2 * pause, 30)


def fetch(file, path):
    part = part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for is_last in (False, True):
        resumed = size_of(part) > 0
        fetch_part(file, part)
        if file.hash is None:
            break
        algorithm, _, wanted = file.hash.partition(":")
        found = hash_of(part, algorithm)
        if found == wanted:
            break
        part.unlink()
        if is_last or not resumed:
            raise DownloadError(f"{file.url} has another {algorithm} hash than published ({found} instead of {wanted}); "
                                "it was thrown away")
        say(f"{file.place}: the hash is wrong, perhaps of two versions in one; from the beginning again")
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    part.replace(path)


def stamp_of(path):
    return path.with_name(path.name + ".unpacked")


def unpack(path):
    """Beside the archive; only plain files and folders, and none that would leave the folder."""
    if stamp_of(path).exists():
        return
    say(f"unpacking {path}")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.parent)
    else:
        with tarfile.open(path) as archive:
            members = archive.getmembers()
            for member in members:
                inside = not member.name.startswith("/") and ".." not in pathlib.PurePosixPath(member.name).parts
                if not inside or not (member.isfile() or member.isdir()):
                    raise DownloadError(f"{path} holds {member.name!r}, which is not unpacked")
            archive.extractall(path.parent, members)
    stamp_of(path).touch()


@contextlib.contextmanager
def locked(folder):
    """Two downloads into one folder would write the same parts."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".download.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DownloadError(f"another download runs in {folder}") from error
        yield


def download(name, folder, dry_run):
    rows = read_table()
    names = sorted({row.name for row in rows})
    if name not in names:
        raise DownloadError(f"nothing is called '{name}'; known: {', '.join(names)}")
    files = with_sizes([file for row in rows if row.name == name for file in expand(row)])
    check_space(folder, files)
    if dry_run:
        for file in files:
            say(f"{'has' if is_done(file, folder / file.place) else 'would fetch'} {file.place} "
                f"({'unknown size' if file.size is None else human(file.size)}, {file.hash or 'no hash published'}) {file.url}")
        return
    with locked(folder):
        for number, file in enumerate(files, 1):
            path = folder / file.place
            if not is_done(file, path):
                say(f"{number} of {len(files)}: {file.place}" + (f", {human(file.size)}" if file.size else ""))
                fetch(file, path)
            if file.unpack:
                unpack(path)
    say(f"{name} is complete in {folder}")


def show_list():
    rows = read_table()
    for name in sorted({row.name for row in rows}):
        print(f"{name:20s} " + ", ".join(row.source for row in rows if row.name == name))


def main():
    parser = argparse.ArgumentParser(prog="scripts/download.sh", description=__doc__.splitlines()[2],
                                     usage="scripts/download.sh NAME DIR [--dry-run] | --list")
    parser.add_argument("name", nargs="?")
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--dry-run", action="store_true", help="say what would be fetched and how much")
    options = parser.parse_args()
    if options.list:
        return show_list()
    if options.name is None or options.folder is None:
        parser.error("NAME and DIR are needed (--list says which names there are)")
    try:
        download(options.name, options.folder, options.dry_run)
    except DownloadError as error:
        sys.exit(fail(error))
    except OSError as error:
        full = " (the disk is full)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        sys.exit(fail(f"{error}{full}"))
    except KeyboardInterrupt:
        sys.exit(130)


def fail(message):
    print(f"[download] error: {message}", file=sys.stderr, flush=True)
    return 2


if __name__ == "__main__":
    main()
