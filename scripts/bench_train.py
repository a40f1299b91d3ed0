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
process; steps alternate, so that what else runs on the machine hits all alike. Where a GPU's memory holds one at a time
(--alone) they run one after another, titan first and again last. Reported are medians, the ratio of medians, the median of the
ratios inside a round, peak memory, the time from a process's start to its first step's end with nobody beside it, on a GPU the
shares of its peak and of a large product's rate, and titan's warnings. A rival that fails is listed as such, and the exit code is
3, except where --may-fail names it.
"""
import argparse
import datetime
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
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
    """A process that makes one step for each line "step". Its standard error goes to a file: a full pipe would stop it."""

    def __init__(self, name, command, env, logs=None):
        self.name, self.command, self.seconds, self.loss, self.failure = name, command, [], None, None
        self.first_step_s, self.flops, self.peak = None, None, None
        # Appended to: the process shares our place in the file, which said() moves.
        path = os.path.join(logs, re.sub(r"\W+", "_", name) + ".log") if logs else None
        self.log = open(path, "a+", errors="replace") if path else tempfile.TemporaryFile("a+", errors="replace")
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
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
            self.end()
            said = self.said()
            self.failure = next((text for text in reversed(said) if "rror" in text), said[-1] if said else "ended early")
            return None
        return answer

    def said(self):
        self.log.seek(0)
        return [line.strip() for line in self.log if line.strip()]

    def warnings(self):
        """What titan's log warned of, and what became of its graph, each once."""
        found = [line.split("] ", 1)[-1] for line in self.said() if re.match(r"[WEF]\d{8} ", line) or "[graph]" in line]
        return list(dict.fromkeys(found))

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

    def end(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def close(self):
        if not self.failure:
            self.end()


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


def list_rivals(args, values):
    """Name, command and environment of each."""
    threads = {"OMP_NUM_THREADS": values["threads"], "MKL_NUM_THREADS": values["threads"]}
    ours = [args.titan, "bench", "step", *our_settings(args.model, values), f"--job.device={args.device}",
            f"--job.num_threads={values['threads']}", f"--training.mixed_precision_param={args.dtype}", *args.settings.split()]
    peer = [args.python, os.path.join(ROOT, f"scripts/torch_{args.model}.py"), *values.values(), f"device={args.device}",
            f"dtype={args.dtype}"]
    rivals = [(OURS, ours, threads)]
    for extra in args.ours:
        name, _, settings = extra.partition(":")
        rivals.append((f"titan, {name.strip()}", [*ours, *settings.split()], threads))
    if args.device == "cpu":
        eager = [("eager, default malloc", peer, threads), ("eager, tuned malloc", peer, {**threads, **TUNED})]
        compiled = [("torch.compile, tuned malloc", "default")]
    else:
        eager = [("eager", peer, threads)]
        compiled = [("torch.compile", "default"), ("torch.compile, max-autotune", "max-autotune")]
    if not args.no_eager:
        rivals += eager
    if args.compile:
        rivals += [(name, [*peer, f"compile={mode}"], {**threads, **TUNED})
                   for name, mode in compiled if mode in args.compile_modes.split(",")]
    if args.alone and len(rivals) > 1:
        rivals.append((AGAIN, ours, threads))
    return rivals


OURS, AGAIN = "titan", "titan, again"
WARM_UP = 5  # on a GPU the fourth step is recorded as a graph (docs/graphs.md), the fifth is the first plain replay


def open_rival(command, args):
    """Started and through its first step, with nobody else beside it: the time that takes is its own."""
    rival = Rival(*command, args.logs)
    rival.step()
    return rival


def take_turns(rivals, args):
    """Each rival's seconds and most bytes; the machine's load at each round."""
    loads, before = [], []
    for rival in rivals:  # warm-up: first touches of memory, first plans of the libraries, compilation
        for _ in range(WARM_UP - 1):
            rival.step()
        before.append(rival.peak_gib())
    for _ in range(args.steps):
        loads.append(os.getloadavg()[0])
        for rival in rivals:
            seconds = rival.step()
            if seconds is not None:
                rival.seconds.append(seconds)
    loads.append(os.getloadavg()[0])
    for rival, warm_up in zip(rivals, before):
        rival.peak = rival.peak_gib()
        # The replays of a graph ask the allocator for nothing: what it holds was seen when it was recorded.
        if args.device != "cpu" and rival.peak is not None:
            rival.peak = max(rival.peak, warm_up)
        rival.close()
    return loads


# Dense bfloat16 by the vendor's datasheet, as titan/metrics/device_peak.cpp has it.
PEAK_TFLOPS = {"H100": 989, "H200": 989}
PRODUCT = """
import torch
n = 8192
a, b = torch.randn(2, n, n, device="cuda", dtype=torch.bfloat16)
marks = [torch.cuda.Event(enable_timing=True) for _ in range(61)]
for _ in range(1000):
    a @ b
marks[0].record()
for mark in marks[1:]:
    a @ b
    mark.record()
torch.cuda.synchronize()
print(2e-9 * n**3 / sorted(x.elapsed_time(y) for x, y in zip(marks, marks[1:]))[30])
"""


def ceilings(args):
    """(name, TFLOP/s) of what a GPU reaches at most: by the datasheet, and in a large product of random numbers in this run."""
    if args.device == "cpu":
        return []
    found = [(f"MFU (of {peak})", peak) for name, peak in PEAK_TFLOPS.items() if name in device_name(args.device)]
    answer = subprocess.run([args.python, "-c", PRODUCT], capture_output=True, text=True)
    if answer.returncode == 0:
        found.append((f"of a large product ({float(answer.stdout):.0f})", float(answer.stdout)))
    return found


def command_text(args, values):
    words = [f"--model={args.model}", *(f"--{name}={value}" for name, value in values.items())]
    if args.device != "cpu" or args.dtype != "float32":
        words += [f"--device={args.device}", f"--dtype={args.dtype}"]
    words += [f'--settings="{args.settings}"'] if args.settings else []
    words += [f'--ours="{extra}"' for extra in args.ours] + [f"--steps={args.steps}"]
    if args.compile:
        words += ["--compile"] + ([f"--compile-modes={args.compile_modes}"] if args.device != "cpu" else [])
    words += [word for word, given in (("--no-eager", args.no_eager), ("--alone", args.alone)) if given]
    return " ".join(["scripts/bench_train.py", *words])


def page(args, values, rivals, waiting, loads, limits):
    """The page as Markdown. `waiting` are names of rivals that have not run yet."""
    ours = [rival for rival in rivals if rival.name in (OURS, AGAIN)]
    own_seconds = [seconds for rival in ours for seconds in rival.seconds]
    flops = next((rival.flops for rival in rivals if rival.flops), None)
    digits = 3 if args.device == "cpu" else 4
    names = ["program", "median s", "fastest s", "slowest s", "TFLOP/s (median)", *(name for name, _ in limits), "peak GiB",
             "start to first step, s", "titan is faster by (medians)", *([] if args.alone else ["(median of rounds)"])]
    place = "the CPU" if args.device == "cpu" else "a GPU"
    lines = [f"# One training step of {TITLES[args.model].format(**values)} on {place}", "",
             f"{SHAPE_TEXTS[args.model].format(**values)}, batch {values['batch']}, {args.dtype}, {values['threads']} threads: "
             "forward, mean-square loss, backward, clipping at 1.0, AdamW (fused in all).", "",
             f"Machine: {device_name(args.device)}, {os.cpu_count()} cores, {platform.platform()}.  "]
    if loads:
        lines.append(f"Load average (1 min) during the run: {min(loads):.1f} to {max(loads):.1f}; the run itself makes about "
                     f"{values['threads']}.  ")
    lines += [f"Date: {datetime.date.today()}. Command: `{command_text(args, values)}`.", "",
              "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for rival in rivals:
        if rival.failure or not rival.seconds:
            cells = [rival.name, f"failed: {rival.failure}"] + [""] * (len(names) - 2)
        else:
            median = statistics.median(rival.seconds)
            rate = flops / median / 1e12 if flops else None
            cells = [rival.name, *(f"{seconds:.{digits}f}" for seconds in (median, min(rival.seconds), max(rival.seconds))),
                     f"{rate:.3f}" if rate else "", *(f"{100 * rate / most:.1f} %" if rate else "" for _, most in limits),
                     f"{rival.peak:.2f}" if rival.peak is not None else "", f"{rival.first_step_s:.1f}",
                     f"{median / statistics.median(own_seconds):.2f}x" if own_seconds else ""]
            if not args.alone:
                rounds = [r / o for r, o in zip(rival.seconds, own_seconds)]
                cells.append(f"{statistics.median(rounds):.2f}x" if rounds else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"| {name} | not run |" + " |" * (len(names) - 2) for name in waiting]
    order = "in turns"
    if args.alone:
        order = "one program after another, each alone on the device"
        if any(rival.name == AGAIN for rival in rivals):
            order += "; titan ran first and again last, what others are compared with is the median of both"
    lines += ["", f"{args.steps} steps each after {WARM_UP} of warm-up, {order}, one process each; a program's first step was "
              "over before the next program started."
              + (f" FLOPs are the model's ({flops / 1e12:.3f} TFLOP a step; titan/models/{args.model}/flops.h)." if flops else "")
              + (" Peak memory is that of warm-up and steps." if args.device != "cpu" else
                 " Tuned malloc: " + ", ".join(f"`{key}={value}`" for key, value in TUNED.items()) + "."), ""]
    said = {}
    for rival in rivals:
        for warning in rival.warnings() if rival.name.startswith(OURS) else []:
            said.setdefault(warning, []).append(rival.name)
    if said:
        shown = [f"{warning} ({'; '.join(names)})" for warning, names in list(said.items())[:12]]
        lines += ["From titan's log (warnings, errors, graphs):", "", "```", *shown, "```", ""]
    return "\n".join(lines)


def write(path, text):
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    with open(path + ".part", "w") as file:
        file.write(text)
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable, help="interpreter that has torch 2.11.0")
    parser.add_argument("--titan", default=os.path.join(ROOT, "build/release/bin/titan"), help="program, or a bundle's `run titan`")
    parser.add_argument("--model", choices=sorted(SHAPES), default="flux")
    for name in sorted({key for shape in SHAPES.values() for key in shape}):
        parser.add_argument("--" + name)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--settings", default="", help="more settings of every titan")
    parser.add_argument("--ours", action="append", default=[], help='"name: settings": one more variant of titan')
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--no-eager", action="store_true", help="eager PyTorch is no rival")
    parser.add_argument("--compile", action="store_true", help="torch.compile as one more rival")
    parser.add_argument("--compile-modes", default="default,max-autotune", help="on a GPU")
    parser.add_argument("--alone", action="store_true", help="one after another instead of in turns (a GPU's memory)")
    parser.add_argument("--may-fail", action="append", default=[], help="a rival whose failure (out of memory) is no error")
    parser.add_argument("--out", help="Markdown file, written again as each rival ends")
    parser.add_argument("--logs", help="folder for what each rival says on standard error")
    args = parser.parse_args()
    if args.logs:
        os.makedirs(args.logs, exist_ok=True)

    values = {name: getattr(args, name) or value for name, value in SHAPES[args.model].items()}
    commands = list_rivals(args, values)
    limits = ceilings(args)
    rivals, loads = [], []

    def report():
        text = page(args, values, rivals, [command[0] for command in commands[len(rivals):]], loads, limits)
        if args.out:
            write(args.out, text)
        return text

    text = report()
    for command in commands:
        rivals.append(open_rival(command, args))
        if args.alone:
            loads += take_turns(rivals[-1:], args)
            text = report()
    if not args.alone:
        loads += take_turns(rivals, args)
        text = report()
    print(text)
    failed = [rival.name for rival in rivals if (rival.failure or not rival.seconds) and rival.name not in args.may_fail]
    if failed:
        print(f"bench_train: failed: {'; '.join(failed)}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
