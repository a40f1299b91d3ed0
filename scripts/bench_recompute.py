#!/usr/bin/env python3
"""What each mode of activation checkpointing costs in time and saves in memory: a step of a small Flux on the CPU.

  scripts/bench_recompute.py [--hidden 512] [--heads 4] [--double 2] [--single 4] [--batch 4] [--size 32] [--text 256]
                             [--threads 2] [--steps 5] [--out docs/results/activation_checkpointing.md]

One process a mode; steps alternate, so that what else runs on the machine hits all alike. Memory is the most bytes that
tensors had at one time (the allocator's own count), times are medians. The losses must be equal.
"""
import argparse
import datetime
import os
import platform
import statistics
import sys

from bench_train import ROOT, SHAPES, SHAPE_TEXTS, Rival, cpu_name, our_settings

MODES = [("none", []), ("selective, every second block", ["mode=selective", "selective_ac_option=2"]),
         ("selective, op", ["mode=selective", "selective_ac_option=op"]), ("full", ["mode=full"])]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--titan", default=os.path.join(ROOT, "build/release/bin/titan"), help="program")
    for name, value in SHAPES["flux"].items():
        parser.add_argument("--" + name, default=value)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--out", help="Markdown file to write")
    args = parser.parse_args()
    values = {name: getattr(args, name) for name in SHAPES["flux"]}
    env = {"OMP_NUM_THREADS": values["threads"], "MKL_NUM_THREADS": values["threads"], "GLOG_minloglevel": "1"}
    command = [args.titan, "bench", "step", *our_settings("flux", values), f"--job.num_threads={values['threads']}"]
    rivals = [Rival(name, [*command, *(f"--activation_checkpoint.{option}" for option in options)], env)
              for name, options in MODES]
    peaks = []
    for rival in rivals:  # warm-up
        rival.step()
        rival.peak_gib()
        rival.step()
        peaks.append(rival.peak_gib())
    loads = []
    for _ in range(args.steps):
        loads.append(os.getloadavg()[0])
        for rival in rivals:
            rival.seconds.append(rival.step())
    for rival in rivals:
        rival.close()
    if len({rival.loss for rival in rivals}) != 1:
        sys.exit(f"the losses differ: {[rival.loss for rival in rivals]}")

    lines = ["| mode | peak GiB | less than none, MiB | median s | against none (median of rounds) |", "|---|---|---|---|---|"]
    for rival, peak in zip(rivals, peaks):
        ratio = statistics.median(own / none for own, none in zip(rival.seconds, rivals[0].seconds))
        lines.append(f"| {rival.name} | {peak:.3f} | {(peaks[0] - peak) * 1024:.0f} | {statistics.median(rival.seconds):.3f} | "
                     f"{ratio:.2f}x |")
    lines += ["", f"{SHAPE_TEXTS['flux'].format(**values)}, batch {values['batch']}, float32, {values['threads']} threads; "
              f"{args.steps} steps each after 2 of warm-up, in turns. The loss behind them is the same number in all modes.  ",
              f"Machine: {cpu_name()}, {os.cpu_count()} cores, {platform.platform()}. Load average (1 min) during the run: "
              f"{min(loads):.1f} to {max(loads):.1f}; the run itself makes about {values['threads']}.  ",
              f"Date: {datetime.date.today()}. Command: `scripts/bench_recompute.py "
              + " ".join(f"--{name}={value}" for name, value in values.items()) + f" --steps={args.steps}`."]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        with open(args.out, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
