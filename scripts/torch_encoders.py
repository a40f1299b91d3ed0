"""The frozen networks as plain PyTorch modules, written from the formulas of titan/models/encoders: the rivals of
scripts/bench_encoders.py. Parameter names are the published ones.

  python3 torch_encoders.py t5|clip|encode|decode WEIGHTS BATCH SIZE THREADS DTYPE [OPTION ...]
  python3 torch_encoders.py make t5|clip|vae FOLDER [LAYERS]     random weights (and config.json)

answers each line "step" with "<seconds> <mean of the absolute outputs>". Options: manual (T5's attention in separate
operations with softmax in float32, as in the transformers library; else scaled_dot_product_attention), channels_last
(autoencoder).
"""
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

T5_XXL = {"model_type": "t5", "feed_forward_proj": "gated-gelu", "vocab_size": 32128, "d_model": 4096, "num_heads": 64, "d_kv": 64,
          "d_ff": 10240, "num_layers": 24, "layer_norm_epsilon": 1e-6, "relative_attention_num_buckets": 32,
          "relative_attention_max_distance": 128}
CLIP_L = {"model_type": "clip_text_model", "vocab_size": 49408, "hidden_size": 768, "num_hidden_layers": 12,
          "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 77, "hidden_act": "quick_gelu",
          "layer_norm_eps": 1e-5}


