#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mutants: does the simulator notice small mistakes? Each one of tools/mutant_list.py is built into the core of a
simulator of its own, which then runs random seeds, from five starting seeds, until a check fails or the CPU time is
used up. No scenario takes part, and the product's sources hold nothing of this: one file is patched on the side.

    tools/mutants.py [NAME...] [--quick] [--jobs N] [--cpu SECONDS] [--starts N] [--first SEED] [--with FAULT]...
    tools/mutants.py --check       only whether each mistake's place is where the list says; builds nothing

The build folder of the flavour `sim` must be up to date; `./dev mutants` sees to it. Afterwards the simulator without
any mistake runs the same seeds, and must find nothing.
"""
import argparse
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

from mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent
STARTS = (1_000_000_000, 2_000_000_000, 3_000_000_000, 4_000_000_000, 5_000_000_000)
SEEDS_MOST = 100_000_000  # of one start: more than anybody runs
CPU_SECONDS = 60.0
CORE_OBJECTS = "sim/libcore_forced.a.p/"
PROGRAM = "sim/quipu-sim"

FAILED_CHECK = re.compile(r"^sim: seed (\d+) at \d+ ms, n\d+: ([A-Z_]+): (.*)$", re.MULTILINE)
FAILED_REQUIRE = re.compile(r"^quipu: broken invariant at (?:.*/)?((?:src|sim)/\S+): (.*)$", re.MULTILINE)
FAILED_REPEAT = re.compile(r"^sim: seed (\d+) does not repeat itself$", re.MULTILINE)
LAST_SEED = re.compile(r"^FAILED; repeat with: ./dev sim --seed (\d+)", re.MULTILINE)


class Outcome(NamedTuple):
    """One program on the seeds from one start."""
    check: Optional[str]  # what failed; None: nothing did
    seed: int             # at which it failed, or the last one
    cpu: float            # seconds
    text: str             # of the failed check; or how the program ended


class Failure(Exception):
    """The list or the build is wrong: nothing was learned about the simulator."""


# --- The list

def occurrences(mutant: Mutant) -> int:
    try:
        return (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
    except OSError:
        return 0


def problems_of(mutants: tuple[Mutant, ...]) -> list[str]:
    """What is wrong with the list, a line each."""
    found = []
    names = [m.name for m in mutants]
    for m in mutants:
        if names.count(m.name) > 1:
            found.append(f"{m.name}: there are two of that name")
        if m.old == m.new:
            found.append(f"{m.name}: it changes nothing")
        if occurrences(m) != 1:
            found.append(f"{m.name}: its old text is {occurrences(m)} times in {m.file}, and must be there once")
    return found


def chosen(names: list[str], quick: bool) -> list[Mutant]:
    known = {m.name: m for m in MUTANTS}
    for name in names:
        if name not in known:
            raise Failure(f"no mutant {name}; there are: {' '.join(known)}")
    some = [known[name] for name in names] if names else [m for m in MUTANTS if not m.waits]
    return [m for m in some if m.quick or not quick]


# --- Building: the compiler's and the linker's command lines are those of the build folder

class Build:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = subprocess.run(["ninja", "-C", str(folder), "-t", "commands", PROGRAM], check=True, text=True,
                               capture_output=True).stdout.splitlines()
        self.compile_by_object = {}
        for line in lines:
            words = shlex.split(line)
            if "-c" in words and "-o" in words:
                self.compile_by_object[words[words.index("-o") + 1]] = words
        self.link = shlex.split(lines[-1])

    def _run(self, words: list[str], what: str) -> None:
        done = subprocess.run(words, cwd=self.folder, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise Failure(f"{what}\n{done.stderr}")

    def mutate(self, mutant: Mutant, work: Path) -> Path:
        """The simulator with this mistake in it. The patched object stands before the core's archive, of which the
        linker then takes everything but that member."""
        source, binary = work / mutant.name / mutant.file, work / mutant.name / "quipu-sim"
        source.parent.mkdir(parents=True)
        source.write_text((ROOT / mutant.file).read_text(encoding="utf-8").replace(mutant.old, mutant.new),
                          encoding="utf-8")
        name = f"{CORE_OBJECTS}.._{mutant.file.replace('/', '_')}.o"
        if name not in self.compile_by_object:
            raise Failure(f"{mutant.name}: {mutant.file} is no part of the core")
        patched = str(source.with_suffix(".o"))
        words = list(self.compile_by_object[name])
        for option, value in (("-o", patched), ("-MQ", patched), ("-MF", patched + ".d"), ("-c", str(source))):
            words[words.index(option) + 1] = value
        self._run(words, f"{mutant.name} does not compile")
        words = list(self.link)
        at = words.index("-o") + 1
        words[at:at + 1] = [str(binary), patched]
        self._run(words, f"{mutant.name} does not link")
        return binary


# --- Running

def outcome_of(errors: str, cpu: float, limit: float) -> Outcome:
    last = LAST_SEED.search(errors)
    seed = int(last.group(1)) if last else 0
    if found := FAILED_CHECK.search(errors):
        return Outcome(found.group(2), int(found.group(1)), cpu, found.group(3))
    if found := FAILED_REQUIRE.search(errors):
        return Outcome("REQUIRE", seed, cpu, f"{found.group(2)} ({found.group(1)})")
    if found := FAILED_REPEAT.search(errors):
        return Outcome("REPEATED", seed, cpu, "two runs of one seed differ")
    return Outcome(None, seed, cpu, "" if cpu >= limit * 0.9 else "it died without a word of why")


def run_from(program: Path, first: int, limit: float, faults: list[str]) -> Outcome:
    """Seeds from the first on, in one process, until something fails or its CPU time is over."""
    words = ["/bin/sh", "-c", 'ulimit -t "$1" && shift && exec "$@"', "sh", str(max(1, round(limit))), str(program),
             "--seeds", f"{first}..{first + SEEDS_MOST}", "--jobs", "1"]
    words += [word for fault in faults for word in ("--with", fault)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace") as p:
        errors = p.stderr.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode == 2:
        raise Failure(f"{program} does not take its arguments\n{errors}")
    return outcome_of(errors, usage.ru_utime + usage.ru_stime, limit)


def tell(mutant: Mutant, outcomes: list[Outcome], limit: float) -> bool:
    """True if it was caught: in the median within its time."""
    caught = [o for o in outcomes if o.check]
    median = statistics.median(o.cpu if o.check else limit for o in outcomes)
    good = len(caught) * 2 > len(outcomes)
    print(f"{mutant.name:<28} {'caught' if good else 'SURVIVES':<8} {len(caught)} of {len(outcomes)}, "
          f"median {median:5.1f} s   {mutant.rule}")
    for o in outcomes:
        how = f"{o.check}: {o.text}" if o.check else o.text or "nothing was found"
        print(f"    seed {o.seed:<12} {o.cpu:5.1f} s  {how[:140]}")
    sys.stdout.flush()
    return good


class Hunt:
    """All mutants chosen, and what each start's unmutated run has to cover."""

    def __init__(self, build: Build, starts: tuple[int, ...], limit: float, faults: list[str]) -> None:
        self.build, self.starts, self.limit, self.faults = build, starts, limit, faults
        self.farthest = {start: start for start in starts}
        self.cpu = {start: 1.0 for start in starts}

    def examine(self, mutant: Mutant, work: Path) -> list[Outcome]:
        """Nothing, if it does not build."""
        try:
            program = self.build.mutate(mutant, work)
        except Failure as failure:
            print(f"mutants: {failure}", file=sys.stderr)
            return []
        outcomes = [run_from(program, start, self.limit, self.faults) for start in self.starts]
        program.unlink()
        return outcomes

    def note(self, outcomes: list[Outcome]) -> None:
        for start, o in zip(self.starts, outcomes):
            self.cpu[start] = max(self.cpu[start], o.cpu)
            if o.check:
                self.farthest[start] = max(self.farthest[start], o.seed)

    def all_caught(self, mutants: list[Mutant], pool: Executor, work: Path) -> int:
        caught = 0
        for mutant, outcomes in zip(mutants, pool.map(lambda m: self.examine(m, work), mutants)):
            self.note(outcomes)
            caught += bool(outcomes) and tell(mutant, outcomes, self.limit)
        return caught

    def control(self, pool: Executor) -> bool:
        """The simulator as it is, on the same seeds."""
        def run(start: int) -> Outcome:
            limit = self.cpu[start] * 2 + 2  # the machine may be busier now
            return run_from(self.build.folder.resolve() / PROGRAM, start, limit, self.faults)
        good = True
        for start, o in zip(self.starts, pool.map(run, self.starts)):
            if o.check or o.seed <= self.farthest[start]:
                print(f"no mistake: seed {o.seed}: {o.check or 'ended early'}: {o.text}")
                good = False
        return good


