#!/usr/bin/env python3
"""Rows per CPU-second of our loader of preprocessed samples beside the Python path of the MLPerf reference.

    python3 -m venv /tmp/flux && /tmp/flux/bin/pip install datasets==3.6.0 pyarrow==20.0.0 numpy==2.2.6
    ninja -C build/release loader_bench titan_program
    /tmp/flux/bin/python scripts/bench_loader.py --folder /tmp/flux_rows [--rows 384] [--rounds 5]

Rows of the real size (T5 256 x 4096, CLIP 768, mean and logvar 16 x 32 x 32, bfloat16: 2.2 MB), written once by datasets'
save_to_disk and turned into row shards by `titan convert-data`. Python does what the reference does: iterate the data set,
np.load of every column, stack 16 rows to a batch. (NumPy stands in for torch's view and stack: the same copies.) Ours
delivers the same batches through its loader. The files lie in the page cache; rounds alternate; medians.
"""
import argparse
import io
import json
import os
import pathlib
import statistics
import subprocess
import time

import datasets
import numpy as np
import pyarrow

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = {"t5_encodings": (256, 4096), "clip_encodings": (768,), "mean": (16, 32, 32), "logvar": (16, 32, 32)}
BATCH = 16


def npy(array):
    blob = io.BytesIO()
    np.save(blob, array)
    return blob.getvalue()


def make_rows(count):
    random = np.random.default_rng(0)
    for row in range(count):
        sample = {"__key__": f"{row:09d}"}
        for name, shape in SHAPES.items():
            bits = random.integers(0x3C00, 0x4000, shape, dtype=np.uint16)  # bfloat16 of about 0.01 to 2
            sample[name] = npy(bits)
        yield sample | {"timestep": None}


def make_data(folder, count, titan):
    arrow, rows = folder / "arrow", folder / "rows"
    features = datasets.Features({"__key__": datasets.Value("string"),
                                  **{name: datasets.Value("binary") for name in SHAPES},
                                  "timestep": datasets.Value("int32")})
    if not arrow.exists():
        data = datasets.Dataset.from_generator(make_rows, gen_kwargs={"count": count}, features=features,
                                               cache_dir=str(folder / "cache"), writer_batch_size=100)
        data.save_to_disk(str(arrow), max_shard_size="500MB")
    if not rows.exists():
        subprocess.run([titan, "convert-data", str(arrow), str(rows)], check=True)
    return arrow, rows


def python_rate(folder, rows):
    """Rows per CPU-second."""
    data = datasets.load_from_disk(str(folder))
    total, batch, count = 0, [], 0
    start = time.process_time()
    while count < rows:
        for row in data:
            batch.append([np.load(io.BytesIO(row[name])) for name in SHAPES])
            count += 1
            if len(batch) == BATCH:
                stacked = [np.stack(column) for column in zip(*batch)]
                total += int(stacked[0][0, 0, 0])
                batch = []
            if count == rows:
                break
    return rows / (time.process_time() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--rows", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    arrow, rows = make_data(args.folder, args.rows, str(args.build / "titan"))
    results = {"arrow": [], "rows": []}
    python = []
    for _ in range(args.rounds):
        python.append(python_rate(arrow, args.rows))
        for name, folder in (("arrow", arrow), ("rows", rows)):
            output = subprocess.run([args.build / "loader_bench", folder, str(args.rows)], check=True,
                                    capture_output=True, text=True).stdout
            results[name].append(json.loads(output))
    print(f"{args.rows} rows of 2.16 MB, batches of {BATCH}, {args.rounds} rounds; load average {os.getloadavg()[0]:.1f}; "
          f"datasets {datasets.__version__}, pyarrow {pyarrow.__version__}, numpy {np.__version__}")
    print("| | rows per CPU-second | beside Python (median of rounds) | MB/s, 1 worker | consumer of 160 MB/s waits | "
          "seek to the end |")
    print("|---|---|---|---|---|---|")
    print(f"| Python (datasets, pyarrow, NumPy) | {statistics.median(python):.0f} | 1 | | | |")
    for name, title in (("arrow", "ours, Arrow folder"), ("rows", "ours, row shards")):
        def median(key):
            return statistics.median(result[key] for result in results[name])
        ratio = statistics.median(ours["rows_per_cpu_s"] / theirs for ours, theirs in zip(results[name], python))
        print(f"| {title} | {median('rows_per_cpu_s'):.0f} | {ratio:.2f}x | {median('mb_per_s'):.0f} | "
              f"{100 * median('paced_wait_share'):.3f} % of the time | {median('seek_ms'):.1f} ms |")
    for name in ("arrow", "rows"):
        print(f"Copy into the batch with the search for NaN and infinity, no loader, {name}: "
              f"{statistics.median(r['copy_gb_per_s'] for r in results[name]):.1f} GB/s a core")


if __name__ == "__main__":
    main()