class Holder(nn.Module):
    """Children under the names given; a number is a name too."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            self.add_module(name.lstrip("_"), child)


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        scaled = x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(self.weight.dtype)


def by_head(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class T5Block(nn.Module):
    def __init__(self, c, first, manual):
        super().__init__()
        d, inner, ff, eps = c["d_model"], c["num_heads"] * c["d_kv"], c["d_ff"], c["layer_norm_epsilon"]
        self.heads, self.manual = c["num_heads"], manual
        linear = lambda i, o: nn.Linear(i, o, bias=False)
        attention = Holder(q=linear(d, inner), k=linear(d, inner), v=linear(d, inner), o=linear(inner, d))
        if first:
            attention.relative_attention_bias = nn.Embedding(c["relative_attention_num_buckets"], self.heads)
        feed = Holder(wi_0=linear(d, ff), wi_1=linear(d, ff), wo=linear(ff, d))
        self.layer = nn.ModuleList([Holder(SelfAttention=attention, layer_norm=RmsNorm(d, eps)),
                                    Holder(DenseReluDense=feed, layer_norm=RmsNorm(d, eps))])

    def forward(self, x, bias):
        a, f = self.layer[0].SelfAttention, self.layer[1].DenseReluDense
        y = self.layer[0].layer_norm(x)
        q, k, v = (by_head(m(y), self.heads) for m in (a.q, a.k, a.v))
        if self.manual:
            scores = torch.matmul(q, k.transpose(2, 3)) + bias
            out = torch.matmul(F.softmax(scores.float(), dim=-1).type_as(scores), v)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        x = x + a.o(out.transpose(1, 2).flatten(2))
        y = self.layer[1].layer_norm(x)
        return x + f.wo(F.gelu(f.wi_0(y), approximate="tanh") * f.wi_1(y))


class T5(nn.Module):
    def __init__(self, c, manual):
        super().__init__()
        self.config = c
        self.shared = nn.Embedding(c["vocab_size"], c["d_model"])
        self.encoder = Holder(block=nn.ModuleList(T5Block(c, i == 0, manual) for i in range(c["num_layers"])),
                              final_layer_norm=RmsNorm(c["d_model"], c["layer_norm_epsilon"]))

    def bias(self, length):
        half, place = self.config["relative_attention_num_buckets"] // 2, torch.arange(length)
        distance = place[None, :] - place[:, None]
        size, exact = distance.abs(), half // 2
        coarse = exact + (torch.log(size.clamp(min=1).float() / exact)
                          / math.log(self.config["relative_attention_max_distance"] / exact) * (half - exact)).long()
        bucket = torch.where(size < exact, size, coarse.clamp(max=half - 1)) + (distance > 0).long() * half
        table = self.encoder.block[0].layer[0].SelfAttention.relative_attention_bias
        return table(bucket).permute(2, 0, 1)[None]

    def forward(self, ids):
        x, bias = self.shared(ids), self.bias(ids.shape[1])
        for block in self.encoder.block:
            x = block(x, bias)
        return self.encoder.final_layer_norm(x)


class ClipLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.heads = c["hidden_size"], c["num_attention_heads"]
        self.self_attn = Holder(**{name: nn.Linear(d, d) for name in ("q_proj", "k_proj", "v_proj", "out_proj")})
        self.mlp = Holder(fc1=nn.Linear(d, c["intermediate_size"]), fc2=nn.Linear(c["intermediate_size"], d))
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(d, c["layer_norm_eps"]), nn.LayerNorm(d, c["layer_norm_eps"])

    def forward(self, x):
        a, y = self.self_attn, self.layer_norm1(x)
        out = F.scaled_dot_product_attention(*(by_head(m(y), self.heads) for m in (a.q_proj, a.k_proj, a.v_proj)), is_causal=True)
        x = x + a.out_proj(out.transpose(1, 2).flatten(2))
        y = self.mlp.fc1(self.layer_norm2(x))
        return x + self.mlp.fc2(y * torch.sigmoid(1.702 * y))


class Clip(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c["hidden_size"]
        self.text_model = Holder(embeddings=Holder(token_embedding=nn.Embedding(c["vocab_size"], d),
                                                   position_embedding=nn.Embedding(c["max_position_embeddings"], d)),
                                 encoder=Holder(layers=nn.ModuleList(ClipLayer(c) for _ in range(c["num_hidden_layers"]))),
                                 final_layer_norm=nn.LayerNorm(d, c["layer_norm_eps"]))

    def forward(self, ids):
        t = self.text_model
        x = t.embeddings.token_embedding(ids) + t.embeddings.position_embedding(torch.arange(ids.shape[1]))
        for layer in t.encoder.layers:
            x = layer(x)
        return t.final_layer_norm(x)[torch.arange(len(ids)), ids.argmax(-1)]


def group_norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-6)


def conv(i, o, side=3):
    return nn.Conv2d(i, o, side, padding=side // 2)


class Resnet(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = group_norm(i), conv(i, o), group_norm(o), conv(o, o)
        self.nin_shortcut = conv(i, o, 1) if i != o else None

    def forward(self, x):
        y = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return (x if self.nin_shortcut is None else self.nin_shortcut(x)) + y


class PixelAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = group_norm(c)
        self.q, self.k, self.v, self.proj_out = (conv(c, c, 1) for _ in range(4))

    def forward(self, x):
        y = self.norm(x)
        q, k, v = (m(y).flatten(2).transpose(1, 2)[:, None].contiguous() for m in (self.q, self.k, self.v))
        out = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.proj_out(out)


def middle(c):
    return Holder(block_1=Resnet(c, c), attn_1=PixelAttention(c), block_2=Resnet(c, c))


def through_middle(m, x):
    return m.block_2(m.attn_1(m.block_1(x)))


class Encoder(nn.Module):
    def __init__(self, widths=(128, 256, 512, 512), blocks=2, z=16):
        super().__init__()
        self.conv_in, c, levels = conv(3, widths[0]), widths[0], []
        for i, width in enumerate(widths):
            level = Holder(block=nn.ModuleList(Resnet(c if b == 0 else width, width) for b in range(blocks)))
            if i + 1 < len(widths):
                level.downsample = Holder(conv=nn.Conv2d(width, width, 3, stride=2))
            levels.append(level)
            c = width
        self.down, self.mid = nn.ModuleList(levels), middle(c)
        self.norm_out, self.conv_out = group_norm(c), conv(c, 2 * z)

    def forward(self, x):
        x = self.conv_in(x)
        for level in self.down:
            for block in level.block:
                x = block(x)
            if hasattr(level, "downsample"):
                x = level.downsample.conv(F.pad(x, (0, 1, 0, 1)))
        return self.conv_out(F.silu(self.norm_out(through_middle(self.mid, x))))


class Decoder(nn.Module):
    def __init__(self, widths=(128, 256, 512, 512), blocks=2, z=16):
        super().__init__()
        c = widths[-1]
        self.conv_in, self.mid, levels = conv(z, c), middle(c), []
        for i in reversed(range(len(widths))):
            level = Holder(block=nn.ModuleList(Resnet(c if b == 0 else widths[i], widths[i]) for b in range(blocks + 1)))
            if i > 0:
                level.upsample = Holder(conv=conv(widths[i], widths[i]))
            levels.insert(0, level)
            c = widths[i]
        self.up, self.norm_out, self.conv_out = nn.ModuleList(levels), group_norm(c), conv(c, 3)

    def forward(self, z):
        x = through_middle(self.mid, self.conv_in(z))
        for level in reversed(self.up):
            for block in level.block:
                x = block(x)
            if hasattr(level, "upsample"):
                x = level.upsample.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()


def make(kind, folder, layers=None):
    """Random weights whose activations neither vanish nor explode."""
    config = dict(T5_XXL if kind == "t5" else CLIP_L)
    if layers:
        config["num_layers" if kind == "t5" else "num_hidden_layers"] = int(layers)
    torch.manual_seed(0)
    with torch.device("meta"):
        model = {"t5": lambda: T5(config, False), "clip": lambda: Clip(config), "vae": Autoencoder}[kind]()
    model.to_empty(device="cpu")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias") and p.dim() == 1:
                p.zero_()
            else:
                p.normal_(0, 1.0 if "shared" in name else p[0].numel() ** -0.5)
    os.makedirs(folder, exist_ok=True)
    save_file(model.state_dict(), os.path.join(folder, "model.safetensors"))
    if kind != "vae":
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file)


def load(network, folder, options):
    if network in ("t5", "clip"):
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
    with torch.device("meta"):
        model = (T5(config, "manual" in options) if network == "t5" else Clip(config) if network == "clip" else Autoencoder())
    model.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), assign=True)
    return model


def main():
    if sys.argv[1] == "make":
        return make(*sys.argv[2:])
    network, folder, dtype, options = sys.argv[1], sys.argv[2], getattr(torch, sys.argv[6]), sys.argv[7:]
    batch, size, threads = map(int, sys.argv[3:6])
    torch.set_num_threads(threads)
    model = load(network, folder, options).to(dtype).eval()
    if network in ("t5", "clip"):
        vocabulary = model.shared.num_embeddings if network == "t5" else model.text_model.embeddings.token_embedding.num_embeddings
        inputs = (torch.arange(batch * size) * 7919).remainder(vocabulary).view(batch, size)
    else:
        channels = 3 if network == "encode" else 16
        inputs = torch.sin(torch.arange(batch * channels * size * size).double()).to(dtype).view(batch, channels, size, size)
        model = model.encoder if network == "encode" else model.decoder
    if "channels_last" in options:
        model, inputs = model.to(memory_format=torch.channels_last), inputs.to(memory_format=torch.channels_last)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() != "step":
            break
        with torch.inference_mode():
            start = time.perf_counter()
            out = model(inputs)
            if network == "encode":
                out = out.chunk(2, 1)[0]
            seconds = time.perf_counter() - start
        print(seconds, out.double().abs().mean().item(), flush=True)


if __name__ == "__main__":
    main()
