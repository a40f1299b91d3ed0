"""The training step of the PyTorch models that titan is compared with (torch_dit.py, torch_flux.py, flux_overlay.py)."""
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def make_optimizer(parameters, lr, fused):
    return torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=0.1, fused=fused)


def train_step(model, forward, optimizer, inputs, target):
    """One step on the mean squared error, gradients clipped at norm 1; returns the loss as a number."""
    loss = F.mse_loss(forward(*inputs), target)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


class HalfStep:
    """The same for a model in bfloat16: float32 master weights beside it, gradients widened once, no autocast's copies."""

    def __init__(self, model, lr):
        self.weights = [p for p in model.parameters() if p.requires_grad]
        self.masters = [p.detach().float().requires_grad_() for p in self.weights]
        for master in self.masters:
            master.grad = torch.empty_like(master)
        self.optimizer = make_optimizer(self.masters, lr, fused=True)

    def __call__(self, forward, inputs, target):
        loss = F.mse_loss(forward(*inputs).float(), target)
        loss.backward()
        torch._foreach_copy_([m.grad for m in self.masters], [p.grad for p in self.weights])
        for weight in self.weights:
            weight.grad = None
        nn.utils.clip_grad_norm_(self.masters, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.weights, self.masters)
        return loss.item()


def options(words):
    """key=value words behind the shape: device, dtype, compile."""
    known = {"device": "cpu", "dtype": "float32", "compile": ""}
    for word in words:
        key, _, value = word.partition("=")
        if key not in known:
            sys.exit(f"unknown option: {word} (known: {', '.join(known)})")
        known[key] = value
    return known


def place(inputs, device, dtype):
    """Inputs as the model takes them: floating-point ones in its dtype, but timesteps (1-D) in float32."""
    return [x.to(device, dtype if x.is_floating_point() and x.dim() > 1 else x.dtype) for x in inputs]


def peak_bytes(device):
    if device == "cpu":  # of the process
        for line in open("/proc/self/status"):
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
        return 0
    peak = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return peak


def answer_steps(model, inputs, target, words):
    """Answers each line "step" of standard input with "<seconds> <loss>", a line "memory" with peak bytes, until another line."""
    chosen = options(words)
    device, dtype = chosen["device"], getattr(torch, chosen["dtype"])
    model = model.to(device)
    inputs, target = place(inputs, device, dtype), target.to(device)
    if dtype == torch.float32:
        optimizer = make_optimizer(model.parameters(), lr=1e-4, fused=True)
    else:
        for parameter in model.parameters():  # buffers (tables of rotations) stay float32
            parameter.data = parameter.data.to(dtype)
        half = HalfStep(model, lr=1e-4)
    if device != "cpu":
        torch.cuda.empty_cache()  # what the float32 weights lay in goes back, not into fragments
        torch.cuda.reset_peak_memory_stats()
    forward = torch.compile(model, mode=chosen["compile"]) if chosen["compile"] else model
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what compilers and their processes print is no answer
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(peak_bytes(device), file=answers, flush=True)
            continue
        if line.strip() != "step":
            break
        start = time.perf_counter()
        value = train_step(model, forward, optimizer, inputs, target) if dtype == torch.float32 else half(forward, inputs, target)
        print(time.perf_counter() - start, value, file=answers, flush=True)
