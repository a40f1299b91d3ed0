#!/usr/bin/env python3
"""Writes the small reference cases of tests/golden/dit with PyTorch (torch, numpy and safetensors; any CPU).

  python3 scripts/make_goldens.py            from the root of the repository

The layout is that of the larger reference folder (TITAN_GOLDEN): NAME.safetensors beside NAME.json; tensors param.*, input.*,
output.*, grad.*. All weights are random and none is zero, so a wrong gate, shift or unused tensor shows.
"""
import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from torch_dit import Dit

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CASES = [  # name, adaLN, channels, image_size, patch, dim, heads
    ("dit_own_adaln", True, 3, (8, 12), 2, 16, 2),
    ("dit_own_context", False, 4, (8, 8), 4, 16, 2),
]
CLASSES, LAYERS, BATCH, MULTIPLE_OF = 5, 2, 3, 8


def make_case(name, adaln, channels, image_size, patch, dim, heads):
    torch.manual_seed(len(name))
    model = Dit(dim, LAYERS, heads, channels, CLASSES, image_size, patch, MULTIPLE_OF, adaln=adaln)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2 if parameter.dim() > 1 else 0.5)
    noise, x1 = torch.randn(2, BATCH, channels, *image_size)
    t, labels = torch.rand(BATCH), torch.tensor([1, 4, 2])
    drop = torch.tensor([0, 1, 0])
    x_t, target = noise + t.view(-1, 1, 1, 1) * (x1 - noise), x1 - noise
    seen = {}
    pred = model(x_t, t, torch.where(drop == 1, CLASSES, labels), seen)
    loss = F.mse_loss(pred, target)
    loss.backward()

    tokens = (image_size[0] // patch) * (image_size[1] // patch)
    tensors = {"input.noise": noise, "input.x1": x1, "input.t": t, "input.class_idx": labels, "input.force_drop_ids": drop,
               "output.x_t": x_t, "output.target": target, "output.pred": pred, "output.loss": loss,
               "output.freqs_cis": torch.view_as_real(model.freqs_cis[:tokens])}
    tensors |= {"output." + key: value for key, value in seen.items()}
    for key, parameter in model.named_parameters():
        tensors["param." + key] = parameter
        tensors["grad." + key] = parameter.grad
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}

    state_dict = [{"name": "freqs_cis", "shape": [tokens, dim // heads // 2], "dtype": "complex64"}]
    state_dict += [{"name": key, "shape": list(p.shape), "dtype": "float32"} for key, p in model.named_parameters()]
    description = {
        "case": name,
        "about": "Forward, rectified-flow loss and all gradients, by scripts/make_goldens.py.",
        "config": {"dim": dim, "n_layers": LAYERS, "n_heads": heads, "n_kv_heads": None, "multiple_of": MULTIPLE_OF,
                   "ffn_dim_multiplier": None, "norm_eps": 1e-5, "rope_theta": 10000, "image_size": list(image_size),
                   "num_classes": CLASSES, "patch_size": patch, "condition_mode": "adaLN" if adaln else "context",
                   "norm_type": "rmsnorm", "input_channels": channels},
        "conditions": {"compute": f"float32, CPU, one thread, PyTorch {torch.__version__}",
                       "objective": "x_t = noise + t*(x1 - noise); target = x1 - noise; loss = mean((pred - target)^2)",
                       "labels": "the null class (num_classes) where input.force_drop_ids is 1"},
        "state_dict": state_dict,
        "parameter_count": sum(p.numel() for p in model.parameters()),
        "tensors": {key: {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
                    for key, value in sorted(tensors.items())},
    }
    folder = os.path.join(ROOT, "tests/golden/dit")
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, os.path.join(folder, name + ".safetensors"))
    with open(os.path.join(folder, name + ".json"), "w") as file:
        json.dump(description, file, indent=None)
        file.write("\n")


def main():
    torch.set_num_threads(1)
    for case in CASES:
        make_case(*case)


if __name__ == "__main__":
    main()
