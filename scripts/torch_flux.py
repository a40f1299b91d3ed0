"""FLUX.1 as a plain PyTorch module, written from the formulas of titan/models/flux: the rival of scripts/bench_train.py
--model=flux and the other half of scripts/flux_overlay.py. Parameter names are those of the published checkpoints.

  python3 torch_flux.py HIDDEN HEADS DOUBLE SINGLE BATCH SIZE TEXT THREADS [device=cuda] [dtype=bfloat16] [compile=MODE]

answers each line "step" with "<seconds> <loss>". SIZE is the side of the latents; MODE is torch.compile's (default,
max-autotune).
"""
import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

from torch_steps import answer_steps, options


def sinusoid(t, width=256):
    """Cosines, then sines, of 1000 t at width / 2 frequencies from 1 down to nearly 1e-4; float32."""
    frequency = torch.exp(torch.arange(width // 2, device=t.device).float() * (-math.log(10000.0) / (width // 2)))
    angle = 1000.0 * t.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1)


def rope_table(text_tokens, rows, columns, axes, theta):
    """[tokens, head width / 2] complex: text tokens lie at the origin, an image token at (0, row, column)."""
    token = torch.arange(rows * columns)
    place = torch.stack([torch.zeros_like(token), token // columns, token % columns], 1).double()
    place = torch.cat([torch.zeros(text_tokens, 3).double(), place])
    angle = torch.cat([torch.outer(place[:, i], theta ** (-torch.arange(0, width, 2).double() / width))
                       for i, width in enumerate(axes)], 1)
    return torch.stack([angle.cos(), angle.sin()], -1).float()


def rotate(x, table):
    """Neighbouring features of x [B, heads, tokens, width] turned as pairs, in float32."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = table.unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).type_as(x)


def modulated(x, scale, shift):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class Scale(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.scale, self.eps)


class QkNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.query_norm, self.key_norm = Scale(width, eps), Scale(width, eps)

    def heads(self, qkv, heads):
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        return self.query_norm(q), self.key_norm(k), v


def attend(q, k, v, table):
    out = F.scaled_dot_product_attention(rotate(q, table), rotate(k, table), v)
    return out.transpose(1, 2).flatten(2)


class Embedder(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.in_layer, self.out_layer = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        return self.out_layer(F.silu(self.in_layer(x.to(self.in_layer.weight.dtype))))


class Modulation(nn.Module):
    def __init__(self, hidden, parts):
        super().__init__()
        self.parts = parts
        self.lin = nn.Linear(hidden, parts * hidden)

    def forward(self, vec):
        return self.lin(F.silu(vec))[:, None].chunk(self.parts, -1)


class StreamAttention(nn.Module):
    def __init__(self, hidden, heads, eps):
        super().__init__()
        self.qkv, self.proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.norm = QkNorm(hidden // heads, eps)


def mlp(hidden, inner):
    return nn.Sequential(nn.Linear(hidden, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, hidden))


class DoubleBlock(nn.Module):
    def __init__(self, hidden, heads, inner, eps):
        super().__init__()
        self.heads = heads
        self.img_mod, self.txt_mod = Modulation(hidden, 6), Modulation(hidden, 6)
        self.img_attn, self.txt_attn = StreamAttention(hidden, heads, eps), StreamAttention(hidden, heads, eps)
        self.img_mlp, self.txt_mlp = mlp(hidden, inner), mlp(hidden, inner)

    def forward(self, img, txt, vec, table):
        parts = {"txt": self.txt_mod(vec), "img": self.img_mod(vec)}
        streams = {"txt": (txt, self.txt_attn), "img": (img, self.img_attn)}
        heads = [attn.norm.heads(attn.qkv(modulated(x, parts[name][1], parts[name][0])), self.heads)
                 for name, (x, attn) in streams.items()]
        joint = attend(*(torch.cat(pair, 2) for pair in zip(*heads)), table)
        results = []
        attended = joint.split([txt.shape[1], img.shape[1]], 1)
        for (name, (x, attn)), out, ff in zip(streams.items(), attended, (self.txt_mlp, self.img_mlp)):
            _, _, gate1, shift2, scale2, gate2 = parts[name]
            x = x + gate1 * attn.proj(out)
            results.append(x + gate2 * ff(modulated(x, scale2, shift2)))
        return results[1], results[0]


class SingleBlock(nn.Module):
    def __init__(self, hidden, heads, inner, eps):
        super().__init__()
        self.heads, self.widths = heads, [3 * hidden, inner]
        self.linear1, self.linear2 = nn.Linear(hidden, 3 * hidden + inner), nn.Linear(hidden + inner, hidden)
        self.norm = QkNorm(hidden // heads, eps)
        self.modulation = Modulation(hidden, 3)

    def forward(self, x, vec, table):
        shift, scale, gate = self.modulation(vec)
        qkv, inner = self.linear1(modulated(x, scale, shift)).split(self.widths, -1)
        out = attend(*self.norm.heads(qkv, self.heads), table)
        return x + gate * self.linear2(torch.cat([out, F.gelu(inner, approximate="tanh")], -1))


class LastLayer(nn.Module):
    def __init__(self, hidden, outputs):
        super().__init__()
        self.linear = nn.Linear(hidden, outputs)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, x, vec):
        shift, scale = self.adaLN_modulation(vec)[:, None].chunk(2, -1)
        return self.linear(modulated(x, scale, shift))


class Flux(nn.Module):
    def __init__(self, hidden, heads, depth, singles, grid, text_tokens, channels=16, context=4096, pooled=768,
                 axes=(16, 56, 56), theta=10000.0, mlp_ratio=4.0, eps=torch.finfo(torch.float32).eps):
        super().__init__()
        inner = int(hidden * mlp_ratio)
        self.grid, self.text_tokens = grid, text_tokens
        self.img_in, self.txt_in = nn.Linear(4 * channels, hidden), nn.Linear(context, hidden)
        self.time_in, self.vector_in = Embedder(256, hidden), Embedder(pooled, hidden)
        self.double_blocks = nn.ModuleList(DoubleBlock(hidden, heads, inner, eps) for _ in range(depth))
        self.single_blocks = nn.ModuleList(SingleBlock(hidden, heads, inner, eps) for _ in range(singles))
        self.final_layer = LastLayer(hidden, 4 * channels)
        self.register_buffer("table", rope_table(text_tokens, *grid, axes, theta), persistent=False)

    def forward(self, x, t, txt, y):
        rows, columns = self.grid
        img = x.unflatten(2, (rows, 2)).unflatten(4, (columns, 2)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        img, txt = self.img_in(img), self.txt_in(txt)
        vec = self.time_in(sinusoid(t)) + self.vector_in(y)
        for block in self.double_blocks:
            img, txt = block(img, txt, vec, self.table)
        joint = torch.cat([txt, img], 1)
        for block in self.single_blocks:
            joint = block(joint, vec, self.table)
        out = self.final_layer(joint[:, self.text_tokens:], vec)
        out = out.unflatten(1, (rows, columns)).unflatten(3, (-1, 2, 2)).permute(0, 3, 1, 4, 2, 5)
        return out.flatten(4).flatten(2, 3)


def main():
    hidden, heads, depth, singles, batch, size, text, threads = map(int, sys.argv[1:9])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with torch.device(options(sys.argv[9:])["device"]):  # a GPU draws billions of weights at once
        model = Flux(hidden, heads, depth, singles, (size // 2, size // 2), text)
    x, target = torch.randn(2, batch, 16, size, size)
    t, txt, y = torch.rand(batch), torch.randn(batch, text, 4096), torch.randn(batch, 768)
    answer_steps(model, (x, t, txt, y), target, sys.argv[9:])


if __name__ == "__main__":
    main()
