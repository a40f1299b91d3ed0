#!/usr/bin/env python3
"""Make the documentation of the public API (titan/titan.h and what it includes) with Doxygen.

    scripts/api_docs.py [--output FOLDER] [--source FOLDER]       default build/api

Prints every warning and exits with 1 if there is any: a public name without a docstring, a docstring that names what is not
there. Settings have their help in the lists that --help and docs/config.md are made of; it is taken from there. Without
Doxygen: exit code 77.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIELD = re.compile(r'v\("(\w+)",\s*c\.\w+,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')


def text_of(literals):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals)).replace('\\"', '"')


def escape(text):
    """Doxygen reads these in a docstring."""
    return re.sub(r"([<>@\\#%&$])", r"\\\1", text)


def section_help(job_config):
    """Struct name -> what the section is for."""
    types = {name: kind for kind, name in re.findall(r"^  (\w+Section) (\w+);", job_config, re.M)}
    return {types[name]: (name, text_of(literals)) for name, literals in FIELD.findall(job_config) if name in types}


def with_help(header, sections):
    """A settings header with the help of its field lists as docstrings."""
    help_of, lines, struct = {}, [], None
    for body in re.split(r"(?=^struct )", header, flags=re.M):
        name = re.match(r"struct (\w+)", body)
        for field, literals in FIELD.findall(body):
            help_of[name.group(1), field] = text_of(literals)
    for line in header.splitlines():
        begins = re.match(r"struct (\w+) \{", line)
        if begins:
            struct = begins.group(1)
            if struct in sections and not (lines and lines[-1].startswith("///")):
                lines.append("/// [%s] of a config: %s." % tuple(map(escape, sections[struct])))
        elif line.startswith("template <class V>"):
            lines.append("/// Lists the fields with name and help (config/fields.h).")
        field = re.match(r"  [\w:<> ,]+? (\w+)( = .*)?;$", line)
        if field and (struct, field.group(1)) in help_of:
            line += " ///< " + escape(help_of[struct, field.group(1)])
        lines.append(line)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build/api")
    parser.add_argument("--source", type=pathlib.Path, default=ROOT)
    arguments = parser.parse_args()
    if not shutil.which("doxygen"):
        print("api_docs: skipped, doxygen is missing (scripts/setup.sh installs it)")
        return 77
    output = arguments.output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    # The same headers that are installed.
    subprocess.run(["cmake", f"-DTITAN_SOURCE={arguments.source.resolve()}", "-DTITAN_INCLUDE=include",
                    f"-DCMAKE_INSTALL_PREFIX={output}", "-P", str(ROOT / "cmake/install_headers.cmake")],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    include = output / "include"
    config = include / "titan/config"
    sections = section_help((config / "job_config.h").read_text())
    for header in [*sorted((config / "sections").glob("*.h")), config / "job_config.h"]:
        header.write_text(with_help(header.read_text(), sections))
    doxyfile = (ROOT / "docs/Doxyfile").read_text()
    doxyfile += f"INPUT = {ROOT / 'docs/api.dox'} {include}\nSTRIP_FROM_PATH = {include}\nOUTPUT_DIRECTORY = {output}\n"
    result = subprocess.run(["doxygen", "-"], input=doxyfile, text=True, capture_output=True)
    problems = [line.replace(str(include) + "/", "") for line in result.stderr.splitlines() if line.strip()]
    for line in problems:
        print(line)
    headers = sum(1 for _ in include.rglob("*.h"))
    print(f"api_docs: {headers} public headers, {len(problems)} warnings; {output}/index.html")
    return 1 if problems or result.returncode != 0 or headers == 0 else 0


sys.exit(main())
