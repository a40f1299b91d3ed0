#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets into tests/fuzz/corpus (needs Pillow, numpy, pyarrow).

Run by hand when a format changes; what fuzzing found on top of these lies beside them. models/spiece.model (T5's
normalization) and models/small.model (none) were made by sentencepiece 0.2.0 from a few words.
"""
import gzip
import io
import json
import pathlib
import shutil
import struct
import tarfile

import numpy as np
import pyarrow as pa
from PIL import Image

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent / "golden"
CUT = b"\xff\xff"  # between the parts of an input (fuzz_target.h)


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data)


def safetensors(tensors):
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def picture(form, mode="RGB", size=(13, 9), **options):
    values = np.arange(size[0] * size[1] * 4, dtype=np.uint8).reshape(size[1], size[0], 4)
    image = Image.fromarray(values, "RGBA").convert(mode)
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def tar(members, form=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    blocks = (len(out.getvalue().rstrip(b"\0")) + 511) // 512
    return out.getvalue()[:512 * blocks] + bytes(1024)  # tarfile pads to 10 KiB


def config():
    for name in ("debug", "flux_debug", "dit_shapes"):
        put("config", name, (HERE.parents[1] / "train_configs" / f"{name}.toml").read_bytes())
    line = b"--training.steps=3\n--model.args.dim\n64\n--ema.no-enable\n--no_ema.enable\n--optimizer.betas=[0.9, 0.95]\n--help"
    put("config", "line", b"[training]\nsteps = 1e3\nseed = 0x10\n[parallelism]\ndp_shard = -1\n" + CUT + line)
    put("config", "kinds", b'a.b = [1, "x", 1.5, true]\nd = 2020-01-01\nt = {k = {m = 1}}\n[[model.args]]\nz = inf\n')
    put("config", "quoted-parts", b"a" + b'."=".\',\'' * 150 + b" = 1\n")
    put("config", "nested-tables", b"x = " + b"{a.b = " * 33 + b"1" + b"}" * 33 + b"\n")
    put("config", "quotes", b'x = "a\\"" # it\'s "\ny = \'\'\'\'\na\'\'\'\'\'\nz."\\u0041".b = """\\\n "" """\n')


def images():
    exif = Image.Exif()
    exif[0x0112] = 6
    put("image", "jpeg", picture("JPEG", exif=exif))
    put("image", "jpeg-progressive", picture("JPEG", progressive=True, size=(24, 17)))
    put("image", "jpeg-cmyk", picture("JPEG", "CMYK"))
    put("image", "jpeg-gray", picture("JPEG", "L"))
    for mode in ("RGB", "RGBA", "P", "L", "LA", "1", "I"):
        put("image", f"png-{mode}", picture("PNG", mode))
    from PIL import PngImagePlugin
    words = PngImagePlugin.PngInfo()
    words.add_text("titan", "a text")
    words.add_text("long", "z" * 300, zip=True)
    words.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="8"/>')
    put("image", "png-text", picture("PNG", pnginfo=words, exif=exif))
    put("image", "webp", picture("WEBP", exif=exif))
    put("image", "webp-lossless", picture("WEBP", "RGBA", lossless=True))
    put("image", "tiff-block", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0")


def tars():
    members = [("a/000.jpg", b"pixels"), ("a/000.txt", b"a caption"), ("a/000.json", b'{"caption": "x"}'), ("a/001.jpg", b"p"),
               ("a/001.left.PNG", b"q"), ("__meta__", b"m"), (".hidden", b"h"), ("../../out.txt", b"o"), ("/etc/out.txt", b"o")]
    for name, form in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        long = members + [("d" * 120 + "/b\u00e9.txt", b"long")] if form != tarfile.USTAR_FORMAT else members
        put("tar", name, tar(long, form))
        put("tar_file", name, tar(long, form))
    put("tar", "cut", tar(members)[:1700])
    put("tar_file", "gzip", gzip.compress(tar(members), mtime=0))
    put("tar_file", "index", b"tTaRidx1" + bytes(80) + CUT + tar(members[:2]))


def arrow():
    batch = pa.table({"key": ["a", None, "ccc"], "png": [b"1", b"", b"333"], "n": pa.array([1, None, -3], pa.int32()),
                      "u": pa.array([1, 2, 3], pa.uint8()), "none": pa.nulls(3), "l": pa.array(["x", "y", None], pa.large_string()),
                      "image": [{"bytes": b"x", "path": "p"}, None, {"bytes": None, "path": None}], "list": [[1], [], [2, 3]]})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_table(batch)
        writer.write_table(batch.slice(1, 1))
    put("arrow", "kinds", out.getvalue())
    put("arrow", "golden", (GOLDEN / "saved_images/data-00000-of-00002.arrow").read_bytes()[:4096])


def npy():
    for name, array in (("u2", np.arange(6, dtype="<u2").reshape(2, 3)), ("f4", np.zeros((), "<f4")), ("empty", np.zeros((0, 4), "<i8")),
                        ("fortran", np.asfortranarray(np.arange(24, dtype="<f8").reshape(2, 3, 4))), ("b", np.ones(3, "|b1"))):
        out = io.BytesIO()
        np.save(out, array)
        put("npy", name, out.getvalue())


def texts():
    put("json", "webdataset", b'w{"caption": "a cat", "cls": "17", "timestep": 3, "id": 12, "more": [1, {"a": null}]}')
    put("json", "weights", b'i{"metadata": {"total_size": 12}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors", "b": "x.safetensors"}}')
    put("json", "escape", b'i{"weight_map": {"a": "../x.safetensors"}}')
    put("json", "counts", b'c{"__kind__": "wids", "shardlist": [{"url": "a-0.tar", "nsamples": 7, "filesize": 10240}]}')
    put("json", "metrics", b'm{"kind":"train","step":1,"loss":0.5}\n{"kind":"event","step":2,"event":"stop","loss":0.25}\n{"kind"')
    put("json", "s3", b'x<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated>'
        b"<NextContinuationToken>t</NextContinuationToken><Contents><Key>a/b.tar</Key><Size>12</Size><ETag>&quot;e&quot;</ETag></Contents></ListBucketResult>")
    put("json", "laughs", b'x<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;&b;">]><ListBucketResult><Contents><Key>&c;&c;</Key></Contents></ListBucketResult>')


def checkpoint():
    index = {"format": "titan-checkpoint", "version": 1, "step": 100, "cursor": 800, "seed": 7, "world_size": 2,
             "fingerprints": {"model": "dit", "seed": "7"},
             "files": {f"rank-0000{r}.safetensors": {"bytes": 4096, "xxh3_128": "0" * 32, "block_bytes": 2048, "blocks_xxh3_128": "1" * 64} for r in (0, 1)},
             "tensors": {"model.w": {"dtype": "F32", "shape": [4, 3], "fragments": [
                 {"file": "rank-00000.safetensors", "offset": 0, "length": 6}, {"file": "rank-00001.safetensors", "offset": 6, "length": 6, "tensor": "t"}]}}}
    put("checkpoint", "two-ranks", json.dumps(index).encode())
    index["files"]["../../x"] = {"bytes": 0, "xxh3_128": ""}
    put("checkpoint", "escape", json.dumps(index).encode())


def mds():
    for kind in ("bytes", "jpeg", "pil"):
        folder = GOLDEN / "mds" / kind
        index = json.loads((folder / "index.json").read_text())
        index["shards"] = index["shards"][:1]
        put("mds", kind, json.dumps(index).encode() + CUT + (folder / "shard.00000.mds").read_bytes())
    shard = {"version": 2, "format": "mds", "samples": 1, "column_names": ["n", "j"], "column_encodings": ["int", "json"], "column_sizes": [8, None],
             "raw_data": {"basename": "../s.mds", "bytes": 40, "hashes": {}}, "zip_data": None, "compression": None}
    body = b'{"caption": "x"}'
    data = struct.pack("<IIII", 1, 12, 12 + 12 + len(body), len(body))[:12] + struct.pack("<I", len(body)) + struct.pack("<q", 5) + body
    put("mds", "escape", json.dumps({"version": 2, "shards": [shard]}).encode() + CUT + data)
    shard["raw_data"]["basename"] = "s.mds"
    put("mds", "json", json.dumps({"version": 2, "shards": [shard]}).encode() + CUT + data)


def row_shards():
    fields = {"t5_encodings": [2, 4], "clip_encodings": [4], "mean": [1, 2, 2], "logvar": [1, 2, 2]}
    tags = {"key_ends": ("I64", [2], struct.pack("<qq", 1, 3)), "timesteps": ("I32", [2], struct.pack("<ii", -1, 5)), "keys": ("U8", [3], b"abc")}
    for version in (1, 2):
        index = {"format": "titan-rows", "version": version, "fields": fields, "files": [{"name": "r", "rows": 2}]}
        if version == 1:
            rows = {"rows": ("U8", [2, 64], bytes(range(128)))}
        else:
            rows = {"data": ("U8", [128], bytes(range(128))), "places": ("I64", [2, 3], struct.pack("<6q", 0, 24, 64, 0, 24, 64))}
        put("row_shards", f"version-{version}", json.dumps(index).encode() + CUT + safetensors(rows | tags))
    # Texts as 16 equal bytes of zstd (a frame of one block that repeats a byte); then of no dimensions, two bytes in all.
    for name, shape, size in (("coded", [2, 4], 16), ("no-dimensions", [], 2)):
        frame = b"\x28\xb5\x2f\xfd\x20" + bytes([size]) + ((size << 3) | 3).to_bytes(3, "little") + b"\x2a"
        data = (frame + bytes(range(128)))[:128]
        text = len(frame) if shape else 1  # shorter than the values: coded
        index["fields"] = fields | {"t5_encodings": shape}
        rows = {"data": ("U8", [128], data), "places": ("I64", [2, 3], struct.pack("<6q", 0, text + 8, 64, 0, text + 8, 64))}
        put("row_shards", name, json.dumps(index).encode() + CUT + safetensors(rows | tags))


def tokenizers():
    for name, text in (("words", b"A photo of 2 cats, don't <|endoftext|> </s> <extra_id_7>"), ("unicode", "caf\u00e9 \uff21\u0301 \u4e2d\u6587 \U0001f600 \u00a0\u2028x".encode()),
                       ("bytes", bytes(range(256))), ("long", b"ab" * 300), ("spaces", b" \t\n  \x0c")):
        put("tokenizer", name, text)
    vocabulary = (HERE / "models/vocab.json").read_bytes()
    merges = (HERE / "models/merges.txt").read_bytes()
    put("vocabulary", "clip", b"h" + vocabulary + CUT + merges)
    put("vocabulary", "openai", b"o" + merges)
    put("vocabulary", "openai-gzip", b"o" + gzip.compress(merges, mtime=0))
    put("vocabulary", "spiece", b"s" + (HERE / "models/small.model").read_bytes())


def clip_models():
    """Hugging Face's pair of files for a handful of merges."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    characters = [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]
    merges = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("ca", "t"), ("cat", "s</w>"), ("o", "f</w>"), ("p", "h")]
    symbols = characters + [c + "</w>" for c in characters] + [a + b for a, b in merges] + ["<|startoftext|>", "<|endoftext|>"]
    (HERE / "models/vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}, ensure_ascii=False))
    (HERE / "models/merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


def main():
    (HERE / "models").mkdir(exist_ok=True)
    clip_models()
    put("safetensors", "two", safetensors({"a": ("F32", [2, 2], bytes(16)), "e": ("BF16", [0, 3], b""), "b": ("I64", [1], bytes(8))}))
    put("safetensors", "metadata", struct.pack("<Q", 40) + b'{"__metadata__":{"format":"pt","k":"v"}}')
    for build in (config, images, tars, arrow, npy, texts, checkpoint, mds, row_shards, tokenizers):
        build()
    for path in list((GOLDEN / "torch_files").glob("*.*")) + list((GOLDEN / "torch_files/hostile").glob("*.*")):
        if path.suffix in (".bin", ".pt", ".pth"):
            put("torch_file", path.name.replace(".", "-"), path.read_bytes())


if __name__ == "__main__":
    main()
