#!/usr/bin/env python3
"""Trains the same small Flux in PyTorch and in titan, from the same weights, data and noise, and lays the losses over each
other.

  PYTHON_WITH_TORCH scripts/flux_overlay.py [--steps 200] [--lr 5e-4] [--threads 2] [--out docs/results/flux_overlay]

Writes OUT.md and the plot OUT.svg; exit 1 where a loss differs by more than --tolerance (relative). The weights start as
titan's do: matrices Glorot uniform, embedders normal, modulations and the last layer zero. Data are 64 fixed latents with
their encodings; every step draws samples, noise and times anew. Both clip at 1.0 and use AdamW (0.9, 0.95, decay 0.1).
"""
import argparse
import datetime
import math
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file
from torch import nn

from torch_flux import Flux
from torch_steps import make_optimizer, train_step

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HIDDEN, HEADS, DOUBLE, SINGLE = 256, 2, 2, 2
BATCH, SIDE, TEXT, CONTEXT, POOLED, SAMPLES = 8, 16, 32, 128, 64, 64


def initialize(model):
    for name, parameter in model.named_parameters():
        if name.endswith("_norm.scale"):
            nn.init.ones_(parameter)
        elif name.endswith(".bias") or name.startswith("final_layer.") or "mod.lin" in name or "modulation.lin" in name:
            nn.init.zeros_(parameter)
        elif name.startswith(("time_in.", "vector_in.")):
            nn.init.normal_(parameter, std=0.02)
        else:
            nn.init.xavier_uniform_(parameter)


def make_batches(steps):
    latents = torch.randn(SAMPLES, 16, SIDE // 4, SIDE // 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    txt, y = torch.randn(SAMPLES, TEXT, CONTEXT), torch.randn(SAMPLES, POOLED)
    chosen, noise = torch.randint(SAMPLES, (steps, BATCH)), torch.randn(steps, BATCH, 16, SIDE, SIDE)
    t = torch.rand(steps, BATCH)
    mix = t[:, :, None, None, None]
    return {"x_t": (1 - mix) * latents[chosen] + mix * noise, "target": noise - latents[chosen], "t": t,
            "txt": txt[chosen], "y": y[chosen]}


def train_here(model, batches, lr):
    optimizer = make_optimizer(model.parameters(), lr, fused=None)
    steps = zip(*(batches[name] for name in ("x_t", "target", "t", "txt", "y")))
    return [train_step(model, model, optimizer, (x_t, t, txt, y), target) for x_t, target, t, txt, y in steps]


def train_there(weights, batches, args):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "overlay.safetensors")
        save_file({**weights, **{name: tensor.contiguous() for name, tensor in batches.items()}}, path)
        command = [os.path.join(args.bin, "flux_overlay"), path, HIDDEN, HEADS, DOUBLE, SINGLE, args.lr, args.threads]
        answer = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if answer.returncode != 0:
        sys.exit("flux_overlay failed")
    return [float(line) for line in answer.stdout.split()]


def svg(theirs, ours):
    """Both curves above, their relative difference (log scale) below."""
    width, height, left = 720, 420, 60
    top, low = 250, 380
    x = lambda i: left + i * (width - left - 10) / max(1, len(ours) - 1)
    largest = max(theirs) * 1.05
    line = lambda values, y: " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(values))
    loss_y = lambda v: top - v / largest * (top - 20)
    differences = [max(abs(a - b) / abs(b), 1e-9) for a, b in zip(ours, theirs)]
    log_y = lambda v: low - (math.log10(v) + 9) / 6 * (low - top - 30)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
             f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>']
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        if value < largest:
            parts.append(f'<text x="20" y="{loss_y(value) + 4:.1f}">{value}</text><path d="M{left} {loss_y(value):.1f}H{width - 10}" '
                         'stroke="#ddd"/>')
    for power in (-9, -7, -5, -3):
        parts.append(f'<text x="20" y="{log_y(10.0 ** power) + 4:.1f}">1e{power}</text><path d="M{left} '
                     f'{log_y(10.0 ** power):.1f}H{width - 10}" stroke="#ddd"/>')
    parts += [f'<polyline points="{line(theirs, loss_y)}" fill="none" stroke="#f90" stroke-width="4"/>',
              f'<polyline points="{line(ours, loss_y)}" fill="none" stroke="#036" stroke-width="1.2"/>',
              f'<polyline points="{line(differences, log_y)}" fill="none" stroke="#c00"/>',
              f'<text x="{left + 260}" y="34" fill="#f90">loss, PyTorch</text><text x="{left + 260}" y="50" fill="#036">loss, '
              f'titan</text><text x="{left + 260}" y="{top + 28}" fill="#c00">relative difference</text>',
              f'<text x="{left}" y="{height - 12}">step 1 to {len(ours)}</text></svg>']
    return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/release/bin"), help="folder of titan's half")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--out", help="path of the report without its ending")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = Flux(HIDDEN, HEADS, DOUBLE, SINGLE, (SIDE // 2, SIDE // 2), TEXT, context=CONTEXT, pooled=POOLED)
    initialize(model)
    weights = {"param." + name: value.detach().clone() for name, value in model.named_parameters()}
    batches = make_batches(args.steps)
    ours = train_there(weights, batches, args)
    theirs = train_here(model, batches, args.lr)
    worst, step = max((abs(a - b) / abs(b), n) for n, (a, b) in enumerate(zip(ours, theirs), 1))
    rows = [n for n in (1, 2, 5, 10, 20, 50, 100, 150, 200, 500, 1000) if n <= args.steps]
    lines = ["# Flux: titan and PyTorch, step by step", "",
             f"A Flux of hidden size {HIDDEN}, {DOUBLE} double and {SINGLE} single blocks, {SIDE // 2 * (SIDE // 2)} image and "
             f"{TEXT} text tokens, batch {BATCH}, float32, trained for {args.steps} steps at lr {args.lr} from the same "
             "weights, data, noise and times in PyTorch and in titan.", "",
             f"Largest relative difference of a loss: {worst:.2e} (step {step}); allowed: {args.tolerance:.0e}.", "",
             f"Date: {datetime.date.today()}. PyTorch {torch.__version__}, {args.threads} threads. Command: "
             f"`scripts/flux_overlay.py --steps={args.steps} --lr={args.lr} --threads={args.threads}`.", "",
             "| step | PyTorch | titan |", "|---|---|---|"]
    lines += [f"| {n} | {theirs[n - 1]:.7f} | {ours[n - 1]:.7f} |" for n in rows]
    if args.out:
        lines += ["", f"![losses and their difference]({os.path.basename(args.out)}.svg)"]
        os.makedirs(os.path.dirname(args.out) or ".", exist_ok=True)
        with open(args.out + ".svg", "w") as file:
            file.write(svg(theirs, ours))
        with open(args.out + ".md", "w") as file:
            file.write("\n".join(lines) + "\n")
    print("\n".join(lines))
    sys.exit(0 if worst <= args.tolerance else 1)


if __name__ == "__main__":
    main()
