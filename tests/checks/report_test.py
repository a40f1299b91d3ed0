#!/usr/bin/env python3
"""`titan report` on runs in every state, its page in a headless Chromium: report_test.py TITAN [FOLDER]

FOLDER keeps runs, pages and screenshots. Without Chromium the page is written but not looked at (exit code 77).
"""
import fcntl
import json
import math
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

from browser import Browser, find_chromium

TITAN = sys.argv[1]
STEPS, GRIDS = 10_000, 20


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(one) for one in what))


def png(width, height, seed):
    """Stripes under strong noise: harder on a codec than any sample grid."""
    noise = random.Random(seed).randbytes(3 * width * height).translate(bytes(i // 3 for i in range(256)))
    rows = bytearray()
    for y in range(height):
        shade = bytes([(y * 7 + seed * 13) % 160]) * (3 * width)
        row = noise[3 * width * y:3 * width * (y + 1)]
        rows += b"\0" + (int.from_bytes(row, "big") + int.from_bytes(shade, "big")).to_bytes(3 * width, "big")

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b""))


def lines_of(steps, seed, start=1):
    """A plausible metrics.jsonl, with a spike, a step that is no number, evaluations, a restart."""
    rng = random.Random(seed)
    lines = []
    now = 1.7e9
    for step in range(start, steps + 1):
        loss = 0.4 + 0.1 * seed + 0.8 * math.exp(-step / 900) + rng.gauss(0, 0.02)
        loss = None if step == 2500 else 9.5 if step == 7777 else loss
        now += 0.31
        lines.append({"kind": "train", "step": step, "samples": 256 * step, "loss": loss,
                      "loss_max": loss and loss + abs(rng.gauss(0, 0.05)), "grad_norm": loss and abs(rng.gauss(0.5, 0.1)),
                      "lr": 1e-4 * min(1, step / 500), "samples_per_s": rng.gauss(830, 9), "step_s": rng.gauss(0.308, 0.004),
                      "data_wait_share": abs(rng.gauss(0.01, 0.004)), "tflops": rng.gauss(431, 4), "mfu": rng.gauss(0.436, 0.004),
                      "memory_gib": 81.25, "time": now})
        if step == 2500:
            lines.append({"kind": "event", "step": step, "event": "nonfinite", "cause": "grad norm <nan>", "time": now})
        if step % 500 == 0:
            now += 20
            lines.append({"kind": "eval", "step": step, "samples": 4096, "loss": loss and loss + 0.05, "seconds": 12.5,
                          "loss_t0": 0.2, "loss_t1": 0.6, "time": now})
            for event in ("sample", "checkpoint"):
                lines.append({"kind": "event", "step": step, "event": event, "seconds": 3.5, "time": now})
        if step == 4000:
            now += 9000
            lines.append({"kind": "event", "step": step, "event": "resume", "world_size": 8, "time": now})
    return "".join(json.dumps(line) + "\n" for line in lines)


def make_run(folder, seed=0, steps=STEPS, grids=GRIDS, side=768, lr="1e-4"):
    (folder / "samples").mkdir(parents=True)
    (folder / "trace").mkdir()
    (folder / "metrics.jsonl").write_text(lines_of(steps, seed))
    (folder / "config.toml").write_text(f'[job]\ndump_folder = "{folder}"\ndescription = "</script>"\n[optimizer]\nlr = {lr}\n'
                                        f"[training]\nsteps = {steps}\n[metrics]\nlog_freq = 1\n")
    (folder / "run.json").write_text(json.dumps({
        "titan_version": "0.1.0", "revision": f"abc{seed}", "device": "a test", "world_size": 8,
        "description": "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
        "arguments": ["--config", "x"], "class_names": ["cat"] * 1000}))
    (folder / "trace/rank-00000.json").write_text(json.dumps(
        {"rank": 0, "steps": [{"step": 90, "ended": True, "seconds": 0.31, "exposed_s": 0.012, "events": []}]}))
    for i in range(1, grids + 1):
        (folder / f"samples/step-{steps * i // grids:06d}.png").write_bytes(png(side, side, seed + i))
    return folder


def report(*arguments, code=0):
    done = subprocess.run([TITAN, "report", *map(str, arguments)], capture_output=True, text=True, timeout=120)
    output = done.stdout + done.stderr
    check(done.returncode == code, "exit code", done.returncode, "not", code, "of", arguments, output)
    return output


