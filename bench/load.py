# SPDX-License-Identifier: Apache-2.0
"""Load: redis-benchmark and wrk as neutral generators, a filler for names, and the watch for an increment's arrival."""

import contextlib
import csv
import io
import os
import random
import resource
import subprocess
import time
from dataclasses import dataclass

from servers import BenchError, Client, HOST, end_with_parent

CONNECTIONS = 50
FILL_BATCH = 1000
RUN_SECONDS_MAX = 120


@dataclass
class Load:
    """What redis-benchmark is to send. `key` of None is its own INCR test, with its own name of 20 bytes."""
    pipeline: int
    keys: int = 1
    key: str | None = None

    def arguments(self, port, requests):
        words = ["redis-benchmark", "-h", HOST, "-p", str(port), "-c", str(CONNECTIONS), "-P", str(self.pipeline),
                 "-n", str(requests), "--csv"]
        if self.keys > 1:
            words += ["-r", str(self.keys)]
        return words + (["-t", "incr"] if self.key is None else ["INCR", self.key])

    def name(self, number):
        """The name that the random number becomes."""
        return (self.key or "counter:__rand_int__").replace("__rand_int__", f"{number:012d}").encode()


@dataclass
class Sample:
    """One run against one server."""
    rate: float            # operations a second
    cpu_us: float          # of the server, an operation
    generator_busy: float  # share of one core that the load generator had

    def as_json(self):
        return {"rate": round(self.rate), "cpu_us": round(self.cpu_us, 3),
                "generator_busy": round(self.generator_busy, 3)}


def run_to_end(words):
    """Standard output of a program that must end well."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_SECONDS_MAX,
                              check=False, preexec_fn=end_with_parent)
    except subprocess.TimeoutExpired:
        raise BenchError(f"no end within {RUN_SECONDS_MAX} s: {' '.join(words)}") from None
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise BenchError(f"failed: {' '.join(words)}\n{text}{done.stderr.decode(errors='replace')}")
    return text


def parse_redis_benchmark(text):
    """The rate, out of a head line and one line of values; progress, ended by \\r, may stand before them."""
    lines = [line.rpartition("\r")[2] for line in text.split("\n")]
    rows = [row for row in csv.reader(io.StringIO("\n".join(lines))) if len(row) > 1]
    if len(rows) == 2 and "rps" in rows[0]:
        with contextlib.suppress(ValueError, IndexError):
            return float(rows[1][rows[0].index("rps")])
    raise BenchError(f"redis-benchmark said something else than a rate:\n{text}")


def generator_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(server, words, rate_of):
    """Runs a generator; rate_of(its output) gives (rate, operations)."""
    busy, cpu, began = generator_seconds(), server.cpu_seconds(), time.monotonic()
    text = run_to_end(words)
    wall, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
    busy = generator_seconds() - busy
    rate, operations = rate_of(text)
    return Sample(rate, cpu * 1e6 / operations, busy / wall)


def commands_processed(server):
    """By the server's own count."""
    with contextlib.closing(Client(server.port)) as client:
        client.send(b"INFO", b"stats")
        left = int(client.line()[1:])
        while left > 0:
            name, _, value = (line := client.line()).partition(b":")
            if name == b"total_commands_processed":
                return int(value)
            left -= len(line) + 2
    raise BenchError(f"{server.title} does not say total_commands_processed")


def measure_redis_benchmark(server, load, requests):
    """The server has to have executed what the generator claims; it may be asked some pipelines more than that."""
    before = commands_processed(server)
    words = load.arguments(server.port, requests)
    sample = measure(server, words, lambda text: (parse_redis_benchmark(text), requests))
    executed = commands_processed(server) - before
    if not requests <= executed <= requests + CONNECTIONS * load.pipeline + 100:
        raise BenchError(f"{server.title} executed {executed} commands where {requests} were to be sent")
    return sample


def requests_for(server, load, seconds):
    """A first run, which also warms up, says how many requests take about so long."""
    first = 2000 * load.pipeline if load.pipeline > 1 else 5000
    rate = measure_redis_benchmark(server, load, first).rate
    return max(first, int(rate * seconds))


