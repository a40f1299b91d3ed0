#!/usr/bin/env python3
"""Trains a toy model for many steps, with evaluations, pictures and checkpoints in between, and watches its memory.

    scripts/soak.py [--steps N] [--out FILE.tsv] [--svg FILE.svg] [--folder DIR] [--bin DIR] [--allowed MIB] [--every SECONDS]
                    [-- --section.key=value ...]

Once a second (--every) the process' resident memory is noted beside its step. A line is laid through what comes after the first tenth
of the steps (allocators and caches have filled by then). Exit code: 0 where that line rises by at most --allowed MiB
(default 4) from there to the end, 1 where it rises more or training fails, 2 for bad arguments.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

SMALL = ["--config=debug", "--job.num_threads=1", "--model.args.dim=16", "--model.args.n_layers=1", "--model.args.n_heads=2",
         "--training.dataset=synthetic", "--training.img_size=8", "--training.batch_size=4", "--training.seed=7",
         "--ema.enable", "--metrics.log_freq=100", "--metrics.enable_tensorboard", "--eval.dataset=synthetic", "--eval.batch_size=8",
         "--eval.subset_size=16", "--eval.target_eval_loss=0", "--sampling.enable", "--sampling.num_samples=4", "--sampling.steps=2",
         "--checkpoint.enable_checkpoint", "--checkpoint.keep_latest_k=2", "--checkpoint.async_mode=async"]


def resident_kib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Steps:
    """The last step in metrics.jsonl, read as it grows."""

    def __init__(self, path):
        self.path, self.at, self.last = path, 0, 0

    def now(self):
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self.at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self.at += len(line)
                    self.last = json.loads(line).get("step", self.last)
        return self.last


def watch(process, steps, every_s):
    """[(seconds, step, KiB)] until the process ends."""
    begin, samples = time.monotonic(), []
    while process.poll() is None:
        try:
            kib = resident_kib(process.pid)
        except FileNotFoundError:
            break
        if kib > 0:
            samples.append((time.monotonic() - begin, steps.now(), kib))
        time.sleep(every_s)
    return samples


def fitted(samples):
    """Slope and height of the line through (step, KiB), by least squares."""
    count = len(samples)
    mean_x = sum(s[1] for s in samples) / count
    mean_y = sum(s[2] for s in samples) / count
    spread = sum((s[1] - mean_x) ** 2 for s in samples)
    slope = sum((s[1] - mean_x) * (s[2] - mean_y) for s in samples) / spread if spread else 0.0
    return slope, mean_y - slope * mean_x


def draw(samples, line, path):
    width, height, left, bottom = 720, 240, 60, 30
    most_x, most_y = max(s[1] for s in samples), 1.15 * max(s[2] for s in samples)
    place = lambda step, kib: f"{left + (width - left - 10) * step / most_x:.1f},{height - bottom - (height - bottom - 10) * kib / most_y:.1f}"
    every = max(1, len(samples) // 600)
    points = " ".join(place(s[1], s[2]) for s in samples[::every])
    slope, base = line
    ends = " ".join(place(x, base + slope * x) for x in (most_x / 10, most_x))
    marks = "".join(f'<text x="{left - 6}" y="{float(place(0, k * 1024).split(",")[1]) + 4}" text-anchor="end">{k}</text>'
                    for k in range(0, int(most_y / 1024) + 1, max(1, int(most_y / 1024) // 4)))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">'
        f'<rect width="{width}" height="{height}" fill="white"/>{marks}'
        f'<polyline points="{points}" fill="none" stroke="#1f77b4"/><polyline points="{ends}" fill="none" stroke="#d62728" stroke-dasharray="5 4"/>'
        f'<text x="{left}" y="{height - 8}">0</text><text x="{width - 10}" y="{height - 8}" text-anchor="end">step {most_x}</text>'
        f'<text x="{left}" y="14">resident memory, MiB; dashed: the line through all but the first tenth, {slope * 1000 / 1024:+.4f} MiB per 1,000 steps</text></svg>\n')


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--allowed", type=float, default=4)
    parser.add_argument("--every", type=float, default=1)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "build/release/bin")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args()
    if options.steps < 1000 or not (options.bin / "train").exists():
        print(f"soak: needs --steps >= 1000 and a program train in {options.bin}", file=sys.stderr)
        return 2
    folder = (options.folder or pathlib.Path(tempfile.mkdtemp(prefix="titan-soak-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    log = open(folder / "train.log", "w")
    process = subprocess.Popen(
        [str(options.bin / "train"), *SMALL, f"--job.dump_folder={run}", f"--training.steps={options.steps}",
         f"--checkpoint.interval={options.steps // 20}", f"--eval.eval_freq={4 * options.steps // 20}", f"--sampling.freq={options.steps // 10}",
         *options.settings], stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"NGPU": ""})
    samples = watch(process, Steps(run / "metrics.jsonl"), options.every)
    if process.wait() != 0:
        print(f"soak: training ended with exit code {process.returncode}; its log: {folder / 'train.log'}", file=sys.stderr)
        return 1
    settled = [s for s in samples if s[1] >= options.steps // 10]
    if len(settled) < 10:
        print("soak: too short to say anything (fewer than 10 samples behind the first tenth)", file=sys.stderr)
        return 1
    slope, base = fitted(settled)
    growth = slope * 0.9 * options.steps / 1024
    evaluations = sum(json.loads(line)["kind"] == "eval" for line in open(run / "metrics.jsonl"))
    print(f"[soak] {options.steps} steps in {samples[-1][0]:.0f} s, {evaluations} evaluations, 20 checkpoints, 10 grids; resident memory "
          f"{settled[0][2] / 1024:.1f} MiB at step {settled[0][1]}, {settled[-1][2] / 1024:.1f} MiB at step {settled[-1][1]}, "
          f"largest {max(s[2] for s in samples) / 1024:.1f} MiB; slope {slope * 1000:+.3f} KiB per 1,000 steps ({growth:+.2f} MiB in all)")
    if options.out:
        with open(options.out, "w") as out:
            out.write("seconds\tstep\trss_kib\n")
            out.writelines(f"{seconds:.0f}\t{step}\t{kib}\n" for seconds, step, kib in samples[::max(1, len(samples) // 500)])
    if options.svg:
        draw(samples, (slope, base), options.svg)
    if options.folder is None:
        shutil.rmtree(folder)
    if growth > options.allowed:
        print(f"soak: memory grows by {growth:.2f} MiB, allowed are {options.allowed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
