#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The measurements behind ./dev bench: Quipu and Debian's redis-server side by side, in one run, on one file system.

Nothing is asserted: machines differ and are shared. Both servers run at the same time and are loaded in turn (Quipu,
Redis, Quipu, Redis ...), so that what else the machine does falls on both; the ratio of each pair is what counts, its
median and its spread. docs/BENCHMARKS.md says how to read the tables."""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

from load import (Load, fill, measure_redis_benchmark, measure_wrk, requests_for, sync_times, wait_until_joined,
                  watch_arrivals)
from report import ArrivalRow, DiskRow, MemoryRow, PairRow, tables
from servers import BenchError, TICKS_PER_SECOND, Workplace, free_ports

RATIO_TARGET = 1.5
ARRIVAL_TARGET_MS = 10
COUNTERS = 1000000
PIPELINE = 64
NODES = 3
SYNC_SAMPLES = 300
SETTLE_SECONDS = 5
ROWS_NOT_QUICK = ("short-async",)
FILE_SYSTEMS_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass
class Scope:
    """How much is measured."""
    pairs: int
    seconds: float  # of a single run of the load generator
    arrivals: int
    pause_seconds: float = 0.015  # on average, between two increments on an idle cluster


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


# --- Rows. Each is given the workplace and the scope, and returns one row or more.

def run_pairs(quipu, redis, load, scope):
    requests = [requests_for(server, load, scope.seconds) for server in (quipu, redis)]
    samples = [], []
    for _ in range(scope.pairs):
        for server, count, taken in zip((quipu, redis), requests, samples):
            taken.append(measure_redis_benchmark(server, load, count))
    return samples


def compare(name, title, load, durability, target=None):
    def measure_row(place, scope):
        with place.quipu(durability) as quipu, place.redis(durability) as redis:
            return [PairRow(name, title, *run_pairs(quipu, redis, load, scope), target)]
    return measure_row


def settled_bytes(server):
    """Resident memory once it has stopped changing."""
    before, deadline = server.resident_bytes(), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        server.let_run(0.5)
        now = server.resident_bytes()
        if abs(now - before) < 64 * 1024:
            break
        before = now
    return server.resident_bytes()


def bytes_a_counter(server, load):
    before = settled_bytes(server)
    fill(server, load, COUNTERS)
    return (settled_bytes(server) - before) / COUNTERS


def compare_filled(name, title, load, durability, target=None):
    """All the names are there before; filling them in is the measurement of memory."""
    def measure_row(place, scope):
        with place.quipu(durability) as quipu, place.redis(durability) as redis:
            used = [bytes_a_counter(server, load) for server in (quipu, redis)]
            row = PairRow(name, title, *run_pairs(quipu, redis, load, scope), target)
        rows = [row]
        if durability == "async":
            rows.append(MemoryRow(f"memory-{name}", f"names of {len(load.name(0))} bytes", *used))
        return rows
    return measure_row


def http(place, scope):
    if not shutil.which("wrk"):
        say("wrk is not installed, so the HTTP row is left out")
        return []
    with place.quipu("async") as quipu:
        measure_wrk(quipu, 1, place.folder)
        samples = [measure_wrk(quipu, scope.seconds, place.folder) for _ in range(scope.pairs)]
    return [PairRow("http", "POST /increment by wrk, async", samples, [])]


def arrivals(name, durability):
    def measure_row(place, scope):
        ports = free_ports(NODES)
        with contextlib.ExitStack() as stack:
            nodes = [stack.enter_context(place.quipu(durability, port, [p for p in ports if p != port]))
                     for port in ports]
            wait_until_joined(nodes)
            taken = watch_arrivals(nodes, scope.arrivals, scope.pause_seconds)
        return [ArrivalRow(name, f"INCR on one, shown by both others, {durability}", taken, ARRIVAL_TARGET_MS)]
    return measure_row


def disk(place, _scope):
    return [DiskRow("disk", "this file system", sync_times(place.folder, SYNC_SAMPLES))]


def rows_known() -> dict[str, Callable]:
    hot, deep = Load(PIPELINE), Load(PIPELINE, COUNTERS)
    short = Load(PIPELINE, COUNTERS, "key:__rand_int__")
    single = Load(1)
    return {
        "disk": disk,
        "hot-async": compare("hot-async", "INCR, 1 hot key, 64 deep, async", hot, "async", RATIO_TARGET),
        "random-async": compare_filled("random-async", "INCR, 1 M random keys of 20 bytes, 64 deep, async", deep,
                                       "async", RATIO_TARGET),
        "short-async": compare_filled("short-async", "INCR, 1 M random keys of 16 bytes, 64 deep, async", short,
                                      "async", RATIO_TARGET),
        "hot-sync": compare("hot-sync", "INCR, 1 hot key, 64 deep, sync", hot, "sync"),
        "random-sync": compare_filled("random-sync", "INCR, 1 M random keys of 20 bytes, 64 deep, sync", deep, "sync"),
        "single-async": compare("single-async", "INCR, 1 hot key, no pipeline, async", single, "async"),
        "single-sync": compare("single-sync", "INCR, 1 hot key, no pipeline, sync", single, "sync"),
        "http": http,
        "visible-async": arrivals("visible-async", "async"),
        "visible-sync": arrivals("visible-sync", "sync"),
    }


# --- The run

def file_system_of(folder):
    return said_by(["findmnt", "-n", "-o", "FSTYPE", "-T", folder])[-1]  # of mounts in one place the last is seen


def processor():
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def said_by(words):
    """The lines of a small program's output."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        raise BenchError(f"failed: {' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout.splitlines()


