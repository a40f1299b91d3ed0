#!/usr/bin/env python3
"""scripts/wandb_sidecar.py against files that grow, are cut back and end badly, and beside real runs.

    wandb_sidecar_test.py fake TRAIN    with a stand-in for wandb that writes down what it is given
    wandb_sidecar_test.py real          with wandb itself, offline (TITAN_PYTHON names a Python that has it; else skipped)
"""
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDECAR = ROOT / "scripts/wandb_sidecar.py"
FAKE = '''
import json, os, time
def note(**what):
    with open(os.environ["FAKE_WANDB"], "a") as file:
        file.write(json.dumps(what) + "\\n")
class Settings:
    _offline = True
    def __init__(self, console="wrap"):
        self.console = console
class Run:
    step, resumed, settings = 0, False, Settings()
    def log(self, values, step):
        note(log=values, step=step)
    def finish(self, exit_code):
        note(finish=exit_code)
def Image(path, caption):
    return "image " + os.path.basename(path)
def init(**settings):
    time.sleep(float(os.environ.get("FAKE_WANDB_DELAY", "0")))
    if os.environ.get("FAKE_WANDB_ERROR"):
        raise RuntimeError(os.environ["FAKE_WANDB_ERROR"])
    check = settings.pop('settings').console
    note(init=dict(settings, console=check))
    return Run()
'''


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(one) for one in what))


