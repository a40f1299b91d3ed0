"""scripts/download.sh against a local server with many tempers (download_server.py). Needs python3 and curl only."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = HERE.parents[1] / "scripts/download.sh"
work = pathlib.Path(tempfile.mkdtemp(prefix="titan-download-"))
checks = 0


def body_of(name):  # as in download_server.py
    size = 3 if name.endswith(".json") else 60_000
    return bytes((17 * i + 31 * (i >> 8) + len(name)) & 255 for i in range(size))


SHA256 = hashlib.sha256(body_of("a.bin")).hexdigest()
ROWS = f"""
plain hf:x/y:config.json - - .
plain hf:x/y:*.bin - - .
gated hf:private/y:pytorch_model.bin - - .
data hf-data:x/y:*.bin - - .
evil hf:evil/y:* - - .
nothing hf:x/y:*.txt - - .
set mlc:some-set - - inner/
login mlc:login - - .
""" + "".join(f"{temper} https://files.example/{temper}/a.bin - sha256:{SHA256} .\n"
              for temper in ("good", "drop", "short", "error", "norange", "stall", "unsized", "gone", "full"))
ROWS += f"""sized https://files.example/good/a.bin 60000 sha256:{SHA256} .
larger https://files.example/good/a.bin 70000 - .
wronghash https://files.example/good/a.bin 60000 sha256:{'0' * 64} .
dead https://files.example/error/none/a.bin - - .
away https://nowhere.invalid/a.bin - - .
"""


def download(*arguments, code=0, says=(), mirror=None, **environment):
    """Runs the program; its exit code and every text in `says` are looked at. Returns what it printed."""
    global checks
    settings = {**os.environ, "TITAN_DOWNLOADS": str(work / "table.txt"), "TITAN_DOWNLOAD_PATIENCE": "6",
                "TITAN_DOWNLOAD_MIRROR": mirror or f"http://127.0.0.1:{port}", **environment}
    if "HF_TOKEN" not in environment:
        settings.pop("HF_TOKEN", None)
    done = subprocess.run([PROGRAM, *map(str, arguments)], env=settings, capture_output=True, text=True, timeout=120)
    output = done.stdout + done.stderr
    for text in (says,) if isinstance(says, str) else says:
        assert text in output, f"expected '{text}' of {arguments}, got exit {done.returncode} and:\n{output}"
    assert done.returncode == code, f"expected exit {code} of {arguments}, got {done.returncode} and:\n{output}"
    assert "Traceback" not in output, output
    assert "sesame" not in output, "the token was printed"
    checks += 1
    print(f"ok: {' '.join(map(str, arguments))}: {output.strip().splitlines()[-1]}")
    return output


def folder(name):
    return work / name


def holds(place, name="a.bin"):
    assert (folder(place) / name).read_bytes() == body_of(pathlib.Path(name).name), f"{place}/{name} is not what was sent"
    assert not list(folder(place).rglob("*.part")), "a part was left behind"


def requests():
    return (work / "log").read_text().splitlines()


def good_downloads():
    download("--list", says="hf:x/y:config.json")
    for temper in ("good", "drop", "short", "error", "norange", "unsized"):
        download(temper, folder(temper), says=f"{temper} is complete")
        holds(temper)
    assert sum("/drop/a.bin bytes=" in line for line in requests()) == 2, "a broken download did not go on where it stopped"
    before = len(requests())
    download("sized", folder("good"), says="to fetch: 0 file(s)")  # the same file, and its size is in the table
    assert len(requests()) == before, "a finished file was asked for again"
    download("good", folder("dry"), "--dry-run", says=("would fetch a.bin (60 kB", "sha256"))
    assert not folder("dry").exists(), "a dry run wrote something"


def interrupted_downloads():
    place = folder("resumed")
    place.mkdir()
    (place / "a.bin.part").write_bytes(body_of("a.bin")[:50_000])
    download("good", place, says="to fetch: 1 file(s), 10 kB")
    holds("resumed")
    assert any("/good/a.bin bytes=50000-" in line for line in requests())
    place = folder("foreign")  # the start is of another version of the file
    place.mkdir()
    (place / "a.bin.part").write_bytes(b"x" * 50_000)
    download("good", place, says="from the beginning again")
    holds("foreign")
    place = folder("norange_resumed")
    place.mkdir()
    (place / "a.bin.part").write_bytes(body_of("a.bin")[:50_000])
    download("norange", place, says="does not go on in the middle")
    holds("norange_resumed")
    place = folder("too_long")
    place.mkdir()
    (place / "a.bin.part").write_bytes(b"x" * 90_000)
    download("good", place)
    holds("too_long")
    download("stall", folder("stall"), says="again in", TITAN_DOWNLOAD_PATIENCE="8")
    holds("stall")


def listed_downloads():
    download("plain", folder("hf"), says="plain is complete")
    holds("hf", "config.json")
    holds("hf", "pytorch_model.bin")
    download("data", folder("hf_data"))
    holds("hf_data", "pytorch_model.bin")
    assert any(line.startswith("GET /huggingface.co/datasets/x/y/resolve/main/pytorch_model.bin") for line in requests())
    download("set", folder("mlc"))
    holds("mlc", "inner/a.bin")
    holds("mlc", "inner/sub/b.bin")
    download("gated", folder("gated"), code=2, says=("private/y asks for a token (401)", "HF_TOKEN", "huggingface.co/private/y"))
    download("gated", folder("gated"), code=2, says="the token in HF_TOKEN does not open private/y", HF_TOKEN="wrong")
    download("gated", folder("gated"), HF_TOKEN="sesame")
    holds("gated", "pytorch_model.bin")
    download("good", folder("no_token_for_others"), HF_TOKEN="sesame")
    assert not any("files.example" in line and "sesame" in line for line in requests()), "the token went to another server"


def refusals():
    download("wronghash", folder("wronghash"), code=2, says="another sha256 hash than published")
    assert not (folder("wronghash") / "a.bin").exists() and not list(folder("wronghash").glob("*.part"))
    download("larger", folder("larger"), code=2, says=("60000 of 70000 bytes", "the next run goes on at 60 kB"),
             TITAN_DOWNLOAD_PATIENCE="2")
    download("gone", folder("gone"), code=2, says="does not exist (404)")
    download("full", folder("full"), code=2, says=("has not enough room", "1e+03 TB are needed"))
    assert not folder("full").exists()
    download("evil", folder("evil"), code=2, says="would leave the folder")
    download("nothing", folder("nothing"), code=2, says="holds no *.txt")
    download("login", folder("login"), code=2, says=("asks for a login", "mlc-r2-downloader.sh"))
    download("nobody", folder("nobody"), code=2, says="known: away")
    download("good", code=2, says="NAME and DIR are needed")
    download("good", folder("off"), code=2, says="nothing new for", mirror="http://127.0.0.1:9", TITAN_DOWNLOAD_PATIENCE="2")
    (work / "file").write_text("x")
    download("good", work / "file/below", code=2, says="Not a directory")
    full = folder("small")
    full.mkdir()
    if os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", full],
                                            capture_output=True).returncode == 0:
        try:
            download("unsized", full, code=2, says="is the disk full?")
        finally:
            subprocess.run(["umount", full], check=True)
    else:
        print("skipped: a full disk (no root)")
    import fcntl
    with (folder("good") / ".download.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        download("sized", folder("good"), code=2, says="another download runs in")


def archives():
    """Served by a folder as mirror: curl reads file:// as well."""
    mirror = work / "mirror/files.example"
    mirror.mkdir(parents=True)
    (work / "inner.txt").write_text("inside")
    with tarfile.open(mirror / "a.tar.gz", "w:gz") as archive:
        archive.add(work / "inner.txt", "batches/inner.txt")
    with tarfile.open(mirror / "evil.tar.gz", "w:gz") as archive:
        archive.add(work / "inner.txt", "../inner_out.txt")
    with zipfile.ZipFile(mirror / "a.zip", "w") as archive:
        archive.write(work / "inner.txt", "val/inner.txt")
    rows = "".join(f"{name.split('.')[-1]}{name[0]} https://files.example/{name} {(mirror / name).stat().st_size} - . unpack\n"
                   for name in ("a.tar.gz", "evil.tar.gz", "a.zip"))
    with (work / "table.txt").open("a") as table:
        table.write(rows)
    where = {"mirror": f"file://{work}/mirror"}
    download("gza", folder("tar"), says="unpacking", **where)
    assert (folder("tar") / "batches/inner.txt").read_text() == "inside"
    assert "unpacking" not in download("gza", folder("tar"), **where)
    download("zipa", folder("zip"), **where)
    assert (folder("zip") / "val/inner.txt").read_text() == "inside"
    download("gze", folder("evil_tar"), code=2, says="is not unpacked", **where)
    assert not (work / "inner_out.txt").exists()


