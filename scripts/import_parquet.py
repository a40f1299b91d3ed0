#!/usr/bin/env python3
"""Turns a Parquet image set (as the Hugging Face hub keeps imagenet-1k and most others) into what titan trains on.

    python3 scripts/import_parquet.py INPUT OUTPUT                    # webdataset tars: training.dataset = "webdataset"
    python3 scripts/import_parquet.py INPUT OUTPUT --format folder    # a folder a class: training.dataset = "class_folder"

INPUT is a Parquet file or a folder of them (taken in sorted order, sub-folders too); OUTPUT must not exist and appears whole
or not at all. Pictures are copied as they are, never re-encoded; formats that titan does not read (GIF, BMP, TIFF) become PNG
where Pillow is there. Names of classes come from the file's own metadata and go into classes.txt.

Needs Python with pyarrow (python3 -m pip install pyarrow). One batch of rows is in memory at a time.
Exit code: 0 done, 2 bad input, 1 anything else.
"""
import argparse
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tarfile
import time

try:
    import pyarrow
    import pyarrow.parquet as parquet
except ImportError:
    print(f"import_parquet.py needs pyarrow, which {sys.executable} lacks: {sys.executable} -m pip install pyarrow", file=sys.stderr)
    sys.exit(2)

IMAGE_NAMES = ["image", "img", "jpg", "jpeg", "png", "webp", "picture"]
LABEL_NAMES = ["label", "labels", "cls", "class", "fine_label", "target"]
CAPTION_NAMES = ["caption", "text", "txt", "prompt", "captions"]
MAGIC = [(b"\xff\xd8\xff", "jpg"), (b"\x89PNG\r\n\x1a\n", "png")]
MODIFIED = 1577836800  # 2020-01-01: equal rows give equal archives


class BadInput(Exception):
    """What the user can mend; the message says where."""


def parquet_files(path):
    root = pathlib.Path(path)
    if not root.exists():
        raise BadInput(f"no such file or folder ({path})")
    files = [root] if root.is_file() else sorted(root.rglob("*.parquet"))
    if not files:
        raise BadInput(f"no *.parquet in {path}")
    opened = []
    for file in files:
        try:
            opened.append((file, parquet.ParquetFile(file)))
        except (pyarrow.ArrowException, OSError) as error:
            raise BadInput(f"{file} cannot be read as Parquet: {error}") from error
    return opened


def find_column(schema, wanted, names, fits, what, file):
    """Name of the column `wanted`, else of the first of `names` that fits; None where none does."""
    if wanted is not None:
        if wanted not in schema.names:
            raise BadInput(f"{file} has no column '{wanted}' (it has {', '.join(schema.names)})")
        if not fits(schema.field(wanted).type):
            raise BadInput(f"{file}: column '{wanted}' has type {schema.field(wanted).type}: not {what}")
        return wanted
    return next((name for name in names if name in schema.names and fits(schema.field(name).type)), None)


def is_text(kind):
    return pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)


def is_bytes(kind):
    return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)


def is_image(kind):
    if is_bytes(kind):
        return True
    return pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and is_bytes(kind.field("bytes").type)


def is_label(kind):
    return pyarrow.types.is_integer(kind) or is_text(kind)


def is_caption(kind):
    lists = pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind)
    return is_text(kind) or (lists and is_text(kind.value_type))


