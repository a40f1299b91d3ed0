"""scripts/convert_dcp.py: folders as torchtitan writes them (several ranks, DTensors), to titan and back.

Usage: convert_dcp_test.py make FOLDER | compare FOLDER OTHER | check FOLDER TITAN_STEP | same TITAN_STEP TITAN_STEP
"""
import json
import os
import struct
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

SHAPES = {"img_in.weight": (6, 4), "img_in.bias": (6,), "double_blocks.0.img_attn.norm.query_norm.weight": (5,),
          "final_layer.linear.weight": (7, 3)}
STEP = 12


def value(kind, name):
    generator = torch.Generator().manual_seed(hash_of(kind + name))
    return torch.randn(SHAPES[name], generator=generator)


def hash_of(text):
    result = 7
    for letter in text.encode():
        result = (result * 131 + letter) % (1 << 31)
    return result


def rank_main(rank, folder, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=str(rank), WORLD_SIZE="2")
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))

    def shard(tensor):
        return distribute_tensor(tensor, mesh, [Shard(0)])

    state = {name: shard(value("model", name)) for name in SHAPES}
    for name in SHAPES:
        for moment in ("exp_avg", "exp_avg_sq"):
            state[f"optimizer.state.{name}.{moment}"] = shard(value(moment, name))
        state[f"optimizer.state.{name}.step"] = torch.tensor(float(STEP))
        state[f"optimizer.param_groups.{name}.lr"] = 1e-4
    state["lr_scheduler.last_epoch"] = STEP
    state[f"dataloader.dp_rank_{rank}"] = b"not ours"
    state["train_state.step"] = torch.tensor(STEP, dtype=torch.int32)
    dcp.save(state, checkpoint_id=folder)
    dist.destroy_process_group()


def make(folder):
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    mp.start_processes(rank_main, args=(folder, port), nprocs=2, start_method="spawn")
    assert len([f for f in os.listdir(folder) if f.endswith(".distcp")]) == 2


def titan_tensors(folder):
    index = json.load(open(os.path.join(folder, "index.json")))
    tensors = {}
    for key, entry in index["tensors"].items():
        parts = []
        for fragment in entry["fragments"]:
            data = open(os.path.join(folder, fragment["file"]), "rb").read()
            length, = struct.unpack("<Q", data[:8])
            begin, end = json.loads(data[8:8 + length])[fragment.get("tensor", key)]["data_offsets"]
            parts.append(torch.frombuffer(bytearray(data[8 + length + begin:8 + length + end]), dtype=torch.float32)
                         if end > begin else torch.empty(0))
        tensors[key] = torch.cat(parts).reshape(entry["shape"])
    return index, tensors


def check(folder, step_folder):
    index, tensors = titan_tensors(step_folder)
    assert (index["step"], index["cursor"]) == (STEP, 8 * STEP), index["step"]
    assert len(tensors) == 3 * len(SHAPES)
    for name in SHAPES:
        ours = name.replace("query_norm.weight", "query_norm.scale")
        assert torch.equal(tensors["model." + ours], value("model", name)), name
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(tensors[f"optim.{moment}.{ours}"], value(moment, name)), name


def compare(folder, other):
    """What `other` holds is what `folder` holds."""
    reader = dcp.FileSystemReader(other)
    keys = reader.read_metadata().state_dict_metadata
    state = {key: torch.empty(meta.size, dtype=meta.properties.dtype) for key, meta in keys.items()}
    dcp.load(state, checkpoint_id=other, no_dist=True)
    for name in SHAPES:
        assert torch.equal(state[name], value("model", name)), name
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(state[f"optimizer.state.{name}.{moment}"], value(moment, name)), name
    assert int(state["train_state.step"]) == STEP


def same(one, other):
    (first, mine), (second, theirs) = titan_tensors(one), titan_tensors(other)
    keys = [{key for key in side if not key.startswith("ema.")} for side in (mine, theirs)]  # averages stay behind
    assert first["step"] == second["step"] and keys[0] == keys[1], (first["step"], second["step"])
    for key in keys[0]:
        assert torch.equal(mine[key], theirs[key]), key


if __name__ == "__main__":
    {"make": make, "check": check, "compare": compare, "same": same}[sys.argv[1]](*sys.argv[2:])
