#!/usr/bin/env python3
"""Times one training step on the CPU: titan beside PyTorch, in turns, in one run.

  scripts/bench_cpu.py --python /path/with/torch/bin/python3 [--model dit] [--flavor S] [--batch 32] [--size 32]
                       [--channels 16] [--threads 2] [--steps 7] [--compile] [--out docs/results/cpu_step.md]
  scripts/bench_cpu.py --python ... --model flux [--hidden 512] [--heads 4] [--double 2] [--single 4] [--batch 4]
                       [--size 32] [--text 256] [--threads 2] [--steps 7] [--compile] [--out docs/results/flux_cpu_step.md]

Rivals: PyTorch with its default allocator (what users run), with glibc's malloc told to keep large blocks (the honest
rival: no page faults), and, with --compile, torch.compile of the model with that malloc. Each is one process; steps
alternate, so that what else runs on the machine hits all alike. Reported are medians, the ratio of medians, the median of
the ratios inside a round, and the machine's load during the run.
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

# What the programs take, in order, with the defaults.
SHAPES = {
    "dit": {"flavor": "S", "batch": "32", "size": "32", "channels": "16", "threads": "2"},
    "flux": {"hidden": "512", "heads": "4", "double": "2", "single": "4", "batch": "4", "size": "32", "text": "256",
             "threads": "2"},
}
TITLES = {"dit": "DiT-{flavor}/2", "flux": "a small Flux"}
SHAPE_TEXTS = {"dit": "{size}x{size}x{channels} latents",
               "flux": "hidden size {hidden}, {heads} heads, {double} double and {single} single blocks, {size}x{size}x16 "
                       "latents (2x2 patches), {text} text tokens of width 4096"}


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
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/release/bin"), help="folder of the step benches")
    parser.add_argument("--model", choices=sorted(SHAPES), default="dit")
    for name in sorted({key for shape in SHAPES.values() for key in shape}):
        parser.add_argument("--" + name)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile as one more rival")
    parser.add_argument("--out", help="Markdown file to write")
    args = parser.parse_args()

    values = {name: getattr(args, name) or value for name, value in SHAPES[args.model].items()}
    shape = list(values.values())
    peer = [args.python, os.path.join(ROOT, f"scripts/torch_{args.model}.py"), *shape]
    threads = {"OMP_NUM_THREADS": values["threads"], "MKL_NUM_THREADS": values["threads"]}
    rivals = [Rival("titan", [os.path.join(args.bin, f"{args.model}_step_bench"), *shape], threads),
              Rival("eager, default malloc", peer, threads), Rival("eager, tuned malloc", peer, {**threads, **TUNED})]
    if args.compile:
        rivals.append(Rival("torch.compile, tuned malloc", [*peer, "compile"], {**threads, **TUNED}))
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
    lines = [f"# One training step of {TITLES[args.model].format(**values)} on the CPU", "",
             f"{SHAPE_TEXTS[args.model].format(**values)}, batch {values['batch']}, float32, {values['threads']} threads: "
             "forward, mean-square loss, backward, clipping at 1.0, AdamW (fused in both).", "",
             f"Machine: {cpu_name()}, {os.cpu_count()} cores, {platform.platform()}.  ",
             f"Load average (1 min) during the run: {min(loads):.1f} to {max(loads):.1f}; the run itself makes about "
             f"{values['threads']}.  ",
             f"Date: {datetime.date.today()}. Command: `scripts/bench_cpu.py --model={args.model} "
             + "".join(f"--{name}={value} " for name, value in values.items())
             + f"--steps={args.steps}{' --compile' if args.compile else ''}`.", "",
             "| program | median s | fastest s | slowest s | GFLOP/s (median) | titan is faster by (medians) | "
             "(median of rounds) |", "|---|---|---|---|---|---|---|"]
    for rival in rivals:
        median = statistics.median(rival.seconds)
        per_round = statistics.median(r / o for r, o in zip(rival.seconds, ours.seconds))
        lines.append(f"| {rival.name} | {median:.3f} | {min(rival.seconds):.3f} | {max(rival.seconds):.3f} | "
                     f"{ours.flops / median / 1e9:.0f} | {median / statistics.median(ours.seconds):.2f}x | {per_round:.2f}x |")
    lines += ["", f"{args.steps} steps each after 2 of warm-up, in turns, one process each. FLOPs are the model's "
              f"({ours.flops / 1e12:.3f} TFLOP a step; titan/models/{args.model}/flops.h). Tuned malloc: "
              + ", ".join(f"`{key}={value}`" for key, value in TUNED.items()) + ".", ""]
    text = "\n".join(lines)
    print(text)
    if args.out:
        os.makedirs(os.path.dirname(args.out), exist_ok=True)
        with open(args.out, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