def hunt(options: argparse.Namespace) -> bool:
    mutants = chosen(options.names, options.quick)
    starts = tuple(s + options.first for s in STARTS[:1 if options.quick else options.starts])
    with tempfile.TemporaryDirectory(prefix="mutants-") as work, ThreadPoolExecutor(options.jobs) as pool:
        h = Hunt(Build(Path(options.build)), starts, options.cpu, options.faults)
        caught = h.all_caught(mutants, pool, Path(work))
        sound = h.control(pool)
    for m in MUTANTS:
        if m.waits and not options.names:
            print(f"{m.name:<28} waits    {m.waits}")
    print("without a mistake: the same seeds pass" if sound else "WITHOUT A MISTAKE: the same seeds fail")
    print(f"{caught} of {len(mutants)} mutants caught")
    return sound and caught == len(mutants)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev mutants", description="does the simulator notice small mistakes?")
    parser.add_argument("--check", action="store_true", help="only look whether the list fits the sources")
    parser.add_argument("--quick", action="store_true", help="those marked quick, from one starting seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cpu", type=float, default=CPU_SECONDS, help="seconds for each starting seed")
    parser.add_argument("--starts", type=int, default=len(STARTS), choices=range(1, len(STARTS) + 1))
    parser.add_argument("--first", type=int, default=0, help="is added to the starting seeds: other ones")
    parser.add_argument("--with", dest="faults", action="append", default=[], metavar="FAULT",
                        help="a fault that is off, for mutants that wait for it")
    parser.add_argument("--build", default="build/sim", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    try:
        if found := problems_of(MUTANTS):
            raise Failure("\n".join(found))
        return 0 if options.check or hunt(options) else 1
    except Failure as failure:
        print(f"mutants: {failure}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
