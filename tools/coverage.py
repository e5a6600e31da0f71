#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Line and branch coverage of the core, and of each parser from its own corpus. `./dev coverage` builds and calls it.

    tools/coverage.py [--missing] [FILE...]     --missing lists what was not reached, in these files or in all

The core is covered by unit tests, fuzz corpora and the simulator together; the totals must reach the targets below. A
parser is what reads bytes from outside; its lines must be covered by the corpora named beside it alone.

What counts:
  - A line, if the compiler made code of it. A branch is one side of one condition, as clang sees conditions.
  - The conditions of a REQUIRE do not count, neither side: that the failing side is never taken is what it says.
  - Nothing else is left out by rule: a failing request for memory is a branch like any other.
  - tools/coverage_exceptions.txt names what cannot be reached, one a line: `file: text : reason` or `file: function() :
    reason`. The text stands in one line of the file and only there. `parser` before it: what a corpus cannot reach,
    though other tests do. An exception for something that is covered, or is no longer there, is an error.
"""
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "coverage"
PROFILES = BUILD / "profiles"
EXCEPTIONS = ROOT / "tools" / "coverage_exceptions.txt"

LINES_MIN, BRANCHES_MIN, PARSER_LINES_MIN = 95.0, 90.0, 95.0
CORE = ("src/base/", "src/count/", "src/journal/", "src/cluster/", "src/node/")
REQUIRE_HOME = "src/base/err.h"
SIMULATOR = BUILD / "sim" / "quipu-sim"
SEEDS, SEEDS_AT_ONCE, SIMULATOR_CPU_S = 40, 5, 60.0

PARSERS = {
    "src/cluster/frame.c": ["frame"],
    "src/cluster/message.c": ["frame"],
    "src/count/block.c": ["block"],
    "src/http/grammar.c": ["http"],
    "src/http/json.c": ["http", "json"],
    "src/http/request.c": ["http"],
    "src/journal/recovery.c": ["journal", "recovery"],
    "src/journal/recovery_snapshot.c": ["journal", "recovery"],
    "src/journal/segment.c": ["journal", "recovery"],
    "src/node/identity.c": ["recovery"],
    "src/resp/glob.c": ["glob"],
    "src/resp/parser.c": ["resp"],
    "src/server/beacon.c": ["beacon"],
    "src/server/endpoint.c": ["address"],
    "src/server/settings.c": ["settings"],
    "src/server/settings_rows.c": ["settings"],
    "src/server/sniff.c": ["address"],
}


class Excused(NamedTuple):
    where: str  # in the list
    in_parser: bool
    path: str
    first: int  # lines of the file
    last: int


class Coverage(NamedTuple):
    lines: dict  # path -> {line: count}
    branches: dict  # path -> {(line, column, end line, end column, side): count}


# --- Running

def run(command: list[str], profile: str, **options) -> None:
    environment = dict(os.environ, LLVM_PROFILE_FILE=str(PROFILES / profile))
    result = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, errors="replace", check=False, **options)
    if result.returncode != 0:
        sys.exit(f"{result.stdout[-4000:]}\ncoverage: {' '.join(command)} failed")


def run_unit_tests() -> None:
    run(["/usr/bin/meson", "test", "-C", str(BUILD), "--no-rebuild", "--suite", "unit"], "unit-%p.profraw")


def run_corpora() -> None:
    for name in sorted({name for names in PARSERS.values() for name in names} | {"events", "operations"}):
        run([str(BUILD / "fuzz" / f"fuzz_{name}"), str(ROOT / "fuzz" / "corpus" / name)], f"fuzz-{name}.profraw")


def cpu_s() -> float:
    """Of all programs that were run so far."""
    return os.times().children_user + os.times().children_system


def run_simulator() -> str:
    """Seeds in small ranges, so that each can end by itself before the time is up."""
    if not SIMULATOR.exists():
        return "no simulator program in this tree: test_node stands in for it"
    done, began = 0, cpu_s()
    while done < SEEDS and cpu_s() - began < SIMULATOR_CPU_S:
        run([str(SIMULATOR), "--seeds", f"{done + 1}..{done + SEEDS_AT_ONCE}"], f"sim-{done}.profraw")
        done += SEEDS_AT_ONCE
    return f"simulator: seeds 1..{done}"


# --- Reading what llvm has counted

def tool(*command: str) -> str:
    return subprocess.run(command, cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=True).stdout


def tree_path(name: str) -> str:
    path = os.path.normpath(os.path.join(BUILD, name))
    return os.path.relpath(path, ROOT)


def programs() -> list[str]:
    found = [path for folder in ("test/unit", "fuzz", "sim") for path in sorted((BUILD / folder).glob("*"))]
    return [str(path) for path in found if path.is_file() and os.access(path, os.X_OK) and not path.suffix]


def read_lines(lcov: str) -> dict:
    lines: dict = defaultdict(dict)
    path = ""
    for record in lcov.splitlines():
        if record.startswith("SF:"):
            path = tree_path(record[3:])
        elif record.startswith("DA:"):
            number, count = record[3:].split(",")[:2]
            lines[path][int(number)] = max(lines[path].get(int(number), 0), int(count))
    return lines


def read_branches(text: str) -> dict:
    branches: dict = defaultdict(lambda: defaultdict(int))
    for function in json.loads(text)["data"][0]["functions"]:
        files = [tree_path(name) for name in function["filenames"]]
        for line, column, end_line, end_column, taken, not_taken, file, *_ in function["branches"]:
            if files[file] == REQUIRE_HOME:
                continue
            place = (line, column, end_line, end_column)
            branches[files[file]][(*place, "true")] += taken
            branches[files[file]][(*place, "false")] += not_taken
    return branches


def read_coverage(profiles: list[Path], objects: list[str]) -> Coverage:
    merged = str(PROFILES / "merged.profdata")
    tool("llvm-profdata", "merge", "-o", merged, *map(str, profiles))
    what = [objects[0], *(part for path in objects[1:] for part in ("-object", path)), f"-instr-profile={merged}"]
    return Coverage(read_lines(tool("llvm-cov", "export", "-format=lcov", *what)),
                    read_branches(tool("llvm-cov", "export", "-format=text", *what)))


# --- Exceptions

def function_lines(source: list[str], name: str) -> tuple[int, int]:
    """The lines of a function whose body ends with a brace in the first column."""
    head = re.compile(rf"[a-z].*\b{re.escape(name)}\([^;]*$")
    starts = [i for i, line in enumerate(source) if head.match(line)]
    if len(starts) != 1:
        return 0, 0
    return starts[0] + 1, next(i for i in range(starts[0], len(source)) if source[i] == "}") + 1


def read_exceptions() -> tuple[list[Excused], list[str]]:
    exceptions, errors = [], []
    for number, line in enumerate(EXCEPTIONS.read_text().splitlines(), 1):
        where = f"tools/{EXCEPTIONS.name}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(parser )?(\S+): (.+?) : (.+)", line)
        if not match or not (ROOT / match[2]).exists():
            errors.append(f"{where}: not `file: text : reason` with a file that is there")
            continue
        path, text = match[2], match[3]
        source = (ROOT / path).read_text().splitlines()
        hits = [i for i, line_of_file in enumerate(source, 1) if text in line_of_file]
        first, last = (hits[0], hits[0]) if len(hits) == 1 else (0, 0)
        if text.endswith("()"):
            first, last = function_lines(source, text[:-2])
        if first == 0:
            errors.append(f"{where}: {path} has this not exactly once: {text}")
        else:
            exceptions.append(Excused(where, match[1] is not None, path, first, last))
    return exceptions, errors


def apply_exceptions(coverage: Coverage, exceptions: list[Excused]) -> list[str]:
    """Takes out what is excepted and not covered. An exception that takes out nothing is an error."""
    errors = []
    for e in exceptions:
        lines, branches = coverage.lines.get(e.path, {}), coverage.branches.get(e.path, {})
        dead_lines = [n for n in lines if e.first <= n <= e.last and lines[n] == 0]
        dead_branches = [b for b in branches if e.first <= b[0] <= e.last and branches[b] == 0]
        for n in dead_lines:
            del lines[n]
        for b in dead_branches:
            del branches[b]
        if not dead_lines and not dead_branches:
            errors.append(f"{e.where}: {e.path}:{e.first} is covered: strike the exception")
    return errors


# --- Tables

def percent(covered: int, total: int) -> float:
    return 100.0 * covered / total if total else 100.0


def counts(items: dict) -> tuple[int, int]:
    return sum(count > 0 for count in items.values()), len(items)


def print_core(coverage: Coverage) -> bool:
    sums = [0, 0, 0, 0]
    print(f"{'file':<32} {'lines':>13} {'%':>7} {'branches':>13} {'%':>7}")
    for path in sorted(coverage.lines):
        if not path.startswith(CORE):
            continue
        row = [*counts(coverage.lines[path]), *counts(coverage.branches.get(path, {}))]
        sums = [a + b for a, b in zip(sums, row)]
        print(f"{path:<32} {row[0]:>6}/{row[1]:<6} {percent(*row[:2]):>7.2f} {row[2]:>6}/{row[3]:<6} "
              f"{percent(*row[2:]):>7.2f}")
    lines, branches = percent(*sums[:2]), percent(*sums[2:])
    print(f"{'the core':<32} {sums[0]:>6}/{sums[1]:<6} {lines:>7.2f} {sums[2]:>6}/{sums[3]:<6} {branches:>7.2f}"
          f"   (at least {LINES_MIN:.0f} and {BRANCHES_MIN:.0f})")
    return lines >= LINES_MIN and branches >= BRANCHES_MIN


def print_missing(coverage: Coverage, wanted: list[str]) -> None:
    for path in sorted(coverage.lines):
        if path not in wanted and (wanted or not path.startswith(CORE)):
            continue
        source = (ROOT / path).read_text().splitlines()
        for number, count in sorted(coverage.lines[path].items()):
            if count == 0:
                print(f"{path}:{number}: line: {source[number - 1].strip()}")
        for branch, count in sorted(coverage.branches.get(path, {}).items()):
            line, column, end_line, end_column, side = branch
            if count == 0:
                condition = source[line - 1][column - 1:end_column - 1 if end_line == line else None]
                print(f"{path}:{line}: never {side}: {condition}")


def print_parsers(exceptions: list[Excused], missing: bool) -> tuple[bool, list[str]]:
    good, errors = True, []
    print(f"\n{'parser':<32} {'corpus':<18} {'lines':>13} {'%':>7}   (at least {PARSER_LINES_MIN:.0f})")
    for path, names in PARSERS.items():
        objects = [str(BUILD / "fuzz" / f"fuzz_{name}") for name in names]
        coverage = read_coverage([PROFILES / f"fuzz-{name}.profraw" for name in names], objects)
        errors += apply_exceptions(coverage, [e for e in exceptions if e.path == path and e.in_parser])
        covered, total = counts(coverage.lines.get(path, {}))
        print(f"{path:<32} {', '.join(names):<18} {covered:>6}/{total:<6} {percent(covered, total):>7.2f}")
        good = good and percent(covered, total) >= PARSER_LINES_MIN
        if missing:
            print_missing(Coverage({path: coverage.lines[path]}, {}), [path])
    return good, errors


def main(arguments: list[str]) -> int:
    missing = "--missing" in arguments
    wanted = [argument for argument in arguments if argument != "--missing"]
    exceptions, errors = read_exceptions()
    PROFILES.mkdir(parents=True, exist_ok=True)
    for path in PROFILES.iterdir():
        path.unlink()
    run_unit_tests()
    run_corpora()
    print(run_simulator())
    coverage = read_coverage(sorted(PROFILES.glob("*.profraw")), programs())
    errors += apply_exceptions(coverage, [e for e in exceptions if not e.in_parser])
    good = print_core(coverage)
    if missing:
        print_missing(coverage, wanted)
    parsers_good, parser_errors = print_parsers(exceptions, missing)
    good = good and parsers_good
    for error in errors + parser_errors:
        print(error, file=sys.stderr)
    if not good:
        print("coverage is below a target; --missing lists what was not reached", file=sys.stderr)
    return 0 if good and not errors + parser_errors else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
