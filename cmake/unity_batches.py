#!/usr/bin/env python3
"""Which files of a target are compiled together (TITAN_UNITY).

    unity_batches.py SIZE FILE...      paths relative to the repository; prints one batch name per file, `;` between

Files of one folder of titan/ share batches of about SIZE, in their order; folders with few files share theirs, and a
small target's files are taken together. Two files that give the same name to something of their own (in an unnamed namespace, `static`, a macro) never
share one: a batch is one compilation, where that name would be defined twice. An alias may be repeated as it stands.
"""
import math
import re
import sys
from pathlib import Path

FEW = 6  # Fewer files than this do not pay for a batch of their own.
COMMENT_OR_TEXT = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'""", re.S)
# Comments have become "": clang-format sees to it that the end of a namespace has one, and of a function none.
UNNAMED = re.compile(r"^namespace \{\n(.*?)(?:^\} *\"\"|\Z)", re.M | re.S)
STATIC = re.compile(r"^static [^\n]*", re.M)
ALIAS = re.compile(r"^(?:namespace|using) (\w+) = ([^;]*);", re.M)
USING = re.compile(r"^using ([\w:]+::(\w+));", re.M)
MACRO = re.compile(r"^#\s*define\s+(\w+)", re.M)
TYPE = re.compile(r"^(?:template <[^\n]*>\s)?(?:class|struct|union|enum(?: class)?) (?:alignas\([^)]*\) )?(\w+)")
# The last word before the first bracket, brace, `=` or `;`: what a line that starts at the margin declares.
DECLARED = re.compile(r"(\w+)(?:\[[^\]]*\])*\s*(?:[({=;]|$)")


def own_names(text: str) -> dict[str, str]:
    """Name -> what it stands for if it is an alias, else ''."""
    text = COMMENT_OR_TEXT.sub('""', text)
    names = {name: " ".join(meaning.split()) for name, meaning in ALIAS.findall(text)}
    names |= {name: meaning.removeprefix("titan::") for meaning, name in USING.findall(text)}
    names |= {name: "" for name in MACRO.findall(text)}
    lines = [line for body in UNNAMED.findall(text) for line in body.splitlines()] + STATIC.findall(text)
    for line in lines:
        if not re.match(r"[A-Za-z_\[]", line) or re.match(r"(using|namespace|template|public|private|typedef)\b", line):
            continue
        kind = TYPE.match(line)
        found = kind or DECLARED.search(re.sub(r"<[^()]*>(?= |::|\()", "", line))
        if found and not found.group(1).isupper():  # TEST_CASE("...") declares nothing.
            names[found.group(1)] = ""
    return names


def clash(one: dict[str, str], other: dict[str, str]) -> bool:
    return any(name in other and (not meaning or meaning != other[name]) for name, meaning in one.items())


def main() -> None:
    size, paths = int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    folder_of = ["all"] * len(paths) if len(paths) <= 2 * size else ["_".join(path.parts[:2]) for path in paths]
    batches: dict[str, list[tuple[int, dict[str, str]]]] = {}  # Folder -> files and names of each of its batches.
    answer = []
    for path, folder in zip(paths, folder_of):
        if folder_of.count(folder) < FEW:
            folder = "few"
            files = sum(folder_of.count(name) for name in set(folder_of) if folder_of.count(name) < FEW)
        else:
            files = folder_of.count(folder)
        # 13 files: one batch of 13, not 12 and 1; two more for files that clash with an earlier batch.
        most = math.ceil(files / max(1, round(files / size))) + 2
        names = own_names(path.read_text(encoding="utf-8")) if path.exists() else {}  # CMake says what is missing.
        held = batches.setdefault(folder, [])
        at = next((i for i, (count, taken) in enumerate(held) if count < most and not clash(names, taken)), len(held))
        if at == len(held):
            held.append((0, {}))
        held[at] = (held[at][0] + 1, held[at][1] | names)
        answer.append(f"{folder}_{at}")
    print(";".join(answer))


main()
