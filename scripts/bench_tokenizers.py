#!/usr/bin/env python3
"""Captions a second: titan's tokenizers beside sentencepiece's and Hugging Face's, in the same run.

  bench_tokenizers.py --captions FILE [--t5 FOLDER] [--clip FOLDER] [--threads N] [--build FOLDER]

FILE holds one caption a line. Rivals that cannot be imported are left out. Prints a Markdown table.
"""
import argparse
import json
import os
import pathlib
import subprocess
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def best_rate(encode, captions, passes=3):
    """Captions a second of the best pass."""
    rates = []
    for _ in range(passes):
        begin = time.perf_counter()
        encode(captions)
        rates.append(len(captions) / (time.perf_counter() - begin))
    return max(rates)


def ours(build, kind, files, captions, length, threads):
    """titan's rates on one thread and on several."""
    command = [build / "bin/tokenizer_bench", kind, *files, captions, str(length), str(threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def sentencepiece_rate(folder, captions, threads):
    """The library's own batch call."""
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    return best_rate(lambda texts: model.encode(texts, num_threads=threads), captions)


def transformers_rate(name, folder, captions, length):
    """A tokenizer of transformers, as the trainer calls it but without tensors."""
    import transformers
    transformers.logging.set_verbosity_error()
    tokenizer = getattr(transformers, name).from_pretrained(folder)

    def encode(texts):
        tokenizer(texts, truncation=True, max_length=length, padding="max_length")
    slow = not tokenizer.is_fast
    return best_rate(encode, captions[:2000] if slow else captions)


def row(name, rival):
    """A line of the table, or nothing where the rival is not installed."""
    try:
        print(f"| {name} | {rival():,.0f} |", flush=True)
    except ImportError as error:
        print(f"| {name} | - ({error}) |")


def main():
    root = pathlib.Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    golden = root.parent / "shared/golden/encoders"
    parser.add_argument("--captions", required=True, type=pathlib.Path)
    parser.add_argument("--t5", type=pathlib.Path, default=golden / "t5/tiny")
    parser.add_argument("--clip", type=pathlib.Path, default=golden / "clip/tiny")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--build", type=pathlib.Path, default=root / "build/release")
    args = parser.parse_args()
    lines = args.captions.read_text(encoding="utf-8").splitlines()
    captions = [lines[i % len(lines)] for i in range(20000)]
    print("| tokenizer | captions/s |\n|---|---:|")
    for kind, files, length in (("t5", [args.t5 / "spiece.model"], 256),
                                ("clip", [args.clip / "vocab.json", args.clip / "merges.txt"], 77)):
        rates = ours(args.build, kind, files, args.captions, length, args.threads)
        print(f"| titan {kind}, 1 thread | {rates['one_thread']:,} |")
        print(f"| titan {kind}, {args.threads} threads | {rates['captions_per_s']:,} |")
    row(f"sentencepiece, {args.threads} threads, ids only",
        lambda: sentencepiece_rate(args.t5, captions, args.threads))
    row("transformers T5Tokenizer (the reference's)",
        lambda: transformers_rate("T5Tokenizer", args.t5, captions, 256))
    row("transformers CLIPTokenizer (the reference's)",
        lambda: transformers_rate("CLIPTokenizer", args.clip, captions, 77))
    row(f"transformers CLIPTokenizerFast, {os.cpu_count()} threads",
        lambda: transformers_rate("CLIPTokenizerFast", args.clip, captions, 77))


if __name__ == "__main__":
    main()
