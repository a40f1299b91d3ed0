#!/usr/bin/env python3
"""Turns a checkpoint of torchtitan (a DCP folder: .metadata and *.distcp) into one of titan, or back.

    python3 scripts/convert_dcp.py to-titan  outputs/checkpoint/step-1000  OUT      # writes OUT/step-001000
    python3 scripts/convert_dcp.py to-dcp    run/checkpoint/step-001000    OUT      # writes OUT/step-1000
      [--global-batch 512]   samples per step, for the place in the data (to-titan; else it begins anew)
      [--seed N]             the run's seed (to-titan; default 0)
      [--names flux|same]    flux: scales of the query and key norms are called `.weight` there, `.scale` here (default)
      [--averages]           to-dcp: the averaged weights instead of the weights

Needs Python with torch 2.11 (which reads and writes its own format) and libxxhash, which titan needs anyway. One tensor at a
time is in memory on the way to titan; on the way back tensors are mapped files. Model, exp_avg and exp_avg_sq and the step
cross over. Learning rate and place in the data do not exist as state in titan (they are functions of the step and the cursor);
on the way back torchtitan gets an optimizer state without param_groups and starts them from its config.
Both of torchtitan's layouts are read: model tensors at the top level or under "model."; a folder with the model alone is a
start for a run (checkpoint.initial_load_path). docs/checkpoints.md says what to set to go on from the result.
"""
import argparse
import ctypes
import ctypes.util
import io
import json
import os
import pickle
import re
import shutil
import struct
import sys

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, TensorStorageMetadata

MOMENTS = {"exp_avg": "optim.exp_avg", "exp_avg_sq": "optim.exp_avg_sq"}
OTHER_PARTS = ("optimizer.", "lr_scheduler.", "dataloader.", "train_state.", "model_converters.", "ft_dataloader.")
BLOCK = 4 << 20


def fail(message):
    sys.exit("[convert_dcp] " + message)


# ---------------------------------------------------------------- checksums


