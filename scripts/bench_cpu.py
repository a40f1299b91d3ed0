#!/usr/bin/env python3
"""Times one training step of a DiT on the CPU: titan beside PyTorch eager, in turns, in one run.

  scripts/bench_cpu.py --python /path/with/torch/bin/python3 [--flavor S] [--batch 32] [--size 32] [--channels 16]
                       [--threads 2] [--steps 7] [--out docs/results/cpu_step.md]

Rivals: PyTorch with its default allocator (what users run), and with glibc's malloc told to keep large blocks (the honest
rival: no page faults). Each is one process; steps alternate, so that what else runs on the machine hits all alike. Reported
are medians, the ratio of medians, the median of the ratios inside a round, and the machine's load during the run.
"""
import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TUNED = {"MALLOC_MMAP_THRESHOLD_": "17179869184", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}


class Rival:
    def __init__(self, name, command, env):
        self.name, self.seconds, self.loss = name, [], None
        self.process = subprocess.Popen(command, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        ready = self.process.stdout.readline().split()
        if not ready or ready[0] != "ready":
            sys.exit(f"{name}: did not start ({' '.join(command)})")
        self.flops = int(ready[1]) if len(ready) > 1 else None

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            sys.exit(f"{self.name}: ended early")
        self.loss = float(answer[1])
        return float(answer[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch 2.11.0")
    parser.add_argument("--bench", default=os.path.join(ROOT, "build/release/bin/dit_step_bench"))
    for name, value in (("flavor", "S"), ("batch", "32"), ("size", "32"), ("channels", "16"), ("threads", "2")):
        parser.add_argument("--" + name, default=value)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--out", help="Markdown file to write")
    args = parser.parse_args()

    shape = [args.flavor, args.batch, args.size, args.channels, args.threads]
    peer = [args.python, os.path.join(ROOT, "scripts/torch_dit.py"), *shape]
    threads = {"OMP_NUM_THREADS": args.threads, "MKL_NUM_THREADS": args.threads}
    rivals = [Rival("titan", [args.bench, *shape], threads), Rival("eager, default malloc", peer, threads),
              Rival("eager, tuned malloc", peer, {**threads, **TUNED})]
    loads = []
    for rival in rivals:  # warm-up: first touches of memory, first plans of the libraries
        rival.step()
        rival.step()
    for _ in range(args.steps):
        loads.append(os.getloadavg()[0])
        for rival in rivals:
            rival.seconds.append(rival.step())
    loads.append(os.getloadavg()[0])
    for rival in rivals:
        rival.close()

    ours = rivals[0]
    lines = [f"# One training step of DiT-{args.flavor}/2 on the CPU", "",
             f"{args.size}x{args.size}x{args.channels} latents, batch {args.batch}, float32, {args.threads} threads: forward, "
             "mean-square loss, backward, clipping at 1.0, AdamW (fused in both).", "",
             f"Machine: {cpu_name()}, {os.cpu_count()} cores, {platform.platform()}.  ",
             f"Load average (1 min) during the run: {min(loads):.1f} to {max(loads):.1f}; the run itself makes about "
             f"{args.threads}.  ",
             f"Date: {datetime.date.today()}. Command: `scripts/bench_cpu.py --flavor={args.flavor} --batch={args.batch} "
             f"--size={args.size} --channels={args.channels} --threads={args.threads} --steps={args.steps}`.", "",
             "| program | median s | fastest s | slowest s | GFLOP/s (median) | titan is faster by (medians) | "
             "(median of rounds) |", "|---|---|---|---|---|---|---|"]
    for rival in rivals:
        median = statistics.median(rival.seconds)
        per_round = statistics.median(r / o for r, o in zip(rival.seconds, ours.seconds))
        lines.append(f"| {rival.name} | {median:.3f} | {min(rival.seconds):.3f} | {max(rival.seconds):.3f} | "
                     f"{ours.flops / median / 1e9:.0f} | {median / statistics.median(ours.seconds):.2f}x | {per_round:.2f}x |")
    lines += ["", f"{args.steps} steps each after 2 of warm-up, in turns, one process each. FLOPs are the model's "
              f"({ours.flops / 1e12:.3f} TFLOP a step; docs: titan/models/dit/flops.h). Tuned malloc: "
              + ", ".join(f"`{key}={value}`" for key, value in TUNED.items()) + ".", ""]
    text = "\n".join(lines)
    print(text)
    if args.out:
        os.makedirs(os.path.dirname(args.out), exist_ok=True)
        with open(args.out, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
