#!/usr/bin/env python3
"""Images per CPU-second of our image loader beside Pillow's, one thread each.

    python3 -m venv /tmp/pillow && /tmp/pillow/bin/pip install pillow==11.2.1 numpy
    ninja -C build/release jpeg_bench
    /tmp/pillow/bin/python scripts/bench_jpeg.py [--tar TAR] [--size 256] [--rounds 7]

Both do the same work on the same JPEGs of a tar: (decode) full decode to RGB; (resize) and cover-resize, bicubic; (tensor)
and centre crop to x / 255 * 2 - 1 as float32 CHW. (fast) is the same with JPEGs decoded at 1/2, 1/4 or 1/8 where that covers the size:
ours beside Pillow's exact way, and beside Pillow's own draft mode. Rounds alternate; medians of CPU time. The pixels of ours are
compared with Pillow's by the golden tests (ctest -R io.golden); the PSNR printed is that of (fast) against the exact way.
"""
import argparse
import io
import json
import math
import os
import pathlib
import statistics
import subprocess
import tarfile
import tempfile
import time

import numpy as np
import PIL
from PIL import Image, features

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pillow_decode(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def pillow_resize(data, size):
    image = pillow_decode(data)
    width, height = image.size
    if (width, height) == (size, size):
        return image
    if width >= height:
        return image.resize((math.ceil((size / height) * width), size))
    return image.resize((size, math.ceil((size / width) * height)))


def pillow_tensor(data, size):
    return to_tensor(pillow_resize(data, size), size)


def pillow_draft(data, size):
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (size, size))
    image = image.convert("RGB")
    width, height = image.size
    if width >= height:
        image = image.resize((math.ceil((size / height) * width), size))
    else:
        image = image.resize((size, math.ceil((size / width) * height)))
    return to_tensor(image, size)


def to_tensor(image, size):
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    chw = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
    chw /= 255
    chw *= 2
    chw -= 1
    return chw


def pillow_rates(files, size, passes):
    rates = {}
    for name, step in (("decode", pillow_decode), ("resize", lambda d: pillow_resize(d, size)),
                       ("tensor", lambda d: pillow_tensor(d, size)), ("draft", lambda d: pillow_draft(d, size))):
        start = time.process_time()
        for _ in range(passes):
            for data in files:
                step(data)
        rates[name] = passes * len(files) / (time.process_time() - start)
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tar", default=str(ROOT / "../shared/data/cc12m_test/cc12m-train-0000.tar"))
    parser.add_argument("--bench", default=str(ROOT / "build/release/bin/jpeg_bench"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    with tarfile.open(args.tar) as tar, tempfile.TemporaryDirectory() as folder:
        files, paths = [], []
        for member in tar.getmembers():
            if not member.name.endswith(".jpg"):
                continue
            files.append(tar.extractfile(member).read())
            paths.append(os.path.join(folder, f"{len(paths)}.jpg"))
            pathlib.Path(paths[-1]).write_bytes(files[-1])
        ours, theirs = [], []
        pillow_rates(files, args.size, 1)  # warm-up
        for _ in range(args.rounds):
            output = subprocess.run([args.bench, str(args.size), str(args.passes), *paths], check=True,
                                    capture_output=True, text=True).stdout
            ours.append(json.loads(output))
            theirs.append(pillow_rates(files, args.size, args.passes))
    print(f"{len(files)} JPEGs, size {args.size}, {args.rounds} rounds of {args.passes} passes, one thread each; "
          f"load average {os.getloadavg()[0]:.1f}")
    print(f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}, numpy {np.__version__}")
    print("| images per CPU-second | ours | Pillow | ratio (median of rounds) |")
    print("|---|---|---|---|")
    rows = (("decode", "decode", "decode"), ("resize", "resize", "resize"), ("tensor", "tensor", "tensor"),
            ("fast, Pillow exact", "fast", "tensor"), ("fast, Pillow draft", "fast", "draft"))
    for title, name, rival in rows:
        ratio = statistics.median(a[name] / b[rival] for a, b in zip(ours, theirs))
        print(f"| {title} | {statistics.median(a[name] for a in ours):.0f} | "
              f"{statistics.median(b[rival] for b in theirs):.0f} | {ratio:.2f}x |")
    psnr = ours[0]["psnr"]
    scaled = sorted(value for value in psnr if value < 99)
    if scaled:
        print(f"fast: {len(scaled)} of {len(psnr)} JPEGs were decoded smaller; PSNR against the exact way "
              f"{scaled[0]:.1f} to {scaled[-1]:.1f} dB, median {statistics.median(scaled):.1f}")


if __name__ == "__main__":
    main()