class Digest(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def load_xxhash():
    for name in ("libxxhash.so.0", ctypes.util.find_library("xxhash")):
        try:
            library = ctypes.CDLL(name)
        except (OSError, TypeError):
            continue
        library.XXH3_createState.restype = ctypes.c_void_p
        library.XXH3_128bits_reset.argtypes = [ctypes.c_void_p]
        library.XXH3_128bits_update.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        library.XXH3_128bits_digest.argtypes = [ctypes.c_void_p]
        library.XXH3_128bits_digest.restype = Digest
        library.XXH3_freeState.argtypes = [ctypes.c_void_p]
        return library
    fail("libxxhash is missing (Debian: libxxhash0)")


class Hash:
    library = None

    def __init__(self):
        Hash.library = Hash.library or load_xxhash()
        self.state = self.library.XXH3_createState()
        self.library.XXH3_128bits_reset(self.state)

    def update(self, view):
        if len(view):
            # A bytearray or a writable memoryview lends its address; other bytes are copied.
            data = (ctypes.c_char * len(view)).from_buffer(view) if not view.readonly else bytes(view)
            self.library.XXH3_128bits_update(self.state, ctypes.cast(data, ctypes.c_void_p), len(view))

    def hex(self):
        digest = self.library.XXH3_128bits_digest(self.state)
        return f"{digest.high:016x}{digest.low:016x}"

    def __del__(self):
        self.library.XXH3_freeState(self.state)


def hash_of(data):
    digest = Hash()
    digest.update(memoryview(bytearray(data)))
    return digest.hex()


class HashedFile:
    """Writes a file; knows its checksum as a whole and block by block."""

    def __init__(self, path):
        self.file, self.whole, self.block = open(path, "xb"), Hash(), Hash()
        self.bytes, self.blocks = 0, ""

    def write(self, data):
        view = memoryview(data)
        while len(view):
            part = view[:BLOCK - self.bytes % BLOCK]
            self.file.write(part)
            self.whole.update(part)
            self.block.update(part)
            self.bytes += len(part)
            view = view[len(part):]
            if self.bytes % BLOCK == 0:
                self.end_block()

    def end_block(self):
        self.blocks += self.block.hex()
        self.block = Hash()

    def close(self):
        if self.bytes % BLOCK:
            self.end_block()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return {"bytes": self.bytes, "xxh3_128": self.whole.hex(), "block_bytes": BLOCK, "blocks_xxh3_128": self.blocks}


# ---------------------------------------------------------------- names


def to_ours(name, names):
    return re.sub(r"(query_norm|key_norm)\.weight$", r"\1.scale", name) if names == "flux" else name


def to_theirs(name, names):
    return re.sub(r"(query_norm|key_norm)\.scale$", r"\1.weight", name) if names == "flux" else name


# ---------------------------------------------------------------- torchtitan -> titan


class DcpFolder:
    """Reads tensors of a DCP folder one at a time."""

    def __init__(self, path):
        self.path = path
        if not os.path.isfile(os.path.join(path, ".metadata")):
            fail(f"{path} is no DCP folder: it has no .metadata")
        self.reader = dcp.FileSystemReader(path)
        self.metadata = self.reader.read_metadata()

    def tensors(self):
        return {k: v for k, v in self.metadata.state_dict_metadata.items() if isinstance(v, TensorStorageMetadata)}

    def read(self, key):
        meta = self.metadata.state_dict_metadata[key]
        if isinstance(meta, BytesStorageMetadata):
            return self.read_object(key)
        state = {key: torch.empty(meta.size, dtype=meta.properties.dtype)}
        dcp.load(state, storage_reader=self.reader, no_dist=True)
        return state[key]

    def read_object(self, key):
        for index, info in self.metadata.storage_data.items():
            if index.fqn == key:
                with open(os.path.join(self.path, info.relative_path), "rb") as file:
                    file.seek(info.offset)
                    return torch.load(io.BytesIO(file.read(info.length)), weights_only=True)
        fail(f"{key} is in .metadata but in no file of {self.path}")


def weights_in(folder):
    """Their key of each weight, by name."""
    tensors = folder.tensors()
    prefixed = {k[len("model."):]: k for k in tensors if k.startswith("model.")}
    found = prefixed or {k: k for k in tensors if not k.startswith(OTHER_PARTS)}
    if not found:
        fail(f"{folder.path} holds no model weights")
    return found


def step_in(folder):
    for key in ("train_state.step", "train_state"):
        if key in folder.metadata.state_dict_metadata:
            value = folder.read(key)
            if isinstance(value, dict):  # all of it as one object, in torchtitan's first versions
                value = value["step"]
                value = torch.load(value, weights_only=True) if isinstance(value, io.BytesIO) else value
            return int(value)
    return 0


def plan_tensors(folder, names):
    """[(our key, their key)]: weights, then moments where every weight has both."""
    weights = weights_in(folder)
    tensors = folder.tensors()
    rows = [("model." + to_ours(name, names), key) for name, key in weights.items()]
    for theirs, ours in MOMENTS.items():
        moments = {name: f"optimizer.state.{name}.{theirs}" for name in weights}
        missing = [key for key in moments.values() if key not in tensors]
        if len(missing) == len(moments):
            print(f"[convert_dcp] no {theirs} in {folder.path}: the model alone", file=sys.stderr)
            return [row for row in rows if row[0].startswith("model.")]
        if missing:
            fail(f"{folder.path} has optimizer state for some parameters only; missing: {', '.join(missing[:3])}")
        rows += [(f"{ours}.{to_ours(name, names)}", key) for name, key in moments.items()]
    return rows


def header_of(rows, tensors):
    header, at = {}, 0
    for ours, theirs in rows:
        count = tensors[theirs].size.numel()
        header[ours] = {"dtype": "F32", "shape": [count], "data_offsets": [at, at + 4 * count]}
        at += 4 * count
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def float_bytes(tensor):
    flat = tensor.to(torch.float32).contiguous().reshape(-1)
    if flat.numel() == 0:
        return bytearray()
    return memoryview((ctypes.c_char * (4 * flat.numel())).from_address(flat.data_ptr())).cast("B")


def write_index(folder, index):
    text = json.dumps(index, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    index["index_xxh3_128"] = hash_of(text.encode())
    path = os.path.join(folder, "index.json")
    with open(path, "x") as file:
        json.dump(index, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def to_titan(args):
    folder = DcpFolder(args.input)
    step = step_in(folder)
    rows, tensors = plan_tensors(folder, args.names), folder.tensors()
    with_optimizer = any(key.startswith("optim.") for key, _ in rows)
    if not with_optimizer:
        step = 0  # weights alone: what titan calls a seed checkpoint
    target = os.path.join(args.output, f"step-{step:06d}")
    if os.path.exists(target):
        fail(f"{target} exists already")
    temporary = os.path.join(args.output, f".tmp-step-{step:06d}")
    shutil.rmtree(temporary, ignore_errors=True)
    os.makedirs(temporary)
    name = "rank-00000.safetensors"
    file = HashedFile(os.path.join(temporary, name))
    file.write(bytearray(header_of(rows, tensors)))
    entries = {}
    for number, (ours, theirs) in enumerate(rows):
        tensor = folder.read(theirs)
        file.write(float_bytes(tensor))
        entries[ours] = {"dtype": "F32", "shape": list(tensor.shape),
                         "fragments": [{"file": name, "offset": 0, "length": tensor.numel()}]}
        if number % 200 == 199:
            print(f"[convert_dcp] {number + 1} of {len(rows)} tensors", file=sys.stderr)
    write_index(temporary, {"format": "titan-checkpoint", "version": 1, "step": step, "cursor": step * args.global_batch,
                            "seed": args.seed, "world_size": 1, "fingerprints": {}, "files": {name: file.close()},
                            "tensors": entries})
    os.rename(temporary, target)
    print(f"[convert_dcp] {target}: step {step}, {len(rows)} tensors{'' if with_optimizer else ' (weights alone)'}")


# ---------------------------------------------------------------- titan -> torchtitan


DTYPES = {"F32": torch.float32, "F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16}


class TitanFolder:
    """Tensors of a checkpoint of titan; the index's checksum is compared, the files' are when they are read."""

    def __init__(self, path):
        self.path = path
        try:
            with open(os.path.join(path, "index.json")) as file:
                self.index = json.load(file)
        except (OSError, ValueError) as error:
            fail(f"{path} is no checkpoint of titan: {error}")
        stated = self.index.pop("index_xxh3_128", None)
        text = json.dumps(self.index, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        if stated != hash_of(text.encode()):
            fail(f"{path}/index.json is damaged: its checksum does not match")
        self.files = {name: self.open(name, entry) for name, entry in self.index["files"].items()}

    def open(self, name, entry):
        path = os.path.join(self.path, name)
        digest = Hash()
        with open(path, "rb") as file:
            while chunk := file.read(BLOCK):
                digest.update(memoryview(bytearray(chunk)))
            if file.tell() != entry["bytes"] or digest.hex() != entry["xxh3_128"]:
                fail(f"{path} is damaged: its size or XXH3-128 is not the one in index.json")
            file.seek(0)
            length, = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        size = entry["bytes"]
        return {"data": torch.from_file(path, shared=False, size=size, dtype=torch.uint8), "begin": 8 + length,
                "header": header}

    def read(self, key):
        tensor = self.index["tensors"][key]
        dtype = DTYPES.get(tensor["dtype"]) or fail(f"{key} has type {tensor['dtype']}")
        parts = []
        for fragment in tensor["fragments"]:
            file = self.files[fragment["file"]]
            begin, end = file["header"][fragment.get("tensor", key)]["data_offsets"]
            parts.append(file["data"][file["begin"] + begin:file["begin"] + end].view(dtype))
        whole = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else torch.empty(0, dtype=dtype)
        return whole.reshape(tensor["shape"])


def to_dcp(args):
    folder = TitanFolder(args.input)
    keys, step = folder.index["tensors"], folder.index["step"]
    source = "ema." if args.averages else "model."
    names = [key[len(source):] for key in keys if key.startswith(source)]
    if not names:
        fail(f"{args.input} holds nothing under \"{source[:-1]}\"")
    state = {to_theirs(name, args.names): folder.read(source + name) for name in names}
    for theirs, ours in MOMENTS.items():
        for name in names:
            if f"{ours}.{name}" in keys:
                parameter = to_theirs(name, args.names)
                state[f"optimizer.state.{parameter}.{theirs}"] = folder.read(f"{ours}.{name}")
                state[f"optimizer.state.{parameter}.step"] = torch.tensor(float(step))
    state["train_state.step"] = torch.tensor(step, dtype=torch.int32)
    target = os.path.join(args.output, f"step-{step}")
    if os.path.exists(target):
        fail(f"{target} exists already")
    dcp.save(state, storage_writer=dcp.FileSystemWriter(target, single_file_per_rank=True), no_dist=True)
    print(f"[convert_dcp] {target}: step {step}, {len(state)} entries")


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("direction", choices=["to-titan", "to-dcp"])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--global-batch", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--names", choices=["flux", "same"], default="flux")
    parser.add_argument("--averages", action="store_true")
    args = parser.parse_args()
    if not torch.__version__.startswith("2."):
        fail(f"torch {torch.__version__} is not known to this script (2.11 is)")
    try:
        (to_titan if args.direction == "to-titan" else to_dcp)(args)
    except (dcp.CheckpointException, pickle.UnpicklingError, RuntimeError) as error:
        fail(f"{args.input} cannot be read: {error}")


if __name__ == "__main__":
    main()
