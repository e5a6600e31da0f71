#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzzers of build/fuzz.

    tools/fuzz.py NAME [SECONDS]    looks for inputs that break fuzz/fuzz_NAME.c
    tools/fuzz.py all [SECONDS]     each of them for so long, one after the other; a table at the end
    tools/fuzz.py merge NAME        makes fuzz/corpus/NAME a small set that covers all edges that it and the findings do

What is found goes to build/found/NAME: inputs that reach something new, and crashes, for which the exit status is 1.
An input of the corpus whose name is a word (not libFuzzer's 40 hex digits) tells a story and is kept by a merge.
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build" / "fuzz" / "fuzz"
FOUND = ROOT / "build" / "found"
CORPUS = ROOT / "fuzz" / "corpus"
DICTIONARIES = ROOT / "fuzz" / "dict"

# Longest inputs, where libFuzzer's own 4,096 bytes are too few: directories of files.
BYTES_MAX = {"recovery": 20000}
CORPUS_FILES_MAX = 300
CORPUS_BYTES_MAX = 300 * 1000
HASH = re.compile(r"[0-9a-f]{40}")


class Run(NamedTuple):
    name: str
    crashed: bool
    executions: int
    edges: int
    features: int


def names() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in (ROOT / "fuzz").glob("fuzz_*.c"))


def options(name: str) -> list[str]:
    dictionary = DICTIONARIES / f"{name}.dict"
    return [f"-max_len={BYTES_MAX.get(name, 4096)}"] + ([f"-dict={dictionary}"] if dictionary.exists() else [])


def fuzz(name: str, seconds: int, quiet: bool) -> Run:
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    log = FOUND / f"{name}.log"
    command = [str(PROGRAMS / f"fuzz_{name}"), *options(name), f"-max_total_time={seconds}", "-print_final_stats=1",
               f"-artifact_prefix={found}/crash-", str(found), str(CORPUS / name)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as program:
        with log.open("w") as out:
            for line in program.stderr:
                out.write(line)
                if not quiet:
                    sys.stderr.write(line)
    text = log.read_text(errors="replace")
    covered = re.findall(r"cov: (\d+) ft: (\d+)", text) or [("0", "0")]
    executions = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(r"^#(\d+)", text, re.MULTILINE)
    if program.returncode != 0 and quiet:
        sys.stderr.write("\n".join(text.splitlines()[-40:]) + f"\nthe whole log is {log}\n")
    return Run(name, program.returncode != 0, int(executions[-1]) if executions else 0, *map(int, covered[-1]))


def fuzz_all(seconds: int) -> int:
    runs = []
    for name in names():
        print(f"fuzz {name}, {seconds} s ...", file=sys.stderr)
        runs.append(fuzz(name, seconds, quiet=True))
    print(f"{'fuzzer':<12} {'runs':>12} {'edges':>7} {'features':>9}")
    for run in runs:
        print(f"{run.name:<12} {run.executions:>12,} {run.edges:>7,} {run.features:>9,}"
              f"{'   CRASHED' if run.crashed else ''}")
    broken = sum(run.crashed for run in runs)
    print(f"{len(runs) - broken} passed, {broken} failed")
    return 1 if broken else 0


def merge(name: str) -> int:
    corpus = CORPUS / name
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder)
        for path in corpus.glob("*"):
            if not HASH.fullmatch(path.name):
                shutil.copy(path, merged)
        sources = [str(corpus)] + ([str(FOUND / name)] if (FOUND / name).exists() else [])
        subprocess.run([str(PROGRAMS / f"fuzz_{name}"), *options(name), "-merge=1", "-use_counters=0",
                        folder, *sources],
                       check=True, stderr=subprocess.DEVNULL)
        shutil.rmtree(corpus)
        shutil.copytree(merged, corpus)
    files = [path.stat().st_size for path in corpus.iterdir()]
    print(f"{name}: {len(files)} files, {sum(files):,} bytes")
    fits = len(files) <= CORPUS_FILES_MAX and sum(files) <= CORPUS_BYTES_MAX
    if not fits:
        print(f"{name}: more than {CORPUS_FILES_MAX} files or {CORPUS_BYTES_MAX:,} bytes", file=sys.stderr)
    return 0 if fits else 1


def main(arguments: list[str]) -> int:
    if len(arguments) == 2 and arguments[0] == "merge" and arguments[1] in names():
        return merge(arguments[1])
    if not 1 <= len(arguments) <= 2 or arguments[0] not in [*names(), "all"]:
        print(f"{__doc__}\nNAME is one of: {' '.join(names())}", file=sys.stderr)
        return 2
    seconds = int(arguments[1]) if len(arguments) == 2 else 60
    if arguments[0] == "all":
        return fuzz_all(seconds)
    return 1 if fuzz(arguments[0], seconds, quiet=False).crashed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
