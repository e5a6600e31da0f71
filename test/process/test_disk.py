# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, that fails, or that holds a damaged journal; and a journal that stays small."""
import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis

from books import count_each
from cluster import PRELOAD, Cluster, wait_counts, wait_digests, wait_mesh
from http_client import Http
from power import PoweredNode, read_directory
from waiting import always, eventually, pass_time

MIB = 1 << 20


# --- full

def assert_writes_are_refused(node) -> None:
    answer = node.http.post("/v1/counters/a/increment", {})
    assert answer.status == 507, answer
    assert answer.headers["Content-Type"] == "application/problem+json" and answer.json["status"] == 507
    answer = node.http.post("/increment", {})
    assert answer.status == 507 and answer.json["success"] is False and answer.json["error"]
    assert node.http.post("/v1/increments", [{"name": "a"}]).status == 507
    with pytest.raises(redis.ResponseError, match="(?i)space"):
        node.redis().incr("a")
    assert node.http.get("/readyz").status == 503 and node.http.get("/livez").status == 200


def fill_until_refused(node, within: float = 30) -> int:
    """Increments of new counters with long names, until one is refused; returns how many were answered, all of them
    pipelined. What was refused is known not to have counted."""
    answered = 0

    def refused() -> bool:
        nonlocal answered
        with node.connect() as connection, connection.makefile("rb") as replies:
            names = [f"fill-{answered + number}-" + "x" * 900 for number in range(200)]
            connection.sendall("".join(f"INCR {name}\r\n" for name in names).encode())
            lines = [replies.readline() for _ in names]
        good = [line for line in lines if line == b":1\r\n"]
        answered += len(good)
        assert all(b"space" in line for line in lines if line not in good), lines[-1]
        assert lines[:len(good)] == good, "a refusal came before an answer"
        return len(good) < len(lines)
    eventually(refused, within, "the disk is full")
    return answered


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 160 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "quipu-test", str(where)], capture_output=True,
                             text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small file system is not allowed here: {mounted.stderr.strip()}")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def test_full_disk_refuses_writes_and_nothing_else(cluster, small_disk):
    """A stranger's file takes all the room; when it is gone, writes are taken again. Reads and gossip never stopped."""
    small, large = cluster.new(data=small_disk / "data"), cluster.new("--peers", "")
    large.flags += ["--peers", small.id]
    small.start()
    large.start()
    wait_mesh([small, large])
    small.increment(3)
    with open(small_disk / "stranger", "wb") as stranger:
        try:
            while stranger.write(b"\0" * 65536):
                stranger.flush()
        except OSError:
            pass
    answered = fill_until_refused(small)
    assert_writes_are_refused(small)

    assert small.count() == 3 and int(small.redis().get("fill-0-" + "x" * 900)) == 1
    assert large.increment(10) == 13
    large.increment(5, "late")
    # Entries of a peer need room too: they are shown once they are stored, but the link is not given up.
    always(lambda: small.peers() == [large.id] and large.peers() == [small.id], 1)
    eventually(lambda: large.redis().dbsize() == answered + 2, 5, "what was answered has gone to the peer")

    (small_disk / "stranger").unlink()
    eventually(lambda: small.http.post("/v1/counters/b/increment", {}).status == 200, 5, "writes are taken again")
    wait_counts([small, large], 13)
    small.wait_ready()
    small.kill()
    small.start()
    assert small.count() == 13 and small.redis().dbsize() == answered + 3
    assert small.redis().exists("a") == 0


def test_no_space_as_a_failed_reservation(cluster):
    """The same by the preloaded layer: no new segment can be had, at any moment of the journal's life."""
    powered = PoweredNode(cluster, "--durability", "async")
    node = powered.node.start()
    powered.fault("full", on=True)
    answered = fill_until_refused(node)
    assert_writes_are_refused(node)
    assert node.redis().get("fill-0-" + "x" * 900) == b"1"
    powered.fault("full", on=False)
    eventually(lambda: node.http.post("/v1/counters/b/increment", {}).status == 200, 5, "writes are taken again")
    node.kill()
    powered.node.start()
    assert node.redis().dbsize() == answered + 1


@pytest.mark.parametrize("how", ["preload", "file system"])
def test_full_disk_while_an_empty_node_is_swept(cluster, how, request):
    """An empty node is sent all that another has, and its disk is full in the middle of that, for a moment in which
    more keeps coming. What could not be stored must not be claimed: it was once, and the node was short of thousands
    of counters for good, with a vector that said it had all. The other node was restarted, so that it serves from its
    keyspace and not from its recent changes."""
    names = [f"swept-{number}-{'s' * 800}" for number in range(50_000)]
    full = cluster.new("--durability", "async").start()
    count_each(full, names)
    full.stop()
    full.start()
    disk = new_narrow_disk(cluster, how, request)
    for _ in range(3):  # where the sweep is when there is room again is chance: with a hole, 6 of 8 rounds saw it
        empty = cluster.new("--durability", "async", data=disk.folder / "data", environment=disk.environment)
        sweep_over_a_full_disk(full, empty, disk, len(names))
        empty.kill()
        shutil.rmtree(disk.folder / "data")