class Columns:
    """Which columns are the picture, the class and the caption, and the names of the classes."""

    def __init__(self, files, args):
        first, schema = files[0][0], files[0][1].schema_arrow
        self.image = find_column(schema, args.image_column, IMAGE_NAMES, is_image, "an image", first)
        if self.image is None:
            raise BadInput(f"{first} has no column of images (it has {', '.join(schema.names)}): --image-column names it")
        self.label = find_column(schema, args.label_column, LABEL_NAMES, is_label, "a class", first)
        self.caption = find_column(schema, args.caption_column, CAPTION_NAMES, is_caption, "a caption", first)
        self.names = [name for name in (self.image, self.label, self.caption) if name is not None]
        for file, opened in files:
            for name in self.names:
                here = opened.schema_arrow
                if name not in here.names or here.field(name).type != schema.field(name).type:
                    raise BadInput(f"{file}: column '{name}' is absent or of another type than in {first}")
        self.ids = None  # of classes that are texts
        self.classes = self.stored_classes(schema)
        if self.label is not None and is_text(schema.field(self.label).type):
            found = set()
            for _, opened in files:
                for batch in opened.iter_batches(columns=[self.label]):
                    found.update(batch.column(0).to_pylist())
            found.discard(None)
            self.classes = sorted(found, key=lambda text: text.encode())
            self.ids = {text: number for number, text in enumerate(self.classes)}

    def stored_classes(self, schema):
        """Names that the datasets library has put into the schema's metadata."""
        if self.label is None:
            return None
        try:
            features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
            names = features[self.label]["names"]
            return [str(name) for name in names]
        except (KeyError, TypeError, ValueError):
            return None

    def class_of(self, value):
        if value is None:
            raise BadInput("has no class")
        number = self.ids[value] if self.ids is not None else int(value)
        if number < 0 or (self.classes is not None and number >= len(self.classes)):
            raise BadInput(f"has a class out of range ({number})")
        return number


def image_bytes(value, file):
    if isinstance(value, dict):
        data, path = value.get("bytes"), value.get("path")
        if data is None and path:
            beside = file.parent / path
            if not beside.is_file():
                raise BadInput(f"names a file that is not there ({beside})")
            data = beside.read_bytes()
        value = data
    if not value:
        raise BadInput("has no image")
    return value


def readable_image(data):
    """(bytes, extension) in a format that titan reads."""
    for magic, extension in MAGIC:
        if data.startswith(magic):
            return data, extension
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data, "webp"
    try:
        from PIL import Image
    except ImportError as error:
        raise BadInput("is no JPEG, PNG or WebP, and Pillow, which could convert it, is absent") from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            out = io.BytesIO()
            image.convert("RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB").save(out, "PNG")
            return out.getvalue(), "png"
    except Exception as error:  # Pillow's decoders raise anything
        raise BadInput(f"cannot be decoded ({error})") from error


def caption_text(value):
    if isinstance(value, list):
        value = next((text for text in value if text), None)
    return value


class Tars:
    """<stem>-00000.tar, ... with members <index>.<extension>, .cls, .txt."""

    def __init__(self, folder, stem, samples_per_shard):
        self.folder, self.stem, self.samples_per_shard = folder, stem, samples_per_shard
        self.tar, self.in_tar, self.count = None, 0, 0

    def add(self, index, data, extension, label, caption):
        if self.tar is None:
            self.tar = tarfile.open(self.folder / f"{self.stem}-{self.count:05d}.tar", "w", format=tarfile.USTAR_FORMAT)
            self.count += 1
        members = [(extension, data)]
        if label is not None:
            members.append(("cls", str(label).encode()))
        if caption is not None:
            members.append(("txt", caption.encode()))
        for name, contents in members:
            info = tarfile.TarInfo(f"{index:09d}.{name}")
            info.size, info.mtime = len(contents), MODIFIED
            self.tar.addfile(info, io.BytesIO(contents))
        self.in_tar += 1
        if self.in_tar == self.samples_per_shard:
            self.finish()

    def finish(self):
        if self.tar is not None:
            self.tar.close()
        self.tar, self.in_tar = None, 0


class Folders:
    """<class>/<index>.<extension>, and .txt where there is a caption; the folders' names sort like the classes."""

    def __init__(self, folder, classes):
        self.folder, self.classes, self.made = folder, classes, {}
        plain = [self.safe(name) for name in classes or []]
        self.sorts = bool(plain) and plain == sorted(set(plain), key=str.encode)
        self.plain = plain

    @staticmethod
    def safe(name):
        return re.sub(r"[^\w .,()+-]", "_", name).strip(". ")[:100]

    def name_of(self, label):
        if self.sorts:
            return self.plain[label]
        return f"{label:05d}" + ("_" + self.plain[label] if self.plain else "")

    def add(self, index, data, extension, label, caption):
        if label not in self.made:
            self.made[label] = self.folder / self.name_of(label)
            self.made[label].mkdir()
        (self.made[label] / f"{index:09d}.{extension}").write_bytes(data)
        if caption is not None:
            (self.made[label] / f"{index:09d}.txt").write_text(caption, encoding="utf-8")

    def finish(self):
        # A class without pictures must keep its place among the sorted folders.
        for label in range(len(self.classes or [])):
            (self.folder / self.name_of(label)).mkdir(exist_ok=True)