def bad_input(folder):
    (folder / "empty").mkdir()
    whole = make_run(folder / "whole", steps=40, grids=2, side=64)
    for arguments, text in [((), "names no run"), ((folder / "none",), "is no folder: there is nothing"),
                            ((folder / "empty",), "is no run's folder"), ((whole / "run.json",), "is no folder"),
                            ((whole, whole), "is given twice"), ((whole, "--outptu", "x"), "unknown option --outptu"),
                            ((whole, "--outptu", "x"), "--watch, --interval"), ((whole, "--watch=5"), "--watch takes no value"),
                            ((whole, "--interval", "5"), "--interval is the time between two pages of --watch"),
                            ((whole, "--watch", "--interval", "0"), "--interval must be a number from 1"),
                            ((whole, "--output", "/no/such/place.html"), "/no/such/place.html")]:
        output = report(*arguments, code=2)
        check(text in output and len(output.splitlines()) == 1, arguments, output)
    print("ok: eleven kinds of bad input, each exit code 2 and one line")
    metrics = whole / "metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-40])
    check("last line of metrics.jsonl is not complete" in report(whole))
    (whole / "run.json").unlink()
    (whole / "config.toml").write_text("[training")
    picture = whole / "samples/step-000040.png"
    picture.write_bytes(picture.read_bytes()[:900])
    (whole / "samples/step-000020.png").write_bytes(b"")
    output = report(whole)
    check("run.json is missing" in output and "config.toml cannot be read" in output, output)
    check(report(whole, "--output", folder / "cut.html") and (folder / "cut.html").stat().st_size > 200_000)
    metrics.unlink()
    check("metrics.jsonl is missing" in report(whole, "--output", folder / "no_metrics.html"))
    print("ok: a run folder cut short is shown with what is missing")


def size(folder):
    run = make_run(folder / "long")
    began = time.monotonic()
    report(run)
    took = time.monotonic() - began
    bytes_ = (run / "report.html").stat().st_size
    check(bytes_ < 2_000_000, "the report has", bytes_, "bytes")
    pngs = sum(path.stat().st_size for path in (run / "samples").iterdir())
    print(f"ok: {STEPS} steps with {GRIDS} grids ({pngs / 1e6:.1f} MB of PNG): {bytes_} bytes, written in {took:.1f} s")
    return run


DRAWN = """[...document.querySelectorAll('canvas')].map((canvas) => {
  if (!canvas.width || !canvas.height) return 'hidden';
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, colors = new Set();
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) colors.add(data[i] + 256 * data[i + 1] + 65536 * data[i + 2]);
  return colors.size;
})"""


def check_page(browser, page, runs):
    browser.open(page)
    check(not browser.errors and not browser.requests, "errors", browser.errors, "requests", browser.requests)
    drawn = browser.value(DRAWN)
    visible = [colors for colors in drawn if colors != "hidden"]
    check(len(visible) >= 11 and min(visible) > 3, "blank canvas", drawn)
    check(browser.value("window.hacked") is None, "a description became a script")
    check(browser.value("runs.length") == runs)


def in_browser(browser, folder, run):
    check_page(browser, run / "report.html", 1)
    text = browser.value("document.body.innerText")
    check("</script><script>window.hacked = 1</script>" in text, "the description is not shown as it is")
    check("10,000 records in 500 points" in text, text[:2000])
    check("exposed communication" in text and "step 10,000" in text)
    # The spike and the gap of single steps are in the drawn data; breaks are no time of the run.
    check(browser.value("Math.max(...charts[0].data.datasets[1].data.map((p) => p.y))") > 9.4)
    check(browser.value("runs[0].train.series.loss.missing.length") == 1)
    hours = browser.value("runs[0].train.hours.at(-1)")
    check(abs(hours - (STEPS * 0.308 + 20 * 20) / 3600) < 0.1, "hours", hours)
    texts = browser.value("[compact(1.22e21), compact(2.5e12), memoryText(0.006102), memoryText(3.5), stepText(runs[0])]")
    check(texts == ["1.22e+21", "2.5T", "6.248 MiB", "3.5 GiB", "10,000 of 10,000"], texts)
    # Axes.
    ends = {}
    for axis in ("samples", "hours", "step"):
        browser.value(f"document.querySelector('#axis button[value={axis}]').click()")
        ends[axis] = browser.value("charts[0].data.datasets.at(-1).data.at(-1).x")
    check(ends["samples"] == 256 * STEPS and ends["step"] == STEPS, ends)
    # The state lives through a reload.
    browser.value("document.querySelector('#axis button[value=samples]').click()")
    browser.value("document.getElementById('log').click()")
    browser.value("document.querySelector('.film button').click()")
    loads = browser.loads
    browser.call("Page.reload")
    browser.wait_for_loads(loads + 1)
    check(browser.value("[view.axis, view.log, charts[0].options.scales.y.type]") == ["samples", True, "logarithmic"])
    check(browser.value("document.querySelector('.slider output').textContent") == "step 500")
    check(browser.value("document.querySelector('figure img.grid').naturalWidth") > 100, "the picture is not shown")
    browser.screenshot(folder / "one.png")
    # Three runs, dark; one hidden.
    runs = [run, make_run(folder / "higher_lr", seed=1, steps=3000, grids=3, side=256, lr="2e-4"),
            make_run(folder / "third", seed=2, steps=5200, grids=4, side=256)]
    report(*runs, "--output", folder / "three.html")
    browser.dark()
    check_page(browser, folder / "three.html", 3)
    keys = browser.value("[...document.querySelectorAll('#settings tbody td:first-child')].map((cell) => cell.textContent)")
    check(keys == ["job.dump_folder", "optimizer.lr", "training.steps"], keys)
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    check(paper == "rgb(20, 23, 27)", paper)
    before = browser.value("charts[0].data.datasets.length")
    browser.value("document.querySelectorAll('button.run')[1].click()")
    check(browser.value("charts[0].data.datasets.length") < before)
    browser.value("document.querySelectorAll('button.run')[1].click()")
    browser.screenshot(folder / "three_dark.png")
    browser.dark(False)
    # What is missing is said.
    for page in ("cut.html", "no_metrics.html"):
        browser.open(folder / page)
        check(not browser.errors, browser.errors)
        notes = browser.value("document.getElementById('notes').innerText")
        check("is missing" in notes and "sample grid of step 40: the file is not a whole PNG" in notes, notes)
        browser.screenshot(folder / page.replace(".html", ".png"))
    print("ok: pages in Chromium: no errors, no requests, charts drawn, axes, reload, three runs, dark, cut short")


