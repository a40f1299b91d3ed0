"""The DiT of titan/models/dit as a plain PyTorch module: the rival of scripts/bench_train.py and the source of the small
reference cases of scripts/make_goldens.py. Written from the formulas; parameter names are the published ones.

  python3 torch_dit.py FLAVOR BATCH SIZE CHANNELS THREADS [device=cuda] [dtype=bfloat16] [compile=MODE]

answers each line "step" with "<seconds> <loss>"; MODE is torch.compile's (default, max-autotune).
"""
import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

from torch_steps import answer_steps, options

FLAVORS = {  # dim, layers, heads
    "debugmodel": (256, 8, 16), "S": (384, 12, 8), "B": (768, 12, 12), "L": (1024, 24, 16),
}


class RMSNorm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


def rope_table(rows, columns, head_dim, theta):
    frequency = 1.0 / theta ** (torch.arange(0, head_dim, 4).float() / head_dim)
    token = torch.arange(rows * columns)
    angle = torch.cat([torch.outer((token % columns).float(), frequency),
                       torch.outer((token // columns).float(), frequency)], 1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x, table):
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * table[:, None]).flatten(3).type_as(x)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x, table):
        q, k, v = (w(x).unflatten(-1, (self.heads, -1)) for w in (self.wq, self.wk, self.wv))
        q, k = rotate(q, table), rotate(k, table)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.wo(out.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.w1 = nn.Linear(dim, hidden, bias=False)
        self.w2 = nn.Linear(hidden, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, dim, heads, hidden, eps, adaln):
        super().__init__()
        self.attention = Attention(dim, heads)
        self.feed_forward = FeedForward(dim, hidden)
        self.attention_norm = RMSNorm(dim, eps)
        self.ffn_norm = RMSNorm(dim, eps)
        if adaln:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))

    def forward(self, x, condition, table):
        if condition is None:
            h = x + self.attention(self.attention_norm(x), table)
            return h + self.feed_forward(self.ffn_norm(h))
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = (
            part.unsqueeze(1) for part in self.adaLN_modulation(condition).chunk(6, dim=1))
        h = x + gate_a * self.attention(self.attention_norm(x) * (1 + scale_a) + shift_a, table)
        return h + gate_m * self.feed_forward(self.ffn_norm(h) * (1 + scale_m) + shift_m)


class PatchEmbedding(nn.Module):
    def __init__(self, channels, dim, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class TimeEmbedding(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, t):
        frequency = torch.exp(torch.arange(128, device=t.device).float() * (-math.log(10000.0) / 128))
        angle = t[:, None] * frequency
        return self.mlp(torch.cat([angle.cos(), angle.sin()], 1).to(self.mlp[0].weight.dtype))


class ClassEmbedding(nn.Module):
    def __init__(self, classes, dim):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, dim)

    def forward(self, label):
        return self.embedding_table(label)


class Dit(nn.Module):
    def __init__(self, dim, n_layers, n_heads, channels, classes, image_size, patch=2, multiple_of=256, eps=1e-5,
                 theta=10000.0, adaln=True):
        super().__init__()
        self.patch, self.adaln = patch, adaln
        self.grid = [side // patch for side in image_size]
        hidden = -(-(8 * dim // 3) // multiple_of) * multiple_of
        self.x_embedder = PatchEmbedding(channels, dim, patch)
        self.t_embedder = TimeEmbedding(dim)
        self.y_embedder = ClassEmbedding(classes, dim)
        self.layers = nn.ModuleDict({str(i): Block(dim, n_heads, hidden, eps, adaln) for i in range(n_layers)})
        self.norm = RMSNorm(dim, eps)
        self.output = nn.Linear(dim, patch * patch * channels)
        table = rope_table(*self.grid, dim // n_heads, theta)
        if not adaln:  # two more tokens, not turned
            table = torch.cat([table, torch.ones(2, table.shape[1], dtype=table.dtype)])
        self.register_buffer("freqs_cis", table)

    def forward(self, x, t, label, seen=None):
        """`seen`, if given, collects intermediate results by name."""
        seen = {} if seen is None else seen
        h = seen["patch_tokens"] = self.x_embedder(x)
        time, cls = self.t_embedder(t), self.y_embedder(label)
        seen["t_emb"], seen["y_emb"] = time, cls
        if self.adaln:
            condition = time + cls
        else:
            condition, h = None, torch.cat([h, time[:, None], cls[:, None]], 1)
        for name, layer in self.layers.items():
            h = seen["layers." + name] = layer(h, condition, self.freqs_cis)
        h = self.output(self.norm(h))[:, :self.grid[0] * self.grid[1]]
        rows, columns = self.grid
        h = h.reshape(len(h), rows, columns, self.patch, self.patch, -1).permute(0, 5, 1, 3, 2, 4)
        return h.reshape(len(h), -1, rows * self.patch, columns * self.patch)


def main():
    flavor, batch, size, channels, threads = sys.argv[1], *map(int, sys.argv[2:6])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    with torch.device(options(sys.argv[6:])["device"]):
        model = Dit(*FLAVORS[flavor], channels, 1000, (size, size))
    x, target = torch.randn(2, batch, channels, size, size)
    t, label = torch.rand(batch), torch.arange(batch)
    answer_steps(model, (x, t, label), target, sys.argv[6:])


if __name__ == "__main__":
    main()