def sweep_over_a_full_disk(full, empty, disk, count: int) -> None:
    empty.start()
    disk.fill()
    with Trickle(full) as trickle:
        assert empty.http.post("/join", {"id": full.id}).status == 200
        eventually(lambda: empty.log_lines("writes are refused"), 20, "the disk is full")
        held = empty.redis().dbsize()
        disk.free()
        eventually(lambda: empty.log_lines("writes are taken again"), 10, "there is room again")
        assert held < count, "all had come before the disk was full"
        eventually(lambda: empty.redis().dbsize() == count + 1, 20, "all has come")
    wait_counts([full, empty], full.count("trickle"), counter="trickle")
    assert full.count("trickle") == trickle.answered
    wait_digests([full, empty])
    empty.kill()
    empty.start()
    assert empty.redis().dbsize() == count + 1
    wait_digests([full, empty])


class Trickle:
    """As a context: one increment after the other, so that there is always something new to send."""

    def __init__(self, node):
        self.node, self.answered, self.over = node, 0, threading.Event()
        self.thread = threading.Thread(target=self.run, name="trickle")

    def run(self) -> None:
        client = self.node.redis()
        while not self.over.is_set():
            self.answered = int(client.incr("trickle"))
        client.close()

    def __enter__(self) -> "Trickle":
        self.thread.start()
        return self

    def __exit__(self, *_rest) -> None:
        self.over.set()
        self.thread.join(30)


