#!/usr/bin/env python3
"""Where a step's time goes on a GPU: the kernels of a Kineto trace (profiling.enable_profiling) by kind, as Markdown.

  scripts/kernel_shares.py TRACE.json [--steps N]      N = profiling.profiler_active, the steps in the trace

Kinds are read off the kernels' names: matrix products (cuBLAS, cuBLASLt, CUTLASS), attention (cuDNN, flash), titan's own, the rest.
Exit code 77 where the trace has no kernels (a CPU's).
"""
import argparse
import json
import re
import sys

# The first that fits counts: attention's kernels are matrix products, too.
KINDS = [("titan's kernels", r"\btitan::"), ("attention", r"sdpa|fmha|flash|attention"),
         ("matrix products", r"gemm|nvjet|cutlass|cublas|splitk|matmul"), ("NCCL", r"nccl"), ("other kernels", r"")]
COPIES = {"gpu_memcpy": "copies", "gpu_memset": "fills"}


def kind_of(event):
    if event["cat"] in COPIES:
        return COPIES[event["cat"]]
    return next(kind for kind, pattern in KINDS if re.search(pattern, event["name"], re.IGNORECASE))


def busy_us(events):
    """Microseconds in which at least one of them ran."""
    total, end = 0.0, float("-inf")
    for event in sorted(events, key=lambda e: e["ts"]):
        total += max(0.0, event["ts"] + event["dur"] - max(end, event["ts"]))
        end = max(end, event["ts"] + event["dur"])
    return total


def sums(events, key):
    """{key: [calls, microseconds]}, longest first."""
    found = {}
    for event in events:
        entry = found.setdefault(key(event), [0, 0.0])
        entry[0] += 1
        entry[1] += event["dur"]
    return dict(sorted(found.items(), key=lambda item: -item[1][1]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trace")
    parser.add_argument("--steps", type=int, default=1)
    args = parser.parse_args()
    with open(args.trace) as file:
        events = [event for event in json.load(file)["traceEvents"]
                  if event.get("ph") == "X" and event.get("cat") in ("kernel", *COPIES)]
    if not events:
        print(f"{args.trace}: no kernels: a CPU's trace", file=sys.stderr)
        sys.exit(77)
    whole = sum(event["dur"] for event in events)
    window = max(e["ts"] + e["dur"] for e in events) - min(e["ts"] for e in events)
    lines = ["# Where a step's time goes on the GPU", "",
             f"{args.steps} steps of a trace: {1e-3 * whole / args.steps:.2f} ms of kernels a step; the device was busy in "
             f"{100 * busy_us(events) / window:.1f} % of the {1e-3 * window:.1f} ms from the first kernel to the last.", "",
             "| kind | launches a step | ms a step | share |", "|---|---|---|---|"]
    for title, key in (("kind", kind_of), ("the longest", lambda event: event["name"])):
        if title == "the longest":
            lines += ["", "| kernel | launches a step | ms a step | share |", "|---|---|---|---|"]
        for name, (calls, us) in list(sums(events, key).items())[:12]:
            name = name.replace("|", "/")
            lines.append(f"| {name if len(name) < 90 else name[:87] + '...'} | {calls / args.steps:g} | {1e-3 * us / args.steps:.3f} | "
                         f"{100 * us / whole:.1f} % |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
