#!/usr/bin/env python3
"""Sends a run's metrics and sample grids to Weights & Biases, beside the training and never in its way.

    scripts/wandb_sidecar.py RUN                    send what a run's folder holds, then end
    scripts/wandb_sidecar.py RUN --trainer FD       how train starts it (metrics.enable_wandb): follow the run
                             [--fresh]              until its trainer ends; --fresh: this is no resumed run

It follows RUN/metrics.jsonl, so the training never waits for a network. FD is a socket to the trainer: a byte "f" says
that the run is done, its end that the trainer is gone (killed, or failed); words written to it are logged there as a
warning. RUN/wandb.json keeps the run's id and what was sent, so a resumed run goes on as the same W&B run: steps that
it does again were sent already and are bit-equal, and are left out. RUN/wandb.log has this program's output.

Variables of wandb itself work as always: WANDB_PROJECT, WANDB_MODE=offline, WANDB_API_KEY, WANDB_NAME, ...
"""
import argparse
import fcntl
import importlib.util
import json
import os
import pathlib
import secrets
import select
import socket
import sys
import time

WAIT_FOR_OTHER_S = 600
INSTALL = "pip install -r scripts/requirements-wandb.txt"
SPEED = {"samples_per_s", "step_s", "data_wait_share", "tflops", "mfu", "mfu_fp8", "memory_gib"}


class Trainer:
    """The process that writes the run; without a socket, one that has ended."""

    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd) if fd is not None else None
        self.finished = fd is None
        self.gone = fd is None

    def wait(self, seconds):
        """Wait that long, or until the trainer ends."""
        if self.gone:
            return
        readable, _, _ = select.select([self.socket], [], [], seconds)
        if not readable:
            return
        try:
            word = self.socket.recv(16)
        except OSError:
            word = b""
        self.finished = self.finished or b"f" in word
        self.gone = self.finished or not word

    def warn(self, text):
        print(f"[wandb] {text}", flush=True)
        if self.socket is not None:
            try:
                self.socket.send(text.encode() + b"\n", socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
            except OSError:
                pass


class Lines:
    """Whole lines of a file that grows, as JSON objects; begins anew where the file was replaced or cut back."""

    def __init__(self, path):
        self.path = path
        self.file = None

    def new(self):
        found = []
        try:
            there = os.stat(self.path)
        except OSError:
            return found
        if self.file is not None:
            here = os.fstat(self.file.fileno())
            if (here.st_ino, here.st_dev) != (there.st_ino, there.st_dev) or there.st_size < self.file.tell():
                self.file.close()
                self.file = None
        if self.file is None:
            self.file = open(self.path, "rb")
        while True:
            begin = self.file.tell()
            line = self.file.readline()
            if not line.endswith(b"\n"):  # being written, or torn by a crash
                self.file.seek(begin)
                return found
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                found.append(record)


class State:
    """RUN/wandb.json: id of the W&B run, the last step sent of each kind of line, events counted."""

    def __init__(self, path, fresh):
        self.path = path
        self.values = {"id": secrets.token_hex(4), "sent": {}, "events": {}}
        if not fresh:
            try:
                kept = json.loads(path.read_text())
                self.values.update({name: kept[name] for name in self.values})
            except (OSError, ValueError, KeyError, TypeError):
                pass

    def save(self):
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.values))
        temporary.replace(self.path)

    def is_new(self, kind, step):
        """Whether a line was not sent before; remembers it."""
        if step <= self.values["sent"].get(kind, -1):
            return False
        self.values["sent"][kind] = step
        return True

    def count(self, event):
        self.values["events"][event] = self.values["events"].get(event, 0) + 1
        return self.values["events"][event]


def numbers(record):
    return {name: value for name, value in record.items()
            if name not in ("kind", "step", "time", "event") and isinstance(value, (int, float))
            and not isinstance(value, bool)}