def named_everywhere():
    """A message or page that names a download names one there is, and every row is well formed."""
    root = HERE.parents[1]
    names = {line.split()[0] for line in (root / "scripts/downloads.txt").read_text().splitlines()
             if line.strip() and not line.startswith("#")}
    files = [path for place in ("titan", "train_configs", "docs", "README.md") for path in [root / place]
             if path.is_file()] + [path for place in ("titan", "train_configs", "docs") for path in (root / place).rglob("*.*")]
    mentions = 0
    for path in files:
        if path.suffix in (".cpp", ".h", ".toml", ".md"):
            text = re.sub(r'"\s*\n\s*"', "", path.read_text())  # texts that C++ joins
            for name in re.findall(r"download\.sh ([a-z0-9-]+) (?:DIR|/)", text):
                assert name in names, f"{path} names a download that is not in scripts/downloads.txt: {name}"
                mentions += 1
    assert mentions >= 8, mentions
    for line in subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True).stdout.splitlines():
        assert line.split()[0] in names
    print(f"ok: {mentions} mentions of downloads in texts")


(work / "table.txt").write_text(ROWS)
server = subprocess.Popen([sys.executable, HERE / "download_server.py", work / "log"], stdout=subprocess.PIPE, text=True)
try:
    port = int(server.stdout.readline())
    named_everywhere()
    good_downloads()
    interrupted_downloads()
    listed_downloads()
    refusals()
    archives()
    print(f"all {checks} passed")
finally:
    server.kill()
    shutil.rmtree(work, ignore_errors=True)
