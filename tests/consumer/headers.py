#!/usr/bin/env python3
"""Compile every installed public header alone: headers.py PREFIX LIBTORCH COMPILER

LibTorch's headers cost seconds to parse, so they come precompiled, but only to headers that include them (themselves or
through another of titan's): a header that forgets an include still fails. Prints the seconds it took.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

# The costly one contains the other, so a header gets the first that it includes.
HEAVY = ["torch/nn/module.h", "ATen/core/Tensor.h"]


def closure(include, name, seen):
    """Every header that `name` includes, titan's searched through."""
    if name in seen:
        return seen
    seen.add(name)
    if (include / name).is_file():
        for found in re.findall(r'^#include ["<]([^">]+)[">]', (include / name).read_text(), re.M):
            closure(include, found, seen)
    return seen


def main():
    prefix, torch, compiler = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    include = prefix / "include"
    headers = sorted(str(path.relative_to(include)) for path in include.rglob("*.h"))
    flags = ["-std=c++20", "-DNDEBUG", "-fopenmp", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-DUSE_DISTRIBUTED",
             "-DUSE_C10D_GLOO", "-DAT_PER_OPERATOR_HEADERS", f"-I{include}", "-isystem", f"{torch}/include",
             "-isystem", f"{torch}/include/torch/csrc/api/include"]
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        def precompile(number):
            header = pathlib.Path(folder) / f"heavy{number}.h"
            header.write_text(f"#include <{HEAVY[number]}>\n")
            subprocess.run([compiler, *flags, "-x", "c++-header", str(header)], check=True)
            return str(header)

        def heavy_of(header):
            needed = closure(include, header, set())
            return next((number for number, heavy in enumerate(HEAVY) if heavy in needed), len(HEAVY))

        def compile_alone(header):
            heavy = heavy_of(header)
            first = ["-include", precompiled[heavy].result()] if heavy < len(HEAVY) else []
            source = f'#include "{header}"\n#include "{header}"\nint main() {{}}\n'
            return subprocess.run([compiler, *flags, *first, "-fsyntax-only", "-x", "c++", "-"], input=source, text=True,
                                  capture_output=True)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            precompiled = [pool.submit(precompile, number) for number in range(len(HEAVY))]
            headers.sort(key=heavy_of, reverse=True)  # the light ones meanwhile
            results = list(pool.map(compile_alone, headers))
    bad = [(header, result.stderr) for header, result in zip(headers, results) if result.returncode != 0]
    for header, error in bad:
        print(f"consumer: {header} does not compile alone:\n{error}", file=sys.stderr)
    print(f"consumer: {len(headers)} public headers, {len(bad)} do not compile alone ({time.time() - began:.0f} s)")
    return 1 if bad or not headers else 0


sys.exit(main())
