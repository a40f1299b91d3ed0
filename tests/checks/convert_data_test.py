"""The Python side of convert_data_test.sh: makes inputs, and compares what came out with the libraries' own view."""
import hashlib
import io
import json
import math
import pathlib
import sys
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image

import datasets


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def same(what, actual, expected):
    if actual != expected:
        sys.exit(f"FAILED: {what}: {actual!r}, expected {expected!r}")


def raw_rows(folder):
    """Schema and rows of a folder of save_to_disk, images as dicts of bytes and path."""
    state = json.loads((folder / "state.json").read_text())
    tables = []
    for entry in state["_data_files"]:
        with pa.ipc.open_stream(folder / entry["filename"]) as reader:
            batches = list(reader)
            assert all(batch.num_rows <= 100 for batch in batches)
            tables.append(pa.Table.from_batches(batches, reader.schema))
    return tables[0].schema, pa.concat_tables(tables).to_pylist(), len(tables)


def cc12m_disk(ours, golden, photos):
    """Every photograph cleaned; the golden folder's rows field by field."""
    schema, rows, num_files = raw_rows(pathlib.Path(ours))
    golden_schema, golden_rows, _ = raw_rows(pathlib.Path(golden) / "arrow/cc12m_disk")
    same("schema", schema, golden_schema)
    same("features", json.loads(schema.metadata[b"huggingface"]), json.loads(golden_schema.metadata[b"huggingface"]))
    info = [json.loads((pathlib.Path(p) / "dataset_info.json").read_text())["features"]
            for p in (ours, f"{golden}/arrow/cc12m_disk")]
    same("dataset_info.json", info[0], info[1])
    assert num_files > 1
    by_key = {row["__key__"]: row for row in rows}
    for expected in golden_rows:
        row = by_key[expected["__key__"]]
        for column in ("jpg", "json", "txt", "__key__", "__url__"):
            same(f"{row['__key__']} {column}", row[column], expected[column])
        same("png path", row["png"]["path"], expected["png"]["path"])
        pixels = [Image.open(io.BytesIO(r["png"]["bytes"])) for r in (row, expected)]
        same(f"{row['__key__']} png", (pixels[0].mode, sha256(pixels[0].tobytes())), (pixels[1].mode, sha256(pixels[1].tobytes())))
    expected = json.loads((pathlib.Path(golden) / "image/photos.json").read_text())["photos"]
    wide = [p for p in expected if min(p["width"], p["height"]) >= 256]
    loaded = datasets.load_from_disk(ours)
    same("keys", loaded["__key__"], [photo["key"] for photo in wide])
    for photo, row in zip(wide, loaded):
        same(photo["key"], sha256(row["png"].convert("RGB").tobytes()), photo["clean_script"]["rgb_sha256"])
        same(photo["key"] + " jpg", row["jpg"].size, (photo["width"], photo["height"]))
    stored = {m.name: m for tar in sorted(pathlib.Path(photos).glob("*.tar")) for m in tarfile.open(tar)}
    same("rows", len(loaded), len([p for p in wide if p["key"] + ".jpg" in stored]))
    print(f"ok: cc12m_disk, {len(golden_rows)} golden rows, {len(wide)} photographs")


MODES = ["RGB", "L", "CMYK", "RGBA", "LA", "P", "1", "I;16"]


def make_tars(folder):
    """120 samples of 8 modes with json of every type, one of them broken, one too small."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    draw = np.random.RandomState(0)
    with tarfile.open(folder / "set-0000.tar", "w") as tar:
        for i in range(120):
            mode = MODES[i % len(MODES)]
            size = (int(draw.randint(16, 60)), int(draw.randint(16, 60)))
            if i == 50:
                size = (40, 15)
            image = Image.fromarray(draw.randint(0, 256, (size[1], size[0], 4), np.uint8), "RGBA")
            if mode == "I;16":
                image = Image.fromarray(draw.randint(0, 600, (size[1], size[0])).astype(np.uint16))
            elif mode != "RGBA":
                image = image.convert("RGB" if mode in ("CMYK", "P", "1") else mode).convert(mode)
            out = io.BytesIO()
            image.save(out, "JPEG" if mode in ("RGB", "L", "CMYK") else "PNG", quality=90)
            data = b"no picture" if i == 60 else out.getvalue()
            if i == 61:
                exif = Image.Exif()
                exif[0x0112] = 6
                out = io.BytesIO()
                image.convert("RGB").save(out, "JPEG", exif=exif)
                data = out.getvalue()
            meta = {"zeta": f"t\u00e4xt {i}", "count": i, "share": i / 7, "good": i % 2 == 0, "none": None, "list": [i, "x"], "mixed": i if i % 2 else i / 2}
            if i == 70:
                meta = {"count": "seven", "none": "something"}
            for name, contents in (("jpg", data), ("json", json.dumps(meta).encode()), ("txt", f"caption {i}".encode())):
                member = tarfile.TarInfo(f"{i:05d}.{name}")
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))


def cleaned(image, size):
    """The reference's rule, by Pillow."""
    from PIL import ImageOps
    image = ImageOps.exif_transpose(image)
    width, height = image.size
    if width <= height:
        image = image.resize((size, math.floor(size * height / width)))
    else:
        image = image.resize((math.floor(size * width / height), size))
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size)).convert("RGB")


