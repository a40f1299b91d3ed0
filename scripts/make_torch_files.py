#!/usr/bin/env python3
"""Write tests/golden/torch_files: what torch.save writes in both its formats, and files that ask for more than tensors.

Usage: make_torch_files.py [FOLDER]     (needs torch 2.11; the files are checked in, so the tests need none)

expected.json holds, by file, every tensor's type (safetensors' name), shape and row-major bytes as PyTorch itself sees them.
"""
import collections
import io
import json
import os
import pathlib
import pickle
import sys
import zipfile

import torch

TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
         torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.float8_e4m3fn: "F8_E4M3",
         torch.float8_e5m2: "F8_E5M2"}


def tensors():
    generator = torch.Generator().manual_seed(7)
    state = collections.OrderedDict()
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        state[f"float.{TYPES[dtype]}"] = torch.randn(3, 5, generator=generator, dtype=torch.float64).to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool):
        state[f"int.{TYPES[dtype]}"] = torch.randint(0, 100, (7,), generator=generator).to(dtype)
    base = torch.randn(6, 8, generator=generator)
    state["scalar"] = torch.tensor(1.5)
    state["empty"] = torch.zeros(0, 4)
    state["no_column"] = torch.zeros(4, 0)
    state["shared.whole"] = base
    state["shared.transposed"] = base.t()
    state["shared.rows"] = base[2:5]
    state["shared.strided"] = base[1::2, 1::3]
    state["shared.column"] = base[:, 3]
    state["permuted"] = torch.randn(2, 3, 4, generator=generator).permute(2, 0, 1)
    state["expanded"] = torch.randn(1, 4, generator=generator).expand(3, 4)
    state["one_wide"] = torch.randn(4, 6, generator=generator)[:, :1]
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 2, generator=generator))
    state["blocks.0.ünïcode.weight"] = torch.arange(4.0)
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    return state


def newer_types():
    values = torch.tensor([0.0, 1.0, 2.0, 8.0])
    return {TYPES[dtype]: values.to(dtype)
            for dtype in (torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2)}


def described(state):
    def row(tensor):
        flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
        data = bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b""
        return {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "hex": data.hex()}
    return {name: row(value) for name, value in state.items() if isinstance(value, torch.Tensor)}


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.made_of = function, arguments

    def __reduce__(self):
        return self.made_of


class Opaque:
    pass


def archive(path, data, compression=zipfile.ZIP_STORED, **more):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, body in {"data.pkl": data, "byteorder": b"little", "version": b"3\n", **more}.items():
            info = zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0))
            info.compress_type = compression
            file.writestr(info, body)


def legacy(path, data):
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    path.write_bytes(b"".join(pickle.dumps(value, protocol=2) for value in head) + data + pickle.dumps([], protocol=2))


