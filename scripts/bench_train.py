#!/usr/bin/env python3
"""Times one training step: titan beside PyTorch, in turns, in one run, on the CPU or a GPU.

  scripts/bench_train.py --python /path/with/torch/bin/python3 [--model flux] [--hidden 512] [--heads 4] [--double 2] [--single 4]
                         [--batch 4] [--size 32] [--text 256] [--threads 2] [--steps 7] [--compile] [--out FILE.md]
  scripts/bench_train.py --python ... --model dit [--flavor S] [--batch 32] [--size 32] [--channels 16] ...
  scripts/bench_train.py --python ... --device cuda --dtype bfloat16 --hidden 3072 --heads 24 --double 5 --single 10 --batch 32 ...
      --ours "float8: --model.converters=float8"     one more of our own settings, as "name: arguments"; may come several times

Ours is `titan bench step`: the trainer's own step. Rivals: PyTorch eager and, with --compile, torch.compile (on a GPU in its
default mode and max-autotune). On the CPU eager runs twice: with its default allocator (what users run) and with glibc's malloc
told to keep large blocks (the honest rival: no page faults). In bfloat16 every side keeps float32 master weights. Each is one
process; steps alternate, so that what else runs on the machine hits all alike. Reported are medians, the ratio of medians, the
median of the ratios inside a round, peak memory, and the machine's load during the run. A rival that fails (out of memory) is
listed as such.
"""
import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TUNED = {"MALLOC_MMAP_THRESHOLD_": "17179869184", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "67108864"}

# What the rivals take, in order, with the defaults.
SHAPES = {
    "dit": {"flavor": "S", "batch": "32", "size": "32", "channels": "16", "threads": "2"},
    "flux": {"hidden": "512", "heads": "4", "double": "2", "single": "4", "batch": "4", "size": "32", "text": "256",
             "threads": "2"},
}
TITLES = {"dit": "DiT-{flavor}/2", "flux": "Flux, {double} double and {single} single blocks"}
SHAPE_TEXTS = {"dit": "{size}x{size}x{channels} latents",
               "flux": "hidden size {hidden}, {heads} heads, {double} double and {single} single blocks, {size}x{size}x16 "
                       "latents (2x2 patches), {text} text tokens of width 4096"}


def our_settings(model, values):
    """The shape as settings of `titan bench step`; everything else is as the rivals' (scripts/torch_steps.py)."""
    common = ["--training.batch_size={batch}", "--dataset.image_size={size},{size}", "--training.class_dropout_prob=0",
              "--optimizer.lr=1e-4", "--optimizer.beta2=0.95", "--optimizer.weight_decay=0.1", "--ema.no-enable"]
    own = {
        "dit": ["--model.name=dit", "--model.flavor={flavor}", "--model.args.in_channels={channels}", "--dataset.channels={channels}",
                "--training.dataset=synthetic", "--dataset.num_classes=1000"],
        "flux": ["--model.name=flux", "--model.flavor=flux-schnell", "--model.args.hidden_size={hidden}",
                 "--model.args.num_heads={heads}", "--model.args.depth={double}", "--model.args.depth_single_blocks={single}",
                 "--training.dataset=flux_synthetic", "--encoder.max_t5_encoding_len={text}"],
    }[model]
    return [setting.format(**values) for setting in own + common]


