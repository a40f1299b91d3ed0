#!/usr/bin/env python3
"""Saving and loading a checkpoint: titan beside torch.save, torch.load and safetensors, in turns, in one run.

    ninja -C build/release checkpoint_bench
    python3 scripts/bench_checkpoint.py --python /path/with/torch/bin/python3 [--folder /dev/shm] [--mib 1024] [--rounds 7]
                                        [--out docs/results/checkpoint_io.md]

All hold the same number of float32 tensors of the same size. Saving starts with the tensors in memory and ends with the
files complete (ours: synced, hashed, renamed). Loading reads every byte: ours verifies and copies into the buffers of the
run; torch.load and safetensors make new tensors, which a training program then still has to copy into its own, so that is
timed as well (load + copy). Rounds alternate; medians; GB = 1e9 bytes. For each number of threads one table.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

PEER = r"""
import os, sys, time
import torch
try:
    from safetensors.torch import load_file, save_file
except ImportError:
    load_file = save_file = None
folder, mib, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
state = {f"w{i}": torch.randn((mib << 18) // count) for i in range(count)}
pt, st = os.path.join(folder, "peer.pt"), os.path.join(folder, "peer.safetensors")

def copy(loaded):
    for name, tensor in loaded.items():
        state[name].copy_(tensor)

def run(what):
    if what == "save": torch.save(state, pt)
    if what == "load": torch.load(pt)
    if what == "copy": copy(torch.load(pt))
    if what == "st_save": save_file(state, st)
    if what == "st_load": [t.clone() for t in load_file(st).values()]

print("ready", sum(t.nbytes for t in state.values()), int(save_file is not None), flush=True)
for line in sys.stdin:
    what = line.strip()
    if what == "remove":
        [os.remove(p) for p in (pt, st) if os.path.exists(p)]
    began = time.perf_counter()
    run(what)
    print(time.perf_counter() - began, flush=True)
"""

OURS = ["save", "load", "fresh", "stage", "rest"]
THEIRS = ["save", "load", "copy", "st_save", "st_load"]


class Worker:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self.process.stdout.readline().split()
        if not self.ready or self.ready[0] != "ready":
            sys.exit("did not start: " + " ".join(command[:2]))

    def run(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(args, threads, folder):
    size = [str(args.mib), str(args.tensors), str(threads)]
    env_bin = os.path.join(args.bin, "checkpoint_bench")
    ours = Worker([env_bin, os.path.join(folder, "ours")] + size)
    theirs = Worker([args.python, "-c", PEER, folder] + size)
    has_safetensors = theirs.ready[2] == "1"
    seconds = {}
    for round_ in range(args.rounds + 1):
        for who, worker, verbs in (("ours", ours, OURS), ("theirs", theirs, THEIRS)):
            for verb in verbs:
                if verb.startswith("st_") and not has_safetensors:
                    continue
                taken = worker.run(verb)
                if round_ > 0:  # the first round warms memory up
                    seconds.setdefault((who, verb), []).append(taken)
        theirs.run("remove")
    ours.close()
    theirs.close()
    return int(ours.ready[1]), seconds


def ratio(seconds, mine, other):
    return statistics.median(b / a for a, b in zip(seconds[mine], seconds[other]))


def table(args, threads, size, seconds):
    rate = {key: size / 1e9 / statistics.median(times) for key, times in seconds.items()}
    lines = [f"{threads} thread{'s' if threads > 1 else ''}", "", "| | GB/s | ours against it |", "|---|---|---|"]

    def row(name, key, against=None):
        if key in rate:
            beside = f"**{ratio(seconds, against, key):.2f}x**" if against else ""
            lines.append(f"| {name} | {rate[key]:.2f} | {beside} |")

    row("titan save", ("ours", "save"))
    row("torch.save", ("theirs", "save"), ("ours", "save"))
    row("safetensors save_file", ("theirs", "st_save"), ("ours", "save"))
    row("titan load, into the run's buffers", ("ours", "load"))
    row("titan load, into new memory", ("ours", "fresh"))
    row("torch.load", ("theirs", "load"), ("ours", "load"))
    row("torch.load and copy into the model", ("theirs", "copy"), ("ours", "load"))
    row("safetensors load_file, every byte", ("theirs", "st_load"), ("ours", "load"))
    row("titan asynchronous save: training waits", ("ours", "stage"))
    row("the rest of it, beside training", ("ours", "rest"))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch 2.11.0")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/release/bin"))
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--tensors", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", help="file to write the tables to")
    args = parser.parse_args()
    text = ""
    for threads in args.threads:
        folder = tempfile.mkdtemp(prefix="titan-bench-", dir=args.folder)
        try:
            size, seconds = measure(args, threads, folder)
        finally:
            shutil.rmtree(folder)
        text += table(args, threads, size, seconds) + "\n"
    load = os.getloadavg()
    text += f"{args.mib} MiB in {args.tensors} float32 tensors, {args.rounds} rounds in {args.folder}, load average {load[0]:.1f}.\n"
    print(text)
    if args.out:
        with open(args.out, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
