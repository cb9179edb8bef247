#!/usr/bin/env python3
"""The few inputs of a fuzzer that reach the most code: cover.py CONTROL_FILE FOLDER LIMIT

CONTROL_FILE is what libFuzzer writes with -merge_control_file: the inputs, and which parts of the code each reaches. Inputs that a
person gave a name are taken. Of the others the one that adds most is taken first, the smaller one of equals, until nothing is added or
LIMIT is reached. Copies go to FOLDER.
"""

import re
import shutil
import sys
from pathlib import Path


def read(control):
    """[(path, size, parts reached)]"""
    with open(control, encoding="utf-8") as lines:
        count = int(next(lines))
        next(lines)
        paths = [next(lines).rstrip("\n") for _ in range(count)]
        sizes, parts = {}, {}
        for line in lines:
            kind, at, *words = line.split()
            if kind == "STARTED":
                sizes[at] = int(words[0])
            elif kind == "FT":
                parts[at] = set(words)
    return [(paths[int(at)], sizes[at], reached) for at, reached in parts.items()]


def choose(inputs, limit):
    missing = set().union(*(reached for _, _, reached in inputs))
    chosen = []
    for path, _, reached in inputs:
        if not re.fullmatch("[0-9a-f]{40}", Path(path).name):
            missing -= reached
            chosen.append(path)
    while missing and len(chosen) < limit:
        path, _, reached = max(inputs, key=lambda i: (len(i[2] & missing), -i[1], i[0]))
        missing -= reached
        chosen.append(path)
    return chosen, len(missing)


def main():
    control, folder, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    inputs = read(control)
    chosen, missing = choose(inputs, limit)
    for path in chosen:
        shutil.copyfile(path, folder / Path(path).name)
    reached = len(set().union(*(reached for _, _, reached in inputs)))
    size = sum((folder / Path(path).name).stat().st_size for path in chosen)
    print(f"{len(chosen):4} inputs, {size:6} bytes, reach {(reached - missing) / reached:.0%} of what all {len(inputs)} reach")


main()
