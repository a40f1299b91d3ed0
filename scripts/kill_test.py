#!/usr/bin/env python3
"""Kills a small run again and again (kill -9, at random points, in the middle of checkpoints too) and starts it again.

    scripts/kill_test.py [--kills N] [--minutes M] [--steps S] [--seed K] [--folder DIR] [--bin DIR] [-- --section.key=value ...]

The run is done once without being touched. Then it is done in courses: from nothing, killed and started until its last step.
At the end of each course weights, averages and both moments must have the bytes of the untouched run, and metrics.jsonl one
line a step with its losses. Courses go on until N kills are done (default 1000) or M minutes have passed; checkpoints are
written in the step and behind it (checkpoint.async_mode), turn by turn. Kills come
    at a random time after the start (imports, set-up, loading, training), or
    within a few milliseconds after a checkpoint's temporary folder has appeared or its files have begun to grow, or
    within a few milliseconds after a checkpoint has got its name (the removal of older ones).
Exit code: 0 where every course ended equal, 1 where one differs or a start failed, 2 for bad arguments. A failed course stays
on the disk.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SMALL = ["--config=debug", "--job.num_threads=1", "--model.args.dim=16", "--model.args.n_layers=1", "--model.args.n_heads=2",
         "--training.dataset=synthetic", "--training.img_size=8", "--training.batch_size=4", "--training.seed=7",
         "--lr_scheduler.warmup_steps=2", "--metrics.log_freq=1", "--sampling.no-enable", "--ema.enable", "--ema.start_step=2",
         "--checkpoint.enable_checkpoint", "--checkpoint.keep_latest_k=2"]


class Job:
    """One run folder and how to start training in it."""

    def __init__(self, options, folder, is_async):
        self.folder = folder
        self.command = [str(options.bin / "train"), *SMALL, f"--job.dump_folder={folder}", f"--training.steps={options.steps}",
                        f"--checkpoint.interval={options.interval}",
                        f"--checkpoint.async_mode={'async' if is_async else 'disabled'}", *options.settings]
        self.last = folder / "checkpoint" / f"step-{options.steps:06d}"

    def start(self):
        self.log = open(self.folder.with_suffix(".log"), "w")
        return subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT, env=os.environ | {"NGPU": ""})

    def finished(self):
        return (self.last / "index.json").exists()

    def state(self):
        """Digest of each file of the last checkpoint, and the loss by step."""
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.last.glob("*.safetensors")}
        losses = [(line["step"], line["loss"]) for line in map(json.loads, open(self.folder / "metrics.jsonl"))
                  if line["kind"] == "train"]
        return files, losses

    def temporary(self):
        """Name and bytes of the checkpoint that is being written, or None."""
        try:
            with os.scandir(self.folder / "checkpoint") as entries:
                for entry in entries:
                    if entry.name.startswith(".tmp-step-"):
                        return entry.name, sum(file.stat().st_size for file in os.scandir(entry.path))
        except FileNotFoundError:
            pass
        return None

    def newest(self):
        try:
            return max((name for name in os.listdir(self.folder / "checkpoint") if name.startswith("step-")), default="")
        except FileNotFoundError:
            return ""


class Pace:
    """Seconds that a start takes at most until a small run is done."""

    def __init__(self, run_s):
        self.run_s = run_s


def wait_for(process, happened, limit_s=120.0):
    """Until happened() or the process ends. Looks often: a checkpoint of this size takes a millisecond."""
    end = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.0002)
    return False


def kill_once(job, rng, pace):
    """Starts the run and kills it. Returns the kind of moment, or None where it had ended before."""
    kind = rng.choice(["anywhere", "anywhere", "in a save", "in a save", "after a save"])
    begin, process = time.monotonic(), job.start()
    if kind == "anywhere":
        try:
            process.wait(rng.uniform(0, pace.run_s))
        except subprocess.TimeoutExpired:
            pass
    else:
        for _ in range(rng.randrange(1, 4)):  # the first, second or third from here
            if kind == "in a save":
                before = job.temporary()
                wait_for(process, lambda: job.temporary() not in (None, before))
            else:
                newest = job.newest()
                wait_for(process, lambda: job.newest() != newest)
        time.sleep(rng.choice([0, 0, rng.uniform(0, 0.002), rng.uniform(0, 0.01)]))
    caught = job.temporary() is not None
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code == -signal.SIGKILL:
        return "with a half-written checkpoint" if caught else kind
    if code == 0:  # a busy machine may be idle by now: kills come within what a run takes today
        pace.run_s = min(pace.run_s, time.monotonic() - begin)
        return None
    raise RuntimeError(f"a start ended by itself with exit code {code}; its log: {job.folder.with_suffix('.log')}")


def run_course(options, job, rng, pace, kills):
    """From nothing to the last step. Counts kills by kind into `kills`."""
    while not job.finished():
        if sum(kills.values()) >= options.kills or time.monotonic() > options.end:
            process = job.start()  # enough: let it finish
            if process.wait() != 0:
                raise RuntimeError(f"the last start failed; its log: {job.folder.with_suffix('.log')}")
            break
        kind = kill_once(job, rng, pace)
        if kind is not None:
            kills[kind] = kills.get(kind, 0) + 1
    if not job.finished():
        raise RuntimeError("the course ended without its last checkpoint")
    if job.temporary() is not None:  # killed behind the last step: the next start cleans up
        if job.start().wait() != 0 or job.temporary() is not None:
            raise RuntimeError("what a kill left behind was not removed")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--interval", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "build/release/bin")
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args()
    if options.kills < 1 or options.steps < 2 * options.interval or not (options.bin / "train").exists():
        print(f"kill_test: needs --kills >= 1, --steps >= 2 intervals and a program train in {options.bin}", file=sys.stderr)
        return 2
    options.bin = options.bin.absolute()
    options.end = time.monotonic() + 60 * options.minutes
    folder = (options.folder or pathlib.Path(tempfile.mkdtemp(prefix="titan-kill-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)

    whole = Job(options, folder / "whole", is_async=False)
    begin = time.monotonic()
    if whole.start().wait() != 0:
        print(f"kill_test: the untouched run failed; its log: {whole.folder.with_suffix('.log')}", file=sys.stderr)
        return 1
    pace = Pace(time.monotonic() - begin)
    expected = whole.state()
    if not expected[0] or len(expected[1]) != options.steps:
        print("kill_test: the untouched run left no state to compare with", file=sys.stderr)
        return 1
    print(f"[kill] untouched: {options.steps} steps in {pace.run_s:.2f} s", flush=True)

    rng, kills, courses = random.Random(options.seed), {}, 0
    while courses < 1 or (sum(kills.values()) < options.kills and time.monotonic() < options.end):
        job = Job(options, folder / f"course-{courses}", is_async=courses % 2 == 1)
        before = sum(kills.values())
        try:
            run_course(options, job, rng, pace, kills)
            difference = [what for what, mine, theirs in zip(("state", "losses"), job.state(), expected) if mine != theirs]
        except RuntimeError as error:
            difference = [str(error)]
        done = sum(kills.values())
        if difference:
            print(f"[kill] course {courses}: DIFFERENT after {done - before} kills: {', '.join(difference)} ({job.folder})")
            return 1
        courses += 1
        print(f"[kill] course {courses}: equal after {done - before} kills ({done} in all, {time.monotonic() - begin:.0f} s)", flush=True)
        shutil.rmtree(job.folder)
    print(f"[kill] {sum(kills.values())} kills in {courses} courses, every state and loss equal: "
          + ", ".join(f"{count} {kind}" for kind, count in sorted(kills.items())))
    if options.folder is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