class Progress:
    def __init__(self, total):
        self.total, self.start, self.last = total, time.monotonic(), time.monotonic()

    def tell(self, done):
        now = time.monotonic()
        if now - self.last < 5:
            return
        self.last = now
        left = (now - self.start) * (self.total - done) / max(done, 1)
        print(f"[import] {done} of {self.total} rows, {left:.0f} s left", file=sys.stderr, flush=True)


def rows_of(files, columns):
    for file, opened in files:
        number = 0
        for batch in opened.iter_batches(batch_size=256, columns=columns.names):
            for row in batch.to_pylist():
                yield file, number, row
                number += 1


def import_rows(files, columns, out, args):
    total = sum(opened.metadata.num_rows for _, opened in files)
    if args.limit is not None:
        total = min(total, args.limit)
    progress, written, dropped = Progress(total), 0, 0
    for index, (file, number, row) in enumerate(rows_of(files, columns)):
        if index == total:
            break
        try:
            data, extension = readable_image(image_bytes(row[columns.image], file))
            label = columns.class_of(row[columns.label]) if columns.label is not None else None
        except BadInput as error:
            if args.bad_rows == "stop":
                raise BadInput(f"{file} row {number} {error} (--bad-rows=drop leaves such rows out)") from error
            print(f"[import] left out: {file} row {number} {error}", file=sys.stderr)
            dropped += 1
            continue
        caption = caption_text(row[columns.caption]) if columns.caption is not None else None
        out.add(index, data, extension, label, caption)
        written += 1
        progress.tell(index + 1)
    out.finish()
    if written == 0:
        raise BadInput("no row is left to write")
    return written, dropped


def run(args):
    output = pathlib.Path(args.output)
    if output.exists():
        raise BadInput(f"{output} is there already: it is never overwritten")
    files = parquet_files(args.input)
    columns = Columns(files, args)
    if args.format == "folder" and columns.label is None:
        raise BadInput("a folder a class needs a column of classes: --label-column names it")
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f"{output.name}.tmp-{os.getpid()}")
    temporary.mkdir()
    try:
        if args.format == "tars":
            out = Tars(temporary, re.sub(r"\W", "_", output.name), args.samples_per_shard)
        else:
            out = Folders(temporary, columns.classes)
        written, dropped = import_rows(files, columns, out, args)
        if columns.classes is not None and args.format == "tars":
            names = [re.sub(r"\s+", " ", name) or "_" for name in columns.classes]
            (temporary / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    used = ", ".join(f"{what} '{name}'" for what, name in
                     [("image", columns.image), ("class", columns.label), ("caption", columns.caption)] if name is not None)
    print(f"[import] {written} rows in {output} (columns: {used}; {dropped} left out)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", help="a Parquet file or a folder of them")
    parser.add_argument("output", help="must not exist")
    parser.add_argument("--format", choices=["tars", "folder"], default="tars")
    parser.add_argument("--image-column", help="else the first of " + ", ".join(IMAGE_NAMES))
    parser.add_argument("--label-column", help="integers or names; else the first of " + ", ".join(LABEL_NAMES))
    parser.add_argument("--caption-column", help="a text, or a list whose first is taken; else the first of " +
                        ", ".join(CAPTION_NAMES))
    parser.add_argument("--samples-per-shard", type=int, default=5000, help="samples in a tar (5000)")
    parser.add_argument("--limit", type=int, help="take the first so many rows")
    parser.add_argument("--bad-rows", choices=["stop", "drop"], default="stop", help="rows without image or class")
    args = parser.parse_args()
    if args.samples_per_shard < 1 or (args.limit is not None and args.limit < 1):
        parser.error("--samples-per-shard and --limit must be at least 1")
    try:
        run(args)
    except BadInput as error:
        print(f"import_parquet.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
