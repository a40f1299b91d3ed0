#!/usr/bin/env python3
"""Time shards from a local web server: ours beside the curl program, in the same rounds.

    scripts/bench_remote.py [--shards 16] [--megabytes 64] [--threads 4] [--rounds 3]

Needs build/release/bin/remote_bench. The server is Python's own, one process; both sides write to the same disk
and end when every file is there (ours is then on the disk: fsync; curl's is not).
"""
import argparse
import functools
import http.server
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time


class Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        outputfile.flush()
        os.set_blocking(self.connection.fileno(), True)
        offset, size = 0, os.fstat(source.fileno()).st_size
        while offset < size:
            offset += os.sendfile(self.connection.fileno(), source.fileno(), offset, size - offset)


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("shards", 16), ("megabytes", 64), ("threads", 4), ("rounds", 3)):
        parser.add_argument("--" + name, type=int, default=value)
    args = parser.parse_args()
    bench = pathlib.Path(__file__).parents[1] / "build/release/bin/remote_bench"
    with tempfile.TemporaryDirectory() as folder:
        served = pathlib.Path(folder, "served")
        served.mkdir()
        block = os.urandom(1_000_000)
        for i in range(args.shards):
            with open(served / f"s-{i:03d}.tar", "wb") as file:
                for _ in range(args.megabytes):
                    file.write(block)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=served))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}/s-"
        ours, curls = [], []
        for _ in range(args.rounds):
            run = subprocess.run([bench, f"{base}{{000..{args.shards - 1:03d}}}.tar", f"{folder}/cache",
                                  str(args.threads)], check=True, capture_output=True, text=True)
            ours.append(json.loads(run.stdout.splitlines()[-1]))
            start = time.monotonic()
            subprocess.run(["curl", "-sS", "--fail", "-Z", "--parallel-max", str(args.threads), "--create-dirs",
                            "--output-dir", f"{folder}/curl", "-O", f"{base}[000-{args.shards - 1:03d}].tar"], check=True)
            curls.append(args.shards * args.megabytes / (time.monotonic() - start))
            shutil.rmtree(f"{folder}/curl")
    middle = {key: statistics.median(run[key] for run in ours) for key in ours[0]}
    print(json.dumps({**middle, "curl_mb_s": round(statistics.median(curls)), "load": os.getloadavg()[0]}))


main()
