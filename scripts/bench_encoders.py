#!/usr/bin/env python3
"""Times forward passes of the frozen networks on the CPU: titan beside PyTorch, in turns, in one run.

  scripts/bench_encoders.py --python /path/with/torch/bin/python3 [--cases t5,clip,encode,decode] [--dtypes float32,bfloat16]
                            [--layers 2] [--threads 2] [--steps 7] [--out docs/results/encoders.md]

The same random weights, in one safetensors file, go to all programs: T5 of XXL's width with a few layers, CLIP ViT-L/14's text
half, Flux's autoencoder (scripts/torch_encoders.py). Each program is one process; steps alternate, so that what else runs on the
machine hits all alike. PyTorch gets glibc's malloc told to keep large blocks (no page faults). Outputs are compared too.
"""
import argparse
import datetime
import os
import statistics
import subprocess
import sys
import tempfile

from bench_train import TUNED, cpu_name

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# case: network, weights, batch, size, words, PyTorch's variants
CASES = {
    "t5": ("t5", "t5", 4, 256, "T5 XXL's width, {layers} layers, 4 texts of 256 tokens",
           {"eager, as transformers": ["manual"], "eager, fused attention": []}),
    "clip": ("clip", "clip", 8, 77, "CLIP ViT-L/14 text, 8 texts of 77 tokens", {"eager, fused attention": []}),
    "encode": ("encode", "vae", 1, 256, "Flux's autoencoder, encode one 256x256 image",
               {"eager": [], "eager, channels_last": ["channels_last"]}),
    "decode": ("decode", "vae", 1, 32, "Flux's autoencoder, decode to one 256x256 image",
               {"eager": [], "eager, channels_last": ["channels_last"]}),
}


class Rival:
    def __init__(self, name, command, env):
        self.name, self.seconds, self.output = name, [], None
        self.process = subprocess.Popen(command, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{name}: did not start ({' '.join(command)})")

    def step(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        seconds, output = self.process.stdout.readline().split()
        self.output = float(output)
        return float(seconds)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run_case(args, case, dtype, weights):
    network, _, batch, size, _, variants = CASES[case]
    shape = [network, weights, str(batch), str(size), str(args.threads), dtype]
    threads = {"OMP_NUM_THREADS": str(args.threads), "MKL_NUM_THREADS": str(args.threads)}
    peer = [args.python, os.path.join(ROOT, "scripts/torch_encoders.py"), *shape]
    rivals = [Rival("titan", [os.path.join(args.bin, "encoder_bench"), *shape], threads)]
    rivals += [Rival(name, [*peer, *options], {**threads, **TUNED}) for name, options in variants.items()]
    for rival in rivals:  # warm-up: first touches of memory, first plans of the libraries
        rival.step()
        rival.step()
    for _ in range(args.steps):
        for rival in rivals:
            rival.seconds.append(rival.step())
    for rival in rivals:
        rival.close()
    return rivals


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch 2.11.0 and safetensors")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/release/bin"), help="folder of encoder_bench")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--layers", type=int, default=2, help="of T5")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--out", help="Markdown file to write")
    args = parser.parse_args()

    lines = ["# Forward passes of the frozen networks on the CPU", "",
             f"Machine: {cpu_name()}, {os.cpu_count()} cores; {args.threads} threads. Date: {datetime.date.today()}.  ",
             f"Command: `scripts/bench_encoders.py --cases={args.cases} --dtypes={args.dtypes} --layers={args.layers} "
             f"--threads={args.threads} --steps={args.steps}` (PyTorch 2.11.0 through `--python`).", "",
             "| network | dtype | program | median ms | fastest ms | slowest ms | titan is faster by (medians) | (median of rounds) | "
             "mean output |", "|---|---|---|---|---|---|---|---|---|"]
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for case in args.cases.split(","):
            kind, words = CASES[case][1], CASES[case][4].format(layers=args.layers)
            if kind not in made:
                made[kind] = os.path.join(folder, kind)
                layers = [str(args.layers)] if kind == "t5" else []
                subprocess.run([args.python, os.path.join(ROOT, "scripts/torch_encoders.py"), "make", kind, made[kind], *layers],
                               check=True)
            for dtype in args.dtypes.split(","):
                rivals = run_case(args, case, dtype, made[kind])
                loads.append(os.getloadavg()[0])
                ours = rivals[0]
                for rival in rivals:
                    median = statistics.median(rival.seconds)
                    rounds = statistics.median(r / o for r, o in zip(rival.seconds, ours.seconds))
                    lines.append(f"| {words} | {dtype} | {rival.name} | {median * 1e3:.1f} | {min(rival.seconds) * 1e3:.1f} | "
                                 f"{max(rival.seconds) * 1e3:.1f} | {median / statistics.median(ours.seconds):.2f}x | {rounds:.2f}x | "
                                 f"{rival.output:.6g} |")
                    if abs(rival.output - ours.output) > (1e-4 if dtype == "float32" else 2e-2) * abs(ours.output):
                        sys.exit(f"{case}, {dtype}: the outputs differ: {ours.output} and {rival.output} ({rival.name})")
                print("\n".join(lines[-len(rivals):]), flush=True)
    lines += ["", f"{args.steps} passes each after 2 of warm-up, in turns, one process each. Load average (1 min) during the run: "
              f"{min(loads):.1f} to {max(loads):.1f}; the run itself makes about {args.threads}. PyTorch runs with "
              + ", ".join(f"`{key}={value}`" for key, value in TUNED.items()) + ".", ""]
    if args.out:
        os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
        with open(args.out, "w") as file:
            file.write("\n".join(lines))


if __name__ == "__main__":
    main()
