#!/usr/bin/env python3
"""Put LibTorch into a cache that all clones share: download pinned wheels, check their hashes, unpack them.

    fetch_libtorch.py --cache DIR [--with-cuda] [--with-nvcc]

Needs a bare python3 and curl. Interrupted downloads are resumed; a wheel is unpacked aside and moved into place,
then noted in DIR/libtorch-VERSION/.complete, so a half-unpacked one is never mistaken for a whole one.
Exit codes: 0 done, 2 something outside must change (network, disk, a wrong file), each with one line that says what.

Environment: PIP_INDEX_URL (else pip's own setting, else PyPI) is where wheels are looked up. TITAN_WHEELS names a
folder with wheels that are already there. TITAN_WHEEL_LIST replaces scripts/wheels.txt (for tests).
"""
import argparse
import contextlib
import errno
import fcntl
import hashlib
import html
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import typing
import urllib.parse
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
# Of torch itself only what a C++ program needs; the rest is Python.
TORCH_PARTS = re.compile(r"torch/(lib|include)/|torch/version\.py$|[^/]+\.dist-info/(METADATA|NOTICE|LICENSE|licenses)")
UNPACKED_PER_BYTE = 2.1  # torch: 1.04 GB from 531 MB


class SetupError(Exception):
    """Something outside this program must change; the message says what."""


class Wheel(typing.NamedTuple):
    group: str
    name: str
    version: str
    size: int
    sha256: str
    file: str


def say(text):
    print(f"[setup] {text}", flush=True)


def megabytes(size):
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def read_wheels(path):
    rows = [line.split() for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [Wheel(group, name, version, int(size), sha, file) for group, name, version, size, sha, file in rows]


def without_password(url):
    return re.sub(r"//[^/@]*@", "//", url)


def index_url():
    """The simple index that pip would use."""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    with contextlib.suppress(OSError):
        asked = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"],
                               capture_output=True, text=True, check=False)
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.strip()
    return "https://pypi.org/simple"


def curl(*arguments):
    command = ["curl", "--fail", "--location", "--netrc-optional", "--show-error", "--connect-timeout", "20",
               "--retry", "3", "--speed-limit", "1000", "--speed-time", "60", *arguments]
    try:
        return subprocess.run(command, stderr=None if "--progress-bar" in arguments else subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        raise SetupError("curl is not installed (apt-get install curl)") from None


def curl_said(result):
    lines = [line for line in (result.stderr or "").splitlines() if line.startswith("curl:")]
    return lines[-1] if lines else f"curl exit code {result.returncode}"


def find_url(wheel):
    """Return the address of the wheel in the index, or raise with the reason."""
    page = f"{index_url().rstrip('/')}/{wheel.name}/"
    if page.startswith("file:"):
        page += "index.html"
    result = curl("--silent", "--header", "Accept: text/html", "--write-out", "\n%{url_effective}", page)
    if result.returncode:
        raise SetupError(f"cannot look up {wheel.name} in {without_password(page)} ({curl_said(result)})")
    body, _, shown_at = result.stdout.rpartition("\n")
    for link in re.findall(r'href\s*=\s*["\']([^"\']+)', body):
        target = urllib.parse.urldefrag(html.unescape(link)).url
        if urllib.parse.unquote(target).endswith(wheel.file):
            # A redirected page drops the password of the address it was asked at.
            base = page if urllib.parse.urlsplit(shown_at).hostname == urllib.parse.urlsplit(page).hostname else shown_at
            return urllib.parse.urljoin(base, target)
    raise SetupError(f"{without_password(page)} has no {wheel.file}")


def download(url, part, wheel):
    """Download into `part`, going on where an earlier attempt stopped."""
    have = part.stat().st_size if part.exists() else 0
    if have > wheel.size:
        part.unlink()
    elif have == wheel.size:
        return
    say(f"downloading {wheel.name} {wheel.version} ({megabytes(wheel.size)}"
        + (f", {megabytes(have)} already here)" if have else ")"))
    progress = "--progress-bar" if sys.stderr.isatty() else "--silent"
    result = curl(progress, "--continue-at", "-", "--output", str(part), url)
    if result.returncode == 33:  # The server cannot resume: start over.
        part.unlink(missing_ok=True)
        result = curl(progress, "--output", str(part), url)
    if result.returncode == 23:
        raise SetupError(f"no space left in {part.parent} while downloading {wheel.file}; "
                         "free some and run again, it resumes")
    if result.returncode:
        raise SetupError(f"cannot download {wheel.file} from {without_password(url)} ({curl_said(result)}); "
                         "check the network and proxy settings and run again, it resumes")


def pip_download(wheel, folder):
    """Let pip find the wheel: it may know sources that we do not. Return whether it did."""
    if not wheel.file.endswith(".whl"):  # Of a source distribution pip would build the metadata.
        return False
    python_tag, abi, platforms = wheel.file[: -len(".whl")].split("-")[-3:]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "0", "--no-deps", "--only-binary", ":all:",
               "--python-version", "3.11", "--implementation", "cp", "--abi", abi if python_tag != "py3" else "none"]
    for platform in platforms.split("."):
        command += ["--platform", platform]
    with contextlib.suppress(OSError):
        done = subprocess.run([*command, "--dest", str(folder), f"{wheel.name}=={wheel.version}"],
                              capture_output=True, text=True, check=False)
        return done.returncode == 0 and (folder / wheel.file).exists()
    return False


