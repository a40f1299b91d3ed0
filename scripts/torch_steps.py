"""The training step of the PyTorch models that titan is compared with (torch_dit.py, torch_flux.py, flux_overlay.py)."""
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def make_optimizer(model, lr, fused):
    return torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1, fused=fused)


def train_step(model, forward, optimizer, inputs, target):
    """One step on the mean squared error, gradients clipped at norm 1; returns the loss as a number."""
    loss = F.mse_loss(forward(*inputs), target)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def answer_steps(model, inputs, target, compiled):
    """Answers each line "step" of standard input with "<seconds> <loss>", until another line or the end."""
    optimizer = make_optimizer(model, lr=1e-4, fused=True)
    forward = torch.compile(model) if compiled else model
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() != "step":
            break
        start = time.perf_counter()
        value = train_step(model, forward, optimizer, inputs, target)
        print(time.perf_counter() - start, value, flush=True)
