#!/usr/bin/env python3
"""Writes the small data sets of tests/golden/mds and tests/golden/saved_images.

    python3 -m venv /tmp/goldens && /tmp/goldens/bin/pip install pillow==11.2.1 numpy pyarrow mosaicml-streaming
    /tmp/goldens/bin/python scripts/make_data_goldens.py

mds: MosaicML's own writer, one folder per encoding of the image. saved_images: a folder of save_to_disk as the reference's
cc12m_disk is one (image columns as struct of bytes and path, json as struct, a column of nulls). expected.json beside each:
what a loader must give, the image by Pillow: covering bicubic resize, centre crop, x / 255 * 2 - 1, float32 CHW, by sha256.
"""
import hashlib
import io
import json
import math
import pathlib
import random
import shutil

import numpy as np
import pyarrow as pa
from PIL import Image
from streaming import MDSWriter
from streaming.base.format.mds.encodings import mds_decode, mds_encode

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
SIDE = 8


def picture(seed, mode, size=(12, 9)):
    draw = random.Random(seed)
    return Image.frombytes("RGB", size, bytes(draw.randrange(256) for _ in range(size[0] * size[1] * 3))).convert(mode)


def encoded(image, kind):
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return out.getvalue()


def tensor_sha256(image):
    width, height = image.size
    if (width, height) != (SIDE, SIDE):
        size = (math.ceil(SIDE / height * width), SIDE) if width >= height else (SIDE, math.ceil(SIDE / width * height))
        image = image.resize(size)
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    rgb = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)).convert("RGB"))
    values = rgb.transpose(2, 0, 1).astype(np.float32) / 255 * 2 - 1
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def write_expected(folder, rows):
    text = json.dumps({"img_size": SIDE, "rows": rows}, indent=1, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n")


def make_mds(kind, compression):
    folder = ROOT / "mds" / kind
    shutil.rmtree(folder, ignore_errors=True)
    modes = ["RGB", "L", "RGBA", "LA"] if kind in ("png", "pil") else ["RGB", "L"]
    columns = {"caption": "str", "id": "int", "image": kind, "timestep": "int32", "extra": "json"}
    rows = []
    with MDSWriter(out=str(folder), columns=columns, compression=compression, size_limit=1600) as writer:
        for i in range(6):
            image = picture(i, modes[i % len(modes)])
            shown = mds_decode("jpeg", mds_encode("jpeg", image)) if kind == "jpeg" else image
            caption = f"picture {i} é😀"
            rows.append({"key": str(100 + i), "caption": caption, "timestep": i % 8, "image_fp32_sha256": tensor_sha256(shown)})
            stored = encoded(image, "PNG") if kind == "bytes" else image
            writer.write({"caption": caption, "id": 100 + i, "image": stored, "timestep": i % 8, "extra": {"a": [i]}})
    write_expected(folder, rows)


def make_saved_images():
    folder = ROOT / "saved_images"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    json_type = pa.struct([("caption", pa.string()), ("error_message", pa.null()), ("id", pa.string()),
                           ("timestep", pa.int64()), ("width", pa.int64())])
    schema = pa.schema([("__key__", pa.string()), ("jpg", image_type), ("json", json_type), ("png", image_type),
                        ("txt", pa.string()), ("empty", pa.null())])
    beside = picture(40, "RGB")
    (folder / "beside.png").write_bytes(encoded(beside, "PNG"))
    rows, expected = [], []
    for i in range(7):
        image = picture(20 + i, "RGB")
        row = {"__key__": f"{i:09d}", "jpg": {"bytes": encoded(picture(60, "RGB"), "JPEG"), "path": f"{i}.jpg"},
               "json": {"caption": f"json {i}", "error_message": None, "id": str(i), "timestep": i, "width": 12},
               "png": {"bytes": encoded(image, "PNG"), "path": None}, "txt": f"picture {i} é", "empty": None}
        known = {"key": row["__key__"], "id": str(i), "caption": row["txt"], "timestep": i}
        if i == 2:
            row["png"], image = {"bytes": None, "path": "beside.png"}, beside
        if i == 3:
            row["png"], known["error"] = None, "is null"
        if i == 4:
            row["txt"], known["error"] = None, "caption is null"
        if i == 5:
            row["png"], known["error"] = {"bytes": None, "path": "absent.png"}, "absent.png"
        if i == 6:
            row["json"], known["coco_error"] = None, "timestep is null"
        known["image_fp32_sha256"] = tensor_sha256(image)
        rows.append(row)
        expected.append(known)
    for shard, part in enumerate((rows[:3], rows[3:])):
        with pa.OSFile(str(folder / f"data-{shard:05d}-of-00002.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as out:
            for first in range(0, len(part), 2):
                out.write_batch(pa.RecordBatch.from_pylist(part[first:first + 2], schema=schema))
    state = {"_data_files": [{"filename": f"data-{shard:05d}-of-00002.arrow"} for shard in range(2)]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))
    write_expected(folder, expected)


if __name__ == "__main__":
    for image_kind in ("png", "pil", "jpeg", "bytes"):
        make_mds(image_kind, "zstd:5" if image_kind == "png" else None)
    make_saved_images()