def modes_disk(ours, tars):
    loaded = datasets.load_from_disk(ours)
    same("json", sorted(loaded.features["json"]), ["count", "good", "list", "mixed", "none", "share", "zeta"])
    same("types", {k: v.dtype for k, v in loaded.features["json"].items()},
         {"count": "int64", "good": "bool", "list": "string", "mixed": "float64", "none": "null", "share": "float64", "zeta": "string"})
    same("rows", loaded["__key__"], [f"{i:05d}" for i in range(120) if i not in (50, 60)])
    members = {m.name: tarfile.open(f"{tars}/set-0000.tar").extractfile(m).read() for m in tarfile.open(f"{tars}/set-0000.tar")}
    for row in loaded:
        i = int(row["__key__"])
        same(f"row {i} txt", row["txt"], f"caption {i}")
        if i == 70:
            same("row 70", row["json"], {"count": None, "good": None, "list": None, "mixed": None, "none": None, "share": None, "zeta": None})
        else:
            same(f"row {i} json", row["json"], {"count": i, "good": i % 2 == 0, "list": json.dumps([i, "x"], separators=(",", ":")),
                                               "mixed": i if i % 2 else i / 2, "none": None, "share": i / 7, "zeta": f"t\u00e4xt {i}"})
        expected = cleaned(Image.open(io.BytesIO(members[f"{i:05d}.jpg"])), 16)
        if not np.array_equal(np.asarray(row["png"].convert("RGB")), np.asarray(expected)):
            sys.exit(f"FAILED: pixels of row {i} ({MODES[i % 8]})")
    same("kept modes", [loaded[i]["png"].mode for i in range(5)], ["RGB", "L", "RGB", "RGBA", "LA"])
    print(f"ok: {len(loaded)} rows of {len(MODES)} modes")


def picture(value, kind="JPEG", mode="RGB"):
    out = io.BytesIO()
    Image.new("RGB", (6, 5), (value, 20, 30)).convert(mode).save(out, kind)
    return out.getvalue()


def make_parquet(folder):
    folder = pathlib.Path(folder)
    (folder / "named/data").mkdir(parents=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["zebra", "ant/bee", "cow"], "_type": "ClassLabel"}}}}
    for part in range(2):
        rows = [{"bytes": picture(40 * part + 4 * i), "path": None} for i in range(4)]
        table = pa.table({"image": pa.array(rows, image), "label": pa.array([0, 2, 0, 2]), "text": pa.array([f"p{part} r{i}" for i in range(4)])})
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        parquet.write_table(table, folder / f"named/data/train-{part:05d}.parquet")
    (folder / "texts").mkdir()
    (folder / "texts/beside.webp").write_bytes(picture(9, "WEBP"))
    table = pa.table({"img": pa.array([{"bytes": None, "path": "beside.webp"}, {"bytes": picture(200, "GIF"), "path": None}], image),
                      "label": ["b", "a"], "captions": [["first", "second"], []]})
    parquet.write_table(table, folder / "texts/a.parquet")
    (folder / "bare").mkdir()
    parquet.write_table(pa.table({"png": pa.array([picture(1, "PNG"), None, picture(3, "PNG")], pa.large_binary())}), folder / "bare/a.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1 no parquet")


def members_of(tar):
    with tarfile.open(tar) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def parquet_out(work):
    work = pathlib.Path(work)
    named = [members_of(tar) for tar in sorted((work / "named_tars").glob("*.tar"))]
    same("tars", [len(tar) for tar in named], [9, 9, 6])
    everything = {name: data for tar in named for name, data in tar.items()}
    for i in range(8):
        same("image", everything[f"{i:09d}.jpg"], picture(40 * (i // 4) + 4 * (i % 4)))
        same("class", everything[f"{i:09d}.cls"], str([0, 2][i % 2]).encode())
        same("caption", everything[f"{i:09d}.txt"], f"p{i // 4} r{i % 4}".encode())
    same("classes.txt", (work / "named_tars/classes.txt").read_text(), "zebra\nant/bee\ncow\n")
    folders = sorted(p.name for p in (work / "named_folder").iterdir())
    same("folders", folders, ["00000_zebra", "00001_ant_bee", "00002_cow"])
    same("folder", sorted(p.name for p in (work / "named_folder/00002_cow").glob("*.jpg")), [f"{i:09d}.jpg" for i in (1, 3, 5, 7)])
    same("caption", (work / "named_folder/00002_cow/000000001.txt").read_text(), "p0 r1")
    same("text classes", sorted(p.name for p in (work / "texts_folder").iterdir()), ["a", "b"])
    same("beside", (work / "texts_folder/b/000000000.webp").read_bytes(), picture(9, "WEBP"))
    same("gif", Image.open(work / "texts_folder/a/000000001.png").convert("RGB").getpixel((0, 0)), (200, 20, 30))
    same("caption", (work / "texts_folder/b/000000000.txt").read_text(), "first")
    same("bare", sorted(members_of(work / "bare_tars/bare_tars-00000.tar")), ["000000000.png", "000000002.png"])
    print("ok: import_parquet")


if __name__ == "__main__":
    {"cc12m_disk": cc12m_disk, "make_tars": make_tars, "modes_disk": modes_disk, "make_parquet": make_parquet,
     "parquet": parquet_out}[sys.argv[1]](*sys.argv[2:])
