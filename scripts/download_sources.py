"""What there is to download: rows of scripts/downloads.txt become files with address, size and hash, as their servers list them."""
import fnmatch
import functools
import json
import os
import pathlib
import re
import subprocess
import typing
import urllib.parse

HF = "https://huggingface.co"
MLC = "https://training.mlcommons-storage.org/metadata"
MLC_OWN = ("bash <(curl -s https://raw.githubusercontent.com/mlcommons/r2-downloader/refs/heads/main/mlc-r2-downloader.sh) "
           f"{MLC}/")


class DownloadError(Exception):
    """Something outside this program must change; the message says what."""


class Row(typing.NamedTuple):
    name: str
    source: str
    size: int | None
    hash: str | None
    place: str
    unpack: bool


class File(typing.NamedTuple):
    url: str
    size: int | None
    hash: str | None  # "sha256:HEX"; also "git:HEX", the id of a git blob
    place: str  # within the folder
    unpack: bool
    repository: str | None  # of Hugging Face

    def needs_token(self):
        return self.repository is not None


def read_table():
    path = pathlib.Path(os.environ.get("TITAN_DOWNLOADS") or pathlib.Path(__file__).with_name("downloads.txt"))
    rows = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, source, size, digest, place, *more = line.split()
            rows.append(Row(name, source, None if size == "-" else int(size), None if digest == "-" else digest, place,
                            more == ["unpack"]))
    return rows


def at_mirror(url):
    """The address at TITAN_DOWNLOAD_MIRROR, where that is set: MIRROR/HOST/PATH."""
    mirror = os.environ.get("TITAN_DOWNLOAD_MIRROR")
    if not mirror:
        return url
    parts = urllib.parse.urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}{query}"


def curl(url, options=(), token=False, capture=True):
    """Starts curl. The token goes in by standard input: arguments are for everybody to see."""
    command = ["curl", "--silent", "--show-error", "--location", "--globoff", "--connect-timeout", "20", "--config", "-",
               *options, at_mirror(url)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE if capture else None,
                               stderr=subprocess.PIPE, text=True)
    secret = os.environ.get("HF_TOKEN", "") if token else ""
    process.stdin.write(f'header = "Authorization: Bearer {secret}"\n' if secret else "")
    process.stdin.close()
    process.stdin = None
    return process


def refusal(status, url, repository):
    """What to do about an HTTP status that trying again does not change."""
    if status in (401, 403) and repository and not os.environ.get("HF_TOKEN"):
        return (f"{repository} asks for a token ({status}): accept its licence at {HF}/{repository}, make a token at "
                f"{HF}/settings/tokens and set HF_TOKEN=...")
    if status in (401, 403) and repository:
        return (f"the token in HF_TOKEN does not open {repository} ({status}): accept its licence at {HF}/{repository} "
                "with the account of the token")
    if status in (401, 403):
        return f"the server refuses {url} ({status})"
    if status in (404, 410):
        return f"{url} does not exist ({status})"
    return f"{url}: the server answers {status}"


def get_text(url, repository=None):
    """Body and headers of a small page, with a few retries."""
    options = ["--fail-with-body", "--retry", "5", "--retry-connrefused", "--retry-max-time", "60", "--max-time", "60",
               "--dump-header", "/dev/stderr", "--write-out", "\n%{http_code}"]
    body, headers = (process := curl(url, options, token=repository is not None)).communicate()
    body, _, status = body.rpartition("\n")
    if process.returncode == 22:
        raise DownloadError(refusal(int(status), url, repository))
    if process.returncode:
        raise DownloadError(f"cannot reach {url}: {headers.strip().splitlines()[-1]}")
    return body, headers


@functools.cache
def tree(url, repository):
    """Everything in a repository of Hugging Face, page by page."""
    entries = []
    while url:
        body, headers = get_text(url, repository)
        try:
            entries += json.loads(body)
        except (ValueError, TypeError) as error:
            raise DownloadError(f"{url} does not list files") from error
        following = re.findall(r'(?im)^link:.*<([^>]+)>; *rel="next"', headers)
        url = following[-1] if following else None
    return entries


def listed_files(row, kind, repository, pattern):
    """Files of a repository with what Hugging Face publishes: sizes, SHA-256 of large files, git's id of others."""
    shown = repository if kind == "models" else f"{kind}/{repository}"
    files = []
    for entry in tree(f"{HF}/api/{kind}/{repository}/tree/main?recursive=true", shown):
        if entry.get("type") == "file" and fnmatch.fnmatch(entry["path"], pattern):
            lfs = entry.get("lfs") or {}
            digest = f"sha256:{lfs['oid']}" if lfs.get("oid") else f"git:{entry['oid']}"
            url = f"{HF}/{shown}/resolve/main/{urllib.parse.quote(entry['path'])}"
            files.append(File(url, lfs.get("size", entry["size"]), digest, placed(row.place, entry["path"]), row.unpack,
                              shown))
    if not files:
        raise DownloadError(f"{HF}/{shown} holds no {pattern}")
    return sorted(files, key=lambda file: file.place)


def mlcommons_files(row, name):
    base = get_text(f"{MLC}/{name}.uri")[0].strip()
    if not re.fullmatch(r"https?://\S+", base):
        raise DownloadError(f"MLCommons' storage asks for a login; its own downloader opens a browser: {MLC_OWN}{name}.uri")
    files = []
    for line in get_text(f"{MLC}/{name}.md5")[0].splitlines():
        match = re.fullmatch(r"([0-9a-f]{32})\s+\*?(?:\./)?(\S.*)", line)
        if match:
            files.append(File(f"{base}/{urllib.parse.quote(match[2])}", None, f"md5:{match[1]}",
                              placed(row.place, match[2]), row.unpack, None))
    if not files:
        raise DownloadError(f"{MLC}/{name}.md5 lists no files")
    return files


def placed(place, path):
    """Where a file goes; a list of files must not lead out of the folder."""
    if path.startswith("/") or ".." in pathlib.PurePosixPath(path).parts:
        raise DownloadError(f"a file that would leave the folder is listed ({path!r})")
    if place == ".":
        return path
    return place + path if place.endswith("/") else place


def expand(row):
    kind, _, rest = row.source.partition(":")
    if kind in ("hf", "hf-data"):
        repository, _, pattern = rest.partition(":")
        return listed_files(row, "models" if kind == "hf" else "datasets", repository, pattern)
    if kind == "mlc":
        return mlcommons_files(row, rest)
    name = urllib.parse.unquote(row.source.rsplit("/", 1)[-1])
    return [File(row.source, row.size, row.hash, placed(row.place, name), row.unpack, None)]


def size_at_server(file):
    """The size that the server announces, None where it does not."""
    output, _ = curl(file.url, ["--head", "--max-time", "60", "--retry", "3"], token=file.needs_token()).communicate()
    sizes = re.findall(r"(?im)^content-length: *(\d+)", output or "")
    return int(sizes[-1]) if sizes and re.findall(r"(?m)^HTTP/\S+ (\d+)", output)[-1] == "200" else None