WRK_SCRIPT = """
wrk.method = "POST"
wrk.path = "/increment"
wrk.body = '{"increment_count":1}'
wrk.headers["Content-Type"] = "application/json"
"""


def measure_wrk(server, seconds, folder):
    script = os.path.join(folder, "increment.lua")
    with open(script, "w", encoding="ascii") as file:
        file.write(WRK_SCRIPT)
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", script,
             f"http://{HOST}:{server.port}"]

    def rate_of(text):
        rates = [float(line.split()[1]) for line in text.splitlines() if line.startswith("Requests/sec:")]
        totals = [int(line.split()[0]) for line in text.splitlines() if " requests in " in line]
        if len(rates) != 1 or len(totals) != 1 or "Non-2xx" in text or "Socket errors" in text:
            raise BenchError(f"wrk met errors:\n{text}")
        return rates[0], totals[0]

    return measure(server, words, rate_of)


def fill(server, load, count):
    """Increments each of `count` names once; every answer is checked."""
    with contextlib.closing(Client(server.port)) as client:
        for first in range(0, count, FILL_BATCH):
            names = [load.name(number) for number in range(first, min(first + FILL_BATCH, count))]
            client.socket.sendall(b"".join(b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(name), name) for name in names))
            for name in names:
                if client.reply() != b"1":
                    raise BenchError(f"{server.title}: {name.decode()} was there before it was filled in")


@dataclass
class Arrival:
    """One increment, from the sending of its request on one node."""
    seconds: float  # until the reply that shows it had come from all the others
    round_seconds: float  # the longest round of polling before that: how far off the above can be


def watch_arrivals(servers, samples, pause_seconds):
    """Increments on the first server, one at a time on an idle cluster, and polls the others until all show it."""
    with contextlib.ExitStack() as stack:
        writer, *readers = [stack.enter_context(contextlib.closing(Client(server.port))) for server in servers]
        arrivals = []
        for number in range(1, samples + 1):
            servers[0].let_run(random.uniform(0.5, 1.5) * pause_seconds)  # no step with the heartbeats
            arrivals.append(watch_one(writer, readers, number))
        return arrivals


def watch_one(writer, readers, number):
    began = before = time.perf_counter()
    longest = 0.0
    writer.send(b"INCR", b"arrivals")
    while True:
        for reader in readers:
            reader.send(b"GET", b"arrivals")
        shown = [int(reader.reply() or 0) for reader in readers]
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
        if max(shown) > number:
            raise BenchError(f"a node shows {max(shown)} after {number} increments")
        if min(shown) == number:
            break
        if now - began > 30:
            raise BenchError(f"increment {number} was not on all nodes within 30 s")
    if int(writer.reply()) != number:
        raise BenchError("the incremented node does not count right")
    return Arrival(now - began, longest)


def wait_until_joined(servers, seconds=15):
    """Every server has to see all the others; a first increment has to be everywhere."""
    deadline = time.monotonic() + seconds
    for server in servers:
        with contextlib.closing(Client(server.port)) as client:
            while not sees(client, len(servers) - 1):
                if time.monotonic() > deadline:
                    raise BenchError(f"the cluster did not form within {seconds} s")
                server.let_run(0.05)


def sees(client, peers):
    client.send(b"QUIPU.PEERS")
    head = client.line()
    if head[:1] not in (b"*", b"~"):
        raise BenchError(f"QUIPU.PEERS answered {head.decode(errors='replace')}")
    count = int(head[1:])
    for _ in range(count):
        client.reply()
    return count == peers


def sync_times(folder, samples):
    """Seconds that a write of 4 KiB into room that is there already, and its fdatasync, take."""
    path = os.path.join(folder, "fdatasync")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        block = os.urandom(4096)
        for at in range(0, samples):
            os.pwrite(file, block, at * len(block))
        os.fsync(file)
        times = []
        for at in range(samples):
            began = time.perf_counter()
            os.pwrite(file, block, at * len(block))
            os.fdatasync(file)
            times.append(time.perf_counter() - began)
        return times
    finally:
        os.close(file)
        os.unlink(path)