class PreloadedDisk:
    """Full by order: test/preload/power.c refuses to let files grow."""

    def __init__(self, folder: Path):
        self.folder, self.faults = folder / "disk", folder / "faults"
        self.folder.mkdir()
        self.faults.mkdir()
        self.environment = {"LD_PRELOAD": str(PRELOAD), "QUIPU_POWER_DIR": str(self.folder / "data"),
                            "QUIPU_POWER_FAULTS": str(self.faults), "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def fill(self) -> None:
        (self.faults / "full").touch()

    def free(self) -> None:
        (self.faults / "full").unlink()


class SmallDisk:
    """A file system that a stranger's file fills."""

    def __init__(self, folder: Path):
        self.folder, self.environment = folder, {}

    def fill(self) -> None:
        with open(self.folder / "stranger", "wb") as stranger, contextlib.suppress(OSError):
            while stranger.write(b"\0" * 65536):
                stranger.flush()

    def free(self) -> None:
        (self.folder / "stranger").unlink()


def new_narrow_disk(cluster: Cluster, how: str, request):
    if how == "preload":
        return PreloadedDisk(cluster.folder)
    return SmallDisk(request.getfixturevalue("small_disk"))


# --- failing

@pytest.mark.parametrize("durability", ["sync", "async"])
def test_failed_fdatasync_ends_the_process_and_answers_nothing(cluster, durability):
    powered = PoweredNode(cluster, "--durability", durability)
    node = powered.node.start()
    assert node.increment(5) == 5
    pass_time(0.1)  # async: for its fdatasync
    powered.fault("eio-sync", on=True)
    client = node.new_http(5)
    if durability == "sync":
        with pytest.raises(OSError):
            client.post("/increment", {"increment_count": 100})
    else:
        with pytest.raises(OSError):
            for _ in range(10000):
                client.post("/increment", {"increment_count": 100})
    assert node.wait_end(5) == 1
    line = node.log_lines()[-1]
    assert line.level == "error" and "Input/output error" in line.text or "i/o error" in line.text, line
    assert "journal" in line.text, line
    powered.fault("eio-sync", on=False)
    node.start()
    assert node.count() >= 5


# --- small

def test_journal_stays_under_64_mib(cluster):
    """Ten minutes of increments on 1,000 counters, as far as the journal can tell: it is rewritten many times, as fast
    as this machine can, and the directory is looked at all the while."""
    node = cluster.new("--durability", "async").start()
    stop = threading.Event()
    command = "".join(f"INCRBY counter-{number} 7\r\n" for number in range(1000)).encode()
    done = [0, 0]

    def load(number: int) -> None:
        with node.connect() as connection, connection.makefile("rb") as replies:
            while not stop.is_set():
                connection.sendall(command)
                for _ in range(1000):
                    assert replies.readline()[:1] == b":"
                done[number] += 1

    threads = [threading.Thread(target=load, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    largest = 0

    def rewritten() -> bool:
        nonlocal largest
        largest = max(largest, directory_bytes(node.data))
        assert_below = largest < 64 * MIB
        if not assert_below:
            raise RuntimeError(f"the directory has {largest} bytes")
        return node.metric("quipu_snapshots_total") >= 5

    try:
        eventually(rewritten, 60, "five snapshots")
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    print(f"{sum(done) * 1000} increments, {node.metric('quipu_journal_bytes_total') / MIB:.0f} MiB written, "
          f"largest {largest / MIB:.1f} MiB, {node.metric('quipu_snapshots_total'):.0f} snapshots")
    expected = [7 * sum(done)] * 1000
    node.kill()
    node.start()
    assert [int(value) for value in node.redis().mget([f"counter-{number}" for number in range(1000)])] == expected
    assert directory_bytes(node.data) < 64 * MIB


def directory_bytes(folder: Path) -> int:
    """As du counts, and at least the lengths: files may go while we look."""
    total = 0
    for entry in os.scandir(folder):
        try:
            about = entry.stat()
        except FileNotFoundError:
            continue
        total += max(about.st_size, about.st_blocks * 512)
    return total


# --- damaged

def last_segment(folder: Path) -> Path:
    return sorted(folder.glob("journal-*"))[-1]


def used_bytes(path: Path) -> int:
    return len(path.read_bytes().rstrip(b"\0"))


def test_torn_tail_is_cut_at_any_byte(cluster):
    """An end of the last segment that never got to the disk: zeros in its place, from any byte on. The sum is that of
    some prefix of the increments, and a later cut never shows less."""
    node = cluster.new().start()
    before = used_bytes(last_segment(node.data))
    for _ in range(12):
        node.increment(1)
    node.kill()
    original = read_directory(node.data)
    segment = last_segment(node.data)
    used = used_bytes(segment)
    sums = []
    for cut in [*range(before + 1, used, max(1, (used - before) // 14)), used]:
        restore(node.data, original)
        with open(segment, "r+b") as file:
            file.seek(cut)
            file.write(bytes(used - cut + 4096))
        node.start()
        sums.append(node.count())
        # What it shows it counts on from, and keeps.
        assert node.increment(100) == sums[-1] + 100
        node.kill()
        node.start()
        assert node.count() == sums[-1] + 100
        node.kill()
    assert sums == sorted(sums) and sums[0] < 3 and sums[-1] == 12, sums


def test_last_segment_cut_short(cluster):
    node = cluster.new().start()
    for _ in range(5):
        node.increment(1)
    node.kill()
    segment = last_segment(node.data)
    os.truncate(segment, used_bytes(segment))
    node.start()
    assert node.count() == 5
    node.kill()


def restore(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def refused_start(node) -> str:
    """Starts a node that must end with status 1 and one line, and returns that line."""
    before = len(node.log_text())
    node.start(wait=False)
    status = node.wait_end(10)
    lines = node.log_text()[before:].splitlines()
    assert status == 1 and len(lines) == 1, (status, lines)
    return lines[0]


def test_damaged_middle_is_refused_and_left_alone(cluster):
    """What had been synced is not readable: nothing is guessed, nothing is changed, one line says where."""
    node = cluster.new().start()
    first = used_bytes(last_segment(node.data))
    for _ in range(40):
        node.increment(1)
    node.kill()
    segment = last_segment(node.data)
    used = used_bytes(segment)
    original = read_directory(node.data)
    for at in (first + 5, (first + used) // 2):
        restore(node.data, original)
        with open(segment, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0x40]))
        damaged = read_directory(node.data)
        line = refused_start(node)
        assert segment.name in line and "damaged" in line and "nothing was changed" in line, line
        assert read_directory(node.data) == damaged
    restore(node.data, original)
    node.start()
    assert node.count() == 40


def test_missing_segment_is_refused(cluster):
    """A file that went away in the middle of the journal is damage as well."""
    node = cluster.new("--durability", "async").start()
    segments = lambda: sorted(node.data.glob("journal-*"))
    command = "".join(f"INCR counter-{number}-{'y' * 200}\r\n" for number in range(2000)).encode()
    with node.connect() as connection, connection.makefile("rb") as replies:
        def two() -> bool:
            connection.sendall(command)
            for _ in range(2000):
                replies.readline()
            return len(segments()) >= 2 and not list(node.data.glob("snapshot.tmp"))
        eventually(two, 30)
    node.kill()
    gone = segments()[0]
    if len(segments()) < 2:
        pytest.skip("a snapshot replaced the segments before the kill")
    gone.unlink()
    before = read_directory(node.data)
    line = refused_start(node)
    assert "journal-" in line and "nothing was changed" in line, line
    assert read_directory(node.data) == before