def watched(browser, folder):
    """A trainer that holds the folder's lock and writes; the page follows until it ends."""
    run = make_run(folder / "live", steps=30, grids=1, side=64)
    (run / "config.toml").write_text("[training]\nsteps = 60\n")
    lock = open(run / ".lock", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write(f"host {socket.gethostname()}, pid {os.getpid()}")
    lock.flush()
    watch = subprocess.Popen([TITAN, "report", run, "--watch", "--interval", "1"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    page = run / "report.html"
    end = time.monotonic() + 30
    while not page.exists():
        check(time.monotonic() < end and watch.poll() is None, "no page while the run goes on")
        time.sleep(0.05)
    last = 30
    if browser:
        browser.open(page)
        browser.value("document.querySelector('#axis button[value=samples]').click()")
        browser.value("window.scrollTo(0, 333)")
    new = lines_of(60, 0, start=31).splitlines(keepends=True)
    with open(run / "metrics.jsonl", "a") as metrics:
        for line in new[:-1]:  # half a line at every moment
            metrics.write(line[:25])
            metrics.flush()
            time.sleep(0.04)
            metrics.write(line[25:])
        metrics.write(new[-1][:30])
        metrics.flush()
        time.sleep(2.5)
        if browser:
            loads = browser.loads
            browser.wait_for_loads(loads + 1, 20)
            browser.value("0")
            last = browser.value("runs[0].train.step.at(-1)")
            check(last > 40, "the page does not follow", last)
            check(browser.value("[view.axis, window.scrollY]") == ["samples", 333],
                  browser.value("[view.axis, window.scrollY]"))
            summary = browser.value("document.getElementById('summary').innerText")
            check("is being written" in summary and " of 60" in summary and " left" in summary, summary)
        metrics.write(new[-1][30:])
    lock.close()
    output, _ = watch.communicate(timeout=30)
    check(watch.returncode == 0, output)
    data = page.read_text()
    check('"reload_s":0' in data and '"state":"finished"' in data, "the last page is not final")
    if browser:
        check(not browser.errors and not browser.requests, browser.errors, browser.requests)
    # Asked to end, it leaves a page that does not reload.
    with open(run / ".lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page.unlink()
        watch = subprocess.Popen([TITAN, "report", run, "--watch"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not page.exists() and time.monotonic() < end:
            time.sleep(0.05)
        watch.send_signal(signal.SIGINT)
        check(watch.wait(timeout=30) == 0 and '"reload_s":0' in page.read_text())
    check(not list(run.glob("*.tmp-*")), "temporary files are left")
    print(f"ok: --watch follows a run that is being written (page seen at step {last}), and ends with it")


def main(folder):
    bad_input(folder)
    run = size(folder)
    program = find_chromium()
    if program is None:
        watched(None, folder)
        print("skipped: no chromium (scripts/setup.sh --with-tests installs it, as root); the pages were written but not looked at")
        return 77
    with Browser(program) as browser:
        in_browser(browser, folder, run)
        watched(browser, folder)
    print("all passed")
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        kept = pathlib.Path(sys.argv[2])
        kept.mkdir(parents=True, exist_ok=True)
        sys.exit(main(kept))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(pathlib.Path(temporary)))