def dot():
    """A PNG of one gray pixel."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b""))


def train_line(step, **more):
    return json.dumps({"kind": "train", "step": step, "samples": 8 * step, "loss": 1 / step, "grad_norm": None,
                       "samples_per_s": 40.5, "time": 1e9 + step, **more}) + "\n"


def has_wandb():
    """Whether this Python has the real one."""
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run([sys.executable, "-c", "import wandb"], capture_output=True, env=environment).returncode == 0


class Place:
    """A run's folder and a stand-in for wandb."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.run = self.folder / "run"
        self.run.mkdir()
        (self.folder / "wandb.py").write_text(FAKE)
        self.notes_path = self.folder / "notes"
        self.metrics = self.run / "metrics.jsonl"
        self.environment = {**os.environ, "PYTHONPATH": str(self.folder), "FAKE_WANDB": str(self.notes_path)}

    def notes(self, key):
        if not self.notes_path.exists():
            return []
        lines = [json.loads(line) for line in self.notes_path.read_text().splitlines()]
        return [line for line in lines if key in line]

    def steps(self):
        return [line["step"] for line in self.notes("log") if "train/loss" in line["log"]]

    def wait_for(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            check(time.monotonic() < end, "no", what, "after", seconds, "s:", self.notes("log")[-3:])
            time.sleep(0.05)

    def start(self, *more, **environment):
        """The sidecar as train starts it; returns it and the trainer's end of the socket."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, SIDECAR, self.run, "--trainer", str(theirs.fileno()), "--interval=0.2", *more]
        process = subprocess.Popen(command, env={**self.environment, **environment}, pass_fds=[theirs.fileno()],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        theirs.close()
        return process, ours


def end(process, code):
    output, _ = process.communicate(timeout=30)
    check(process.returncode == code, "exit code", process.returncode, "not", code, output)
    return output


def sends_what_is_there(place):
    place.metrics.write_text(train_line(1) + "not json\n[1]\n" + train_line(2) + json.dumps(
        {"kind": "eval", "step": 2, "loss": 0.25, "seconds": 3.0, "loss_t0": None}) + "\n" + json.dumps(
        {"kind": "event", "step": 2, "event": "sample"}) + "\n" + train_line(3)[:-9])
    (place.run / "samples").mkdir()
    (place.run / "samples/step-000002.png").write_bytes(b"png")
    (place.run / "config.toml").write_text("[training]\nsteps = 3\n")
    (place.run / "run.json").write_text('{"revision": "abc", "description": "</script>", "class_names": ["cat"]}')
    done = subprocess.run([sys.executable, SIDECAR, place.run], env=place.environment, capture_output=True, text=True)
    check(done.returncode == 0, done.stdout, done.stderr)
    init = place.notes("init")[0]["init"]
    check(init["config"] == {"training": {"steps": 3}, "run": {"revision": "abc", "description": "</script>"}}, init)
    check(init["console"] == "off" and init["notes"] == "</script>" and init["name"] == "run", init)
    rows = [(row["step"], row["log"]) for row in place.notes("log")]
    check(rows == [
        (1, {"train/samples": 8, "train/loss": 1.0, "speed/samples_per_s": 40.5}),
        (2, {"train/samples": 16, "train/loss": 0.5, "speed/samples_per_s": 40.5}),
        (2, {"eval/loss": 0.25, "eval/seconds": 3.0}),
        (2, {"events/sample": 1, "samples/grid": "image step-000002.png"})], rows)
    check(place.notes("finish") == [{"finish": 0}])


def follows_until_the_end(place):
    place.metrics.write_text(train_line(1))
    process, trainer = place.start("--fresh")
    place.wait_for(lambda: place.steps() == [1], "step 1")
    with open(place.metrics, "a") as file:
        file.write(train_line(2)[:20])
        file.flush()
        time.sleep(0.6)  # longer than one look
        check(place.steps() == [1], "half a line was read", place.steps())
        file.write(train_line(2)[20:] + train_line(3))
    trainer.send(b"f")
    output = end(process, 0)
    check(place.steps() == [1, 2, 3] and place.notes("finish") == [{"finish": 0}], output, place.notes("log"))


def notices_a_killed_trainer_and_resumes(place):
    place.metrics.write_text("".join(train_line(step) for step in (1, 2, 3, 4)))
    process, trainer = place.start("--fresh")
    trainer.close()
    check("gone without a last word" in end(process, 0))
    check(place.notes("finish") == [{"finish": 1}], place.notes("finish"))
    # A resume at step 2 cuts the file back by a new one; 3 and 4 are done again.
    cut = place.run / "new"
    cut.write_text("".join(train_line(step) for step in (1, 2)))
    cut.replace(place.metrics)
    process, trainer = place.start()
    with open(place.metrics, "a") as file:
        file.write("".join(train_line(step) for step in (3, 4, 5)))
    trainer.send(b"f")
    end(process, 0)
    check(place.steps() == [1, 2, 3, 4, 5], place.steps())
    ids = [note["init"]["id"] for note in place.notes("init")]
    check(len(ids) == 2 and ids[0] == ids[1] and place.notes("init")[1]["init"]["resume"] == "allow", ids)
    process, trainer = place.start("--fresh")
    trainer.send(b"f")
    end(process, 0)
    check(place.notes("init")[2]["init"]["id"] != ids[0], "a new run has the old one's id")
    check(place.steps() == 2 * [1, 2, 3, 4, 5], place.steps())


def sees_a_file_cut_back_while_it_follows(place):
    place.metrics.write_text("".join(train_line(step) for step in (1, 2, 3, 4)))
    process, trainer = place.start()
    place.wait_for(lambda: len(place.steps()) == 4, "four steps")
    os.truncate(place.metrics, len(train_line(1)))
    with open(place.metrics, "a") as file:
        file.write(train_line(2))
    time.sleep(0.6)
    with open(place.metrics, "a") as file:
        file.write("".join(train_line(step) for step in (3, 4, 5)))
    trainer.send(b"f")
    end(process, 0)
    check(place.steps() == [1, 2, 3, 4, 5], place.steps())


def one_at_a_time(place):
    place.metrics.write_text(train_line(1))
    first, first_trainer = place.start(FAKE_WANDB_DELAY="2")
    time.sleep(0.5)
    second, second_trainer = place.start()
    first_trainer.close()
    second_trainer.send(b"f")
    end(first, 0)
    end(second, 0)
    check(place.steps() == [1] and [note["finish"] for note in place.notes("finish")] == [1, 0], place.notes("finish"))


def complains_to_the_trainer(place):
    place.metrics.write_text(train_line(1))
    process, trainer = place.start(FAKE_WANDB_ERROR="no API key")
    end(process, 1)
    check("RuntimeError: no API key; training goes on (WANDB_MODE=offline" in trainer.recv(1000).decode())
    (place.folder / "wandb.py").unlink()
    process, trainer = place.start(PYTHONNOUSERSITE="1")
    if not has_wandb():
        end(process, 2)
        check("has no wandb: nothing is sent (pip install -r scripts/requirements-wandb.txt)" in trainer.recv(1000).decode())
    process.kill()
    process.wait()
    place.metrics.unlink()
    process, trainer = place.start()
    check("holds no metrics.jsonl" in end(process, 2))


TINY = ["--config=debug", "--job.num_threads=1", "--model.args.dim=32", "--model.args.n_layers=2", "--model.args.n_heads=4",
        "--training.dataset=synthetic", "--training.img_size=16", "--training.batch_size=8", "--training.seed=7",
        "--sampling.freq=20", "--sampling.steps=2", "--checkpoint.enable_checkpoint", "--checkpoint.interval=20",
        "--metrics.enable_wandb", "--metrics.log_freq=1"]


def beside_training(place, train):
    def command(steps):
        return [train, *TINY, f"--job.dump_folder={place.run}", f"--training.steps={steps}"]

    def run(steps, **environment):
        done = subprocess.run(command(steps), env={**place.environment, "TITAN_PYTHON": sys.executable, **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        check(done.returncode == 0, done.stdout)
        return done.stdout

    # Killed in the middle: the sidecar ends the run by itself, with all that was written.
    killed = subprocess.Popen(command(1_000_000), env={**place.environment, "TITAN_PYTHON": sys.executable},
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    place.wait_for(lambda: len(place.steps()) > 70, "70 steps", 60)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    place.wait_for(lambda: place.notes("finish"), "end after kill -9")
    check(place.notes("finish") == [{"finish": 1}])
    last = place.steps()[-1]
    # It goes on from a checkpoint below what was sent; a network that takes 4 s holds nothing up.
    began = time.monotonic()
    run(last + 50, FAKE_WANDB_DELAY="4")
    took = time.monotonic() - began
    check(len(place.notes("finish")) == 1, "training waited for the sidecar", took)
    place.wait_for(lambda: len(place.notes("finish")) == 2, "end")
    check(place.notes("finish")[1] == {"finish": 0})
    check(place.steps() == list(range(1, last + 51)), "steps are not sent once each", place.steps())
    check(len({note["init"]["id"] for note in place.notes("init")}) == 1, "the resumed run has another id")
    events = [json.loads(line) for line in place.metrics.read_text().splitlines() if '"event"' in line]
    resumed = [event for event in events if event["event"] == "resume"]
    check(len(resumed) == 1 and resumed[0]["step"] <= last and resumed[0]["world_size"] == 1, resumed)
    check(events[-1]["event"] == "finish" and events[-1]["step"] == last + 50, events[-1])
    check(all(event["seconds"] > 0 for event in events if event["event"] in ("checkpoint", "sample")), events[:3])
    pictures = [row["log"]["samples/grid"] for row in place.notes("log") if "samples/grid" in row["log"]]
    check(pictures[0] == "image step-000020.png", pictures)
    print(f"beside training: killed at {last}, {last + 50} steps sent once each; resumed run took {took:.1f} s")
    # What is missing is one warning.
    cases = [({"TITAN_PYTHON": "/no/python"}, "cannot start /no/python"), ({"TITAN_PYTHON": "/bin/false"}, "training goes on")]
    if not has_wandb():
        cases.append(({"PYTHONPATH": ""}, "has no wandb: nothing is sent (pip install -r"))
    for environment, text in cases:
        last += 200
        output = run(last, **environment)
        check(len(re.findall(r"\[wandb\]", output)) == 1 and text in output, output)
        print("one warning:", re.search(r"\[wandb\].*", output).group(0))


def fake(train):
    for test in (sends_what_is_there, follows_until_the_end, notices_a_killed_trainer_and_resumes,
                 sees_a_file_cut_back_while_it_follows, one_at_a_time, complains_to_the_trainer):
        with tempfile.TemporaryDirectory() as folder:
            test(Place(folder))
            print("ok:", test.__name__)
    if train:
        with tempfile.TemporaryDirectory() as folder:
            beside_training(Place(folder), train)
            print("ok: beside_training")


def real():
    python = os.environ.get("TITAN_PYTHON", "python3")
    if subprocess.run([python, "-c", "import wandb, PIL"], capture_output=True).returncode:
        print(f"skipped: {python} has no wandb with Pillow (pip install -r scripts/requirements-wandb.txt; TITAN_PYTHON=...)")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        (place.folder / "wandb.py").unlink()
        (place.run / "samples").mkdir()
        (place.run / "config.toml").write_text("[training]\nsteps = 4\n")
        (place.run / "samples/step-000002.png").write_bytes(dot())
        place.metrics.write_text(train_line(1) + train_line(2) + '{"kind":"event","step":2,"event":"sample"}\n')
        environment = {**place.environment, "WANDB_MODE": "offline"}
        for more, lines in [(["--fresh"], ""), ([], train_line(3) + train_line(4))]:
            with open(place.metrics, "a") as file:
                file.write(lines)
            done = subprocess.run([python, SIDECAR, place.run, *more], env=environment, capture_output=True, text=True,
                                  timeout=120)
            check(done.returncode == 0, done.stdout, done.stderr)
        files = sorted(place.run.glob("wandb/offline-run-*/*.wandb"))
        ids = {path.stem for path in files}
        check(len(files) == 2 and ids == {"run-" + json.loads((place.run / "wandb.json").read_text())["id"]}, files)
        texts = [path.read_bytes() for path in files]
        check(b"train/loss" in texts[0] and b"train/loss" in texts[1], "no loss in the files")
        check(b"samples/grid" in texts[0], "no picture in the files", done.stdout)
        check(b"samples/grid" not in texts[1], "what was sent before is sent again")
        pictures = list(place.run.glob("wandb/offline-run-*/files/media/images/samples/*.png"))
        check(len(pictures) == 1, pictures)
        print("ok: wandb itself, offline, twice:", *[f"{path.name} {path.stat().st_size} bytes" for path in files])


if __name__ == "__main__":
    if sys.argv[1] == "fake":
        fake(sys.argv[2] if len(sys.argv) > 2 else None)
    else:
        real()
    print("all passed")