def circumstances(place, scope):
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{os.cpu_count()} x {processor()}, Linux {platform.release()}",
        "file_system": file_system_of(place.folder),
        "quipu": said_by([place.program, "--version"])[0],
        "redis": said_by([place.redis_program, "--version"])[0],
        "pairs": scope.pairs, "seconds_a_run": scope.seconds,
        "load_average_before": [round(value, 2) for value in os.getloadavg()],
    }


def circumstances_text(about):
    return "\n".join([
        f"{about['date']}: {about['machine']}, {about['file_system']}",
        f"{about['quipu']}; {about['redis']}",
        f"{about['pairs']} pairs of runs of about {about['seconds_a_run']} s; load average of the last minute "
        f"{about['load_average_before'][0]} before, {about['load_average_after'][0]} after; took "
        f"{about['took_seconds']} s",
    ])


def cpu_seconds_of_all():
    """What all processes of the machine have used so far, and what its hypervisor has given to other machines."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def cpu_seconds_of_us():
    """This program's, and that of the servers and generators that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure_beside_others(measure_row, place, scope):
    """The rows, each with how many cores other work had meanwhile."""
    all_before, ours_before, began = cpu_seconds_of_all(), cpu_seconds_of_us(), time.monotonic()
    rows = measure_row(place, scope)
    others = cpu_seconds_of_all() - all_before - (cpu_seconds_of_us() - ours_before)
    for row in rows:
        row.other_cores = max(0.0, others / (time.monotonic() - began))
    return rows


def measure_all(place, scope, names):
    known, rows, began = rows_known(), [], time.monotonic()
    about = circumstances(place, scope)
    for name in names:
        say(f"{name} ...")
        rows += measure_beside_others(known[name], place, scope)
    about["load_average_after"] = [round(value, 2) for value in os.getloadavg()]
    about["took_seconds"] = round(time.monotonic() - began)
    return about, rows


def parse_arguments():
    build = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build")
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measures Quipu beside redis-server.")
    parser.add_argument("--quick", action="store_true", help="less of everything, in under a minute")
    parser.add_argument("--pairs", type=int, metavar="N", help="pairs of runs a row (5; 3 with --quick)")
    parser.add_argument("--only", metavar="ROW,...", help=f"these rows alone, out of: {', '.join(rows_known())}")
    parser.add_argument("--dir", default=build, help="where to put data directories; they are removed (build)")
    parser.add_argument("--json", metavar="FILE", help="all that was measured, for programs")
    parser.add_argument("--program", default=os.path.join(build, "quipu"), help="the quipu to measure (build/quipu)")
    arguments = parser.parse_args()
    usual = [name for name in rows_known() if not arguments.quick or name not in ROWS_NOT_QUICK]
    arguments.names = arguments.only.split(",") if arguments.only else usual
    for name in arguments.names:
        if name not in rows_known():
            parser.error(f"there is no row '{name}'; there are: {', '.join(rows_known())}")
    if arguments.pairs is not None and arguments.pairs < 1:
        parser.error("--pairs takes a number from 1 on")
    return arguments


def scope_of(arguments):
    scope = Scope(pairs=3, seconds=0.4, arrivals=100) if arguments.quick else Scope(pairs=5, seconds=2.0, arrivals=500)
    scope.pairs = arguments.pairs or scope.pairs
    return scope


def run(arguments):
    for needed in ("redis-server", "redis-benchmark"):
        if not shutil.which(needed):
            raise BenchError(f"{needed} is missing; run ./dev setup --test")
    with tempfile.TemporaryDirectory(prefix="quipu-bench-", dir=arguments.dir) as folder:
        place = Workplace(os.path.abspath(arguments.program), os.path.abspath(folder))
        if file_system_of(folder) in FILE_SYSTEMS_IN_MEMORY:
            raise BenchError(f"{arguments.dir} is in memory, where syncing costs nothing; choose a disk with --dir")
        about, rows = measure_all(place, scope_of(arguments), arguments.names)
    print(f"{circumstances_text(about)}\n\n{tables(rows)}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            found = [{**row.as_json(), "other_cores": round(row.other_cores, 2)} for row in rows]
            json.dump({**about, "rows": found}, file, indent=1)
            file.write("\n")


def end_on_signal(number, _frame):
    """As an exception, so that every server is ended on the way out."""
    sys.exit(128 + number)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_on_signal)
    try:
        run(parse_arguments())
    except (BenchError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