class Rival:
    """A process that makes one step for each line "step"."""

    def __init__(self, name, command, env):
        self.name, self.command, self.seconds, self.loss, self.failure = name, command, [], None, None
        self.began = time.monotonic()
        self.first_step_s = None
        self.process = subprocess.Popen(command, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.flops = None
        ready = self.ask(None)
        if ready and len(ready) > 1:
            self.flops = int(ready[1])

    def ask(self, line):
        if self.failure:
            return None
        try:
            if line:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        except BrokenPipeError:
            answer = []
        if not answer:
            said = self.process.communicate()[1].strip().splitlines()
            self.failure = next((text for text in reversed(said) if "rror" in text), said[-1] if said else "ended early")
            return None
        return answer

    def step(self):
        answer = self.ask("step")
        if answer is None:
            return None
        if self.first_step_s is None:
            self.first_step_s = time.monotonic() - self.began
        self.loss = float(answer[1])
        return float(answer[0])

    def peak_gib(self):
        answer = self.ask("memory")
        return int(answer[0]) / 2**30 if answer else None

    def close(self):
        if not self.failure:
            self.process.stdin.close()
            self.process.wait()


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def device_name(device):
    if device == "cpu":
        return cpu_name()
    command = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def open_rivals(args, values):
    threads = {"OMP_NUM_THREADS": values["threads"], "MKL_NUM_THREADS": values["threads"]}
    ours = [args.titan, "bench", "step", *our_settings(args.model, values), f"--job.device={args.device}",
            f"--job.num_threads={values['threads']}", f"--training.mixed_precision_param={args.dtype}"]
    peer = [args.python, os.path.join(ROOT, f"scripts/torch_{args.model}.py"), *values.values(), f"device={args.device}",
            f"dtype={args.dtype}"]
    quiet = {**threads, "GLOG_minloglevel": "1"}
    rivals = [("titan", ours, quiet)]
    for extra in args.ours:
        name, _, settings = extra.partition(":")
        rivals.append((f"titan, {name.strip()}", [*ours, *settings.split()], quiet))
    if args.device == "cpu":
        rivals += [("eager, default malloc", peer, threads), ("eager, tuned malloc", peer, {**threads, **TUNED})]
        compiled = [("torch.compile, tuned malloc", "default")]
    else:
        rivals += [("eager", peer, threads)]
        compiled = [("torch.compile", "default"), ("torch.compile, max-autotune", "max-autotune")]
    if args.compile:
        rivals += [(name, [*peer, f"compile={mode}"], {**threads, **TUNED})
                   for name, mode in compiled if mode in args.compile_modes.split(",")]
    return rivals


WARM_UP = 5  # on a GPU the fourth step is recorded as a graph (docs/graphs.md), the fifth is the first plain replay


def take_turns(rivals, steps):
    loads = []
    for rival in rivals:  # warm-up: first touches of memory, first plans of the libraries, compilation
        for _ in range(WARM_UP):
            rival.step()
        rival.peak_gib()
    for _ in range(steps):
        loads.append(os.getloadavg()[0])
        for rival in rivals:
            seconds = rival.step()
            if seconds is not None:
                rival.seconds.append(seconds)
    loads.append(os.getloadavg()[0])
    return loads


def one_after_another(commands, steps):
    """On a GPU whose memory holds one of them at a time: no turns, each has the device alone."""
    rivals, loads = [], []
    for command in commands:
        rivals.append(Rival(*command))
        loads += take_turns(rivals[-1:], steps)
        rivals[-1].peak = rivals[-1].peak_gib()
        rivals[-1].close()
    return rivals, loads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch 2.11.0")
    parser.add_argument("--titan", default=os.path.join(ROOT, "build/release/bin/titan"), help="program, or a bundle's `run titan`")
    parser.add_argument("--model", choices=sorted(SHAPES), default="flux")
    for name in sorted({key for shape in SHAPES.values() for key in shape}):
        parser.add_argument("--" + name)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--ours", action="append", default=[], help='"name: settings": one more variant of titan')
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile as one more rival")
    parser.add_argument("--compile-modes", default="default,max-autotune", help="on a GPU")
    parser.add_argument("--alone", action="store_true", help="one after another instead of in turns (a GPU's memory)")
    parser.add_argument("--out", help="Markdown file to write")
    args = parser.parse_args()

    values = {name: getattr(args, name) or value for name, value in SHAPES[args.model].items()}
    commands = open_rivals(args, values)
    if args.alone:
        rivals, loads = one_after_another(commands, args.steps)
    else:
        rivals = [Rival(*command) for command in commands]
        loads = take_turns(rivals, args.steps)
        for rival in rivals:
            rival.peak = rival.peak_gib()
            rival.close()

    ours = rivals[0]
    if ours.failure:
        sys.exit(f"titan: {ours.failure}")
    lines = [f"# One training step of {TITLES[args.model].format(**values)} on {'the CPU' if args.device == 'cpu' else 'a GPU'}", "",
             f"{SHAPE_TEXTS[args.model].format(**values)}, batch {values['batch']}, {args.dtype}, {values['threads']} threads: "
             "forward, mean-square loss, backward, clipping at 1.0, AdamW (fused in all).", "",
             f"Machine: {device_name(args.device)}, {os.cpu_count()} cores, {platform.platform()}.  ",
             f"Load average (1 min) during the run: {min(loads):.1f} to {max(loads):.1f}; the run itself makes about "
             f"{values['threads']}.  ",
             f"Date: {datetime.date.today()}. Command: `scripts/bench_train.py --model={args.model} "
             + "".join(f"--{name}={value} " for name, value in values.items())
             + (f"--device={args.device} --dtype={args.dtype} " if args.device != "cpu" or args.dtype != "float32" else "")
             + "".join(f'--ours="{extra}" ' for extra in args.ours)
             + f"--steps={args.steps}{' --compile' if args.compile else ''}{' --alone' if args.alone else ''}`.", "",
             "| program | median s | fastest s | slowest s | TFLOP/s (median) | peak GiB | start to first step, s | titan is faster by "
             "(medians) | (median of rounds) |", "|---|---|---|---|---|---|---|---|---|"]
    for rival in rivals:
        if rival.failure or not rival.seconds:
            lines.append(f"| {rival.name} | failed: {rival.failure} | | | | | | | |")
            continue
        median = statistics.median(rival.seconds)
        per_round = statistics.median(r / o for r, o in zip(rival.seconds, ours.seconds))
        peak = f"{rival.peak:.2f}" if rival.peak is not None else ""
        lines.append(f"| {rival.name} | {median:.3f} | {min(rival.seconds):.3f} | {max(rival.seconds):.3f} | "
                     f"{ours.flops / median / 1e12:.3f} | {peak} | {rival.first_step_s:.1f} | "
                     f"{median / statistics.median(ours.seconds):.2f}x | {per_round:.2f}x |")
    lines += ["", f"{args.steps} steps each after {WARM_UP} of warm-up, {'one after another' if args.alone else 'in turns'}, one process each. "
              f"FLOPs are the model's ({ours.flops / 1e12:.3f} TFLOP a step; titan/models/{args.model}/flops.h)."
              + (" Tuned malloc: " + ", ".join(f"`{key}={value}`" for key, value in TUNED.items()) + "." if args.device == "cpu" else "")
              , ""]
    text = "\n".join(lines)
    print(text)
    if args.out:
        os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
        with open(args.out, "w") as file:
            file.write(text)


if __name__ == "__main__":
    main()