class Upload:
    """Turns lines into rows of a W&B run."""

    def __init__(self, run, state, run_folder, image):
        self.run, self.state, self.run_folder, self.image = run, state, run_folder, image
        self.step = run.step

    def send(self, records):
        any_new = False
        for record in records:
            values = self.values_of(record)
            if not values:
                continue
            # An event may tell of an earlier step than the last line: W&B's steps never go back.
            self.step = max(record["step"], self.step)
            self.run.log(values, step=self.step)
            any_new = True
        if any_new:
            self.state.save()

    def values_of(self, record):
        """Names and values of a line; nothing where it is to be left out."""
        kind, step = record.get("kind"), record["step"]
        event = str(record.get("event"))
        if kind not in ("train", "eval", "event"):
            return {}
        if not self.state.is_new(f"event {event}" if kind == "event" else kind, step):
            return {}
        if kind == "train":
            return {("speed/" if key in SPEED else "train/") + key: value for key, value in numbers(record).items()}
        if kind == "eval":
            return {f"eval/{key}": value for key, value in numbers(record).items()}
        values = {f"events/{event}": self.state.count(event)}
        grid = self.run_folder / "samples" / f"step-{step:06d}.png"
        if event == "sample" and grid.is_file():
            try:
                values["samples/grid"] = self.image(str(grid), caption=f"step {step}")
            except Exception as error:  # a damaged picture is no reason to lose the curves
                print(f"[wandb] {grid}: {error}", flush=True)
        return values


def settings_of(run_folder):
    """The run's resolved settings and run.json; what cannot be read is left out."""
    config = {}
    try:
        import tomllib
        config = tomllib.loads((run_folder / "config.toml").read_text())
    except (ImportError, OSError, ValueError) as error:
        print(f"[wandb] no settings: {error}", flush=True)
    try:
        info = json.loads((run_folder / "run.json").read_text())
        config["run"] = {key: value for key, value in info.items() if key not in ("class_names", "sample_fields")}
    except (OSError, ValueError):
        pass
    return config


def take_lock(path, trainer):
    """One sidecar a run: that of a trainer just killed may still be sending its last lines."""
    lock = open(path, "w")
    deadline = time.monotonic() + WAIT_FOR_OTHER_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError:
            if time.monotonic() > deadline:
                trainer.warn("another process still sends this run; nothing is sent from here")
                sys.exit(1)
            time.sleep(0.2)


def follow(run_folder, trainer, fresh, interval_s, wandb):
    state = State(run_folder / "wandb.json", fresh)
    state.save()
    config = settings_of(run_folder)
    run = wandb.init(settings=wandb.Settings(console="off"), id=state.values["id"], resume="allow", dir=str(run_folder), config=config,
                     name=os.environ.get("WANDB_NAME", run_folder.name),
                     project=os.environ.get("WANDB_PROJECT", "titan"),
                     notes=os.environ.get("WANDB_NOTES", config.get("run", {}).get("description")))
    print(f"[wandb] run {state.values['id']}", flush=True)
    if getattr(run, "resumed", False) and not getattr(run.settings, "_offline", False):
        for kind, step in state.values["sent"].items():  # what never reached the server is sent again
            state.values["sent"][kind] = min(step, run.step - 1)
    upload = Upload(run, state, run_folder, wandb.Image)
    lines = Lines(run_folder / "metrics.jsonl")
    while not trainer.gone:
        upload.send(lines.new())
        trainer.wait(interval_s)
    upload.send(lines.new())
    run.finish(exit_code=0 if trainer.finished else 1)
    print("[wandb] " + ("done" if trainer.finished else "the trainer is gone without a last word"), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--trainer", type=int)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--interval", type=float, default=2, help="seconds between looks at the file")
    arguments = parser.parse_args()
    trainer = Trainer(arguments.trainer)
    run_folder = arguments.run.resolve()
    if not (run_folder / "metrics.jsonl").is_file():
        trainer.warn(f"{run_folder} holds no metrics.jsonl")
        return 2
    if importlib.util.find_spec("wandb") is None:
        trainer.warn(f"{sys.executable} has no wandb: nothing is sent ({INSTALL})")
        return 2
    lock = take_lock(run_folder / ".wandb.lock", trainer)
    try:
        import wandb
        follow(run_folder, trainer, arguments.fresh, arguments.interval, wandb)
    except Exception as error:
        trainer.warn(f"{type(error).__name__}: {error}; training goes on (WANDB_MODE=offline needs no network)")
        return 1
    finally:
        lock.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