def hostile(folder):
    """Each would run code, or is of a kind that is refused; `asks` is what the message must name."""
    asks = {}
    run = "touch titan_pickle_ran"
    cases = {"system.pt": (2, {"a": Call(os.system, run)}, "posix.system"),
             "eval.pt": (4, {"a": Call(eval, run)}, "builtins.eval"),
             "object.pt": (2, {"a": Opaque()}, "__main__.Opaque"),
             "getattr.pt": (4, {"a": Call(getattr, "x", "upper")}, "builtins.getattr"),
             "load.pt": (2, {"a": Call(torch.load, "x")}, "torch.serialization.load"),
             "set.pt": (4, {"a": {1, 2}}, "opcode")}
    for name, (protocol, value, names) in cases.items():
        archive(folder / name, pickle.dumps(value, protocol=protocol))
        asks[name] = names
    legacy(folder / "system.bin", pickle.dumps({"a": Call(os.system, run)}, protocol=2))
    asks["system.bin"] = "posix.system"
    archive(folder / "instance.pt", b"\x80\x02(ios\nsystem\n.")
    asks["instance.pt"] = "os.system"
    archive(folder / "storage_call.pt", b"\x80\x02ctorch\nFloatStorage\n)R.")
    asks["storage_call.pt"] = "a call of torch.FloatStorage"
    archive(folder / "registry.pt", b"\x80\x02\x82\x01.")
    asks["registry.pt"] = "extension registry"
    (folder / "plain.pt").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    asks["plain.pt"] = "no magic number"
    good = io.BytesIO()
    torch.save({"a": torch.arange(3.0)}, good)
    members = {name.split("/", 1)[1]: zipfile.ZipFile(good).read(name) for name in zipfile.ZipFile(good).namelist()}
    data = members.pop("data.pkl")
    archive(folder / "big_endian.pt", data, **{**members, "byteorder": b"big"})
    asks["big_endian.pt"] = "big-endian"
    archive(folder / "deflated.pt", data, zipfile.ZIP_DEFLATED, **members)
    asks["deflated.pt"] = "compressed"
    archive(folder / "script.pt", data, **members, **{"constants.pkl": b"\x80\x02)."})
    asks["script.pt"] = "TorchScript"
    short = {name: body[:-4] if name == "data/0" else body for name, body in members.items()}
    archive(folder / "short_storage.pt", data, **short)
    asks["short_storage.pt"] = "storage 0 is cut short"
    absent = {name: body for name, body in members.items() if name != "data/0"}
    archive(folder / "no_storage.pt", data, **absent)
    asks["no_storage.pt"] = "no member archive/data/0"
    torch.save(torch.arange(3.0), folder / "tensor.pt")
    asks["tensor.pt"] = "no dictionary of tensors"
    torch.save({"epoch": 3, "lr": 0.1}, folder / "no_tensors.pt")
    asks["no_tensors.pt"] = "no tensors by name, but epoch, lr"
    torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, folder / "complex.pt")
    asks["complex.pt"] = "torch.ComplexFloatStorage"
    return asks


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                          pathlib.Path(__file__).parents[1] / "tests/golden/torch_files")
    (folder / "hostile").mkdir(parents=True, exist_ok=True)
    (folder / "sharded").mkdir(exist_ok=True)
    state, expected = tensors(), {}

    def save(name, value, truth, **options):
        torch.save(value, folder / name, **options)
        expected[name] = described(truth)

    save("zip.pt", state, state)
    save("legacy.bin", state, state, _use_new_zipfile_serialization=False)
    small = {"a.weight": state["shared.transposed"], "a.bias": state["float.BF16"]}
    save("protocol4.pth", small, small, pickle_protocol=4)
    save("legacy_protocol4.bin", small, small, pickle_protocol=4, _use_new_zipfile_serialization=False)
    save("nested.pth", {"epoch": 3, "lr": 0.5, "big": 1 << 70, "negative": -5, "note": None, "sizes": torch.Size([2, 3]),
                        "optimizer": {"state": {0: {"step": torch.tensor(4.0)}}},
                        "state_dict": {"model": small}}, small)
    save("newer_types.pt", newer_types(), newer_types())
    names = list(state)[:6]
    index = {"metadata": {"total_size": 1}, "weight_map": {}}
    for part, chosen in enumerate((names[:4], names[4:]), 1):
        file = f"sharded/pytorch_model-0000{part}-of-00002.bin"
        torch.save({name: state[name] for name in chosen}, folder / file)
        index["weight_map"].update({name: os.path.basename(file) for name in chosen})
    (folder / "sharded/pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")
    expected["sharded/pytorch_model.bin.index.json"] = described({name: state[name] for name in names})
    truth = {"files": expected, "hostile": hostile(folder / "hostile")}
    (folder / "expected.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n")
    for name in list(expected)[:-1]:  # what torch itself reads back
        read = torch.load(folder / name, weights_only=False)  # protocol 4 is beyond its own restricted reader
        while not any(isinstance(value, torch.Tensor) for value in read.values()):
            read = read.get("state_dict") or read.get("model")
        assert described(read) == expected[name], name
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {total / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