def sha256_of(path):
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def obtain(wheel, folder):
    """Return the path of the wheel with the right hash; ours to delete if it lies in `folder`."""
    offered = pathlib.Path(os.environ.get("TITAN_WHEELS", "/nonexistent")) / wheel.file
    path = folder / wheel.file
    if offered.exists():
        path = offered
    elif not path.exists():
        part = folder / (wheel.file + ".part")
        try:
            download(find_url(wheel), part, wheel)
        except SetupError:
            if not pip_download(wheel, folder):
                raise
        else:
            part.rename(path)
    found = sha256_of(path)
    if found != wheel.sha256:
        if path != offered:
            path.unlink()
        raise SetupError(f"{path.name} has the wrong SHA-256 ({found}, expected {wheel.sha256}); "
                         + ("it was left where it is" if path == offered else "it was deleted, run again"))
    return path


def merge(source, target):
    """Move a tree into place: by one rename where nothing is there yet, else file by file."""
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            merge(child, target / child.name)
    else:
        os.replace(source, target)


def unpack(wheel, path, root):
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root) as scratch, zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir() or (wheel.name == "torch" and not TORCH_PARTS.match(member.filename)):
                continue
            archive.extract(member, scratch)
            # The wheel's own times: a header unpacked again must not look newer than what was built from it.
            stamp = time.mktime((*member.date_time, 0, 0, -1))
            os.utime(pathlib.Path(scratch) / member.filename, (stamp, stamp))
            if member.external_attr >> 16 & 0o100:  # Programs (nvcc): Python forgets that they may be run.
                os.chmod(pathlib.Path(scratch) / member.filename, 0o755)
        for child in pathlib.Path(scratch).iterdir():
            merge(child, root / child.name)


def check_space(wheels, folder, root):
    needed = sum(int(wheel.size * UNPACKED_PER_BYTE) for wheel in wheels)
    # One wheel at a time lies on the disk, so only the largest counts.
    largest = max(wheels, key=lambda wheel: wheel.size)
    part = folder / (largest.file + ".part")
    needed += largest.size - min(largest.size, part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(root).free
    if free < needed:
        raise SetupError(f"not enough disk space for LibTorch in {root} (needs {megabytes(needed)}, "
                         f"{megabytes(free)} free); set TITAN_CACHE to a folder on a larger disk")


@contextlib.contextmanager
def locked(path):
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another setup on this machine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(cache, groups):
    wheels = read_wheels(pathlib.Path(os.environ.get("TITAN_WHEEL_LIST", HERE / "wheels.txt")))
    root = cache / f"libtorch-{next(w.version for w in wheels if w.name == 'torch')}"
    folder = cache / "downloads"
    for needed in (root, folder):
        needed.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        marker = root / ".complete"
        done = set(marker.read_text().splitlines()) if marker.exists() else set()
        missing = [wheel for wheel in wheels
                   if wheel.sha256 not in done and wheel.group in groups]
        if not missing:
            say(f"LibTorch is ready in {root}")
            return
        for leftover in root.glob(".unpack-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        check_space(missing, folder, cache)
        for wheel in missing:
            path = obtain(wheel, folder)
            say(f"unpacking {wheel.name} {wheel.version}")
            unpack(wheel, path, root)
            done.add(wheel.sha256)
            aside = root / ".complete.tmp"
            aside.write_text("\n".join(sorted(done)) + "\n")
            os.replace(aside, marker)
            if path.parent == folder:
                path.unlink()
        say(f"LibTorch is ready in {root}")


def report(action, cache):
    """Run `action`; the exit code, and one line for what must change outside."""
    try:
        action()
    except SetupError as error:
        message = str(error)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            message = f"no space left in {cache}; set TITAN_CACHE to a folder on a larger disk"
        else:
            message = f"{error.strerror}: {error.filename}"
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        message = f"an archive is damaged ({error})"
    except KeyboardInterrupt:
        print("[setup] interrupted; run again, it resumes", file=sys.stderr)
        return 130
    else:
        return 0
    print(f"[setup] error: {message}", file=sys.stderr)
    return 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--with-cuda", action="store_true")
    parser.add_argument("--with-nvcc", action="store_true", help="CUDA's compiler, too")
    arguments = parser.parse_args()
    groups = {"cpu"} | ({"cuda"} if arguments.with_cuda else set()) | ({"nvcc"} if arguments.with_nvcc else set())
    return report(lambda: run(arguments.cache, groups), arguments.cache)


if __name__ == "__main__":
    sys.exit(main())
