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
    node.start()  # says that something may have stood there
    assert node.count() == 5 and node.metric("quipu_journal_holes_total") == 1
    node.kill()


def restore(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def flip_bit(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x40]))


def replica_of(node) -> str:
    return node.http.get("/v1/cluster").json["replica"]


def assert_said_loudly(node, file: str, renewed: bool = True) -> None:
    """One line for the place, one for what follows from it; and the number is in the metrics."""
    assert [line for line in node.log_lines("damaged: " + file) if line.level == "error"], node.log_tail()
    told = [line for line in node.log_lines("the journal is damaged in") if line.level == "error"]
    assert told and (not renewed or replica_of(node) in told[-1].text), node.log_tail()
    assert node.metric("quipu_journal_holes_total") >= 1


def expect_kept_aside(node, name: str, content: bytes) -> None:
    """Once a snapshot has replaced it, the damaged file stays, under another name and to the byte; a restart then says
    nothing any more."""
    aside = node.data / f"damaged-{name}"
    eventually(lambda: aside.exists() and not (node.data / name).exists(), 20, "the damaged file is set aside")
    assert aside.read_bytes() == content
    node.kill()
    before = len(node.log_text())
    node.start()
    assert " error " not in node.log_text()[before:]
    assert aside.read_bytes() == content


def test_damaged_middle_of_a_lone_node_costs_what_only_it_had(cluster):
    """Each increment is of a counter of its own, so the one whose block is damaged is gone, and nothing else is."""
    node = cluster.new().start()
    first = used_bytes(last_segment(node.data))
    for number in range(40):
        node.increment(number + 1, f"c{number}")
    replica = replica_of(node)
    node.kill()
    segment = last_segment(node.data)
    at = (first + used_bytes(segment)) // 2
    flip_bit(segment, at)
    damaged = segment.read_bytes()
    node.start()
    assert_said_loudly(node, segment.name)
    assert replica_of(node) != replica
    values = [node.count(f"c{number}") for number in range(40)]
    lost = [number for number in range(40) if values[number] != number + 1]
    assert len(lost) == 1 and values[lost[0]] == 0, values
    assert node.increment(100, "c0") == 101
    expect_kept_aside(node, segment.name, damaged)
    assert [node.count(f"c{number}") for number in range(40)] == [101, *values[1:]]


def three_with_history(cluster) -> tuple[list, dict[str, int]]:
    """Three nodes that all counted; the first goes on alone for a while and is then killed. Returns the totals too."""
    nodes = cluster.start(3, *Cluster.QUICK)
    totals: dict[str, int] = {}

    def count(node, name: str, number: int) -> None:
        node.increment(number, name)
        totals[name] = totals.get(name, 0) + number

    for number in range(60):
        count(nodes[number % 3], f"c{number % 20}", number + 1)
    wait_digests(nodes)
    nodes[1].kill()
    nodes[2].kill()
    for number in range(30):
        count(nodes[0], f"c{number}", 1000)
    nodes[0].kill()
    return nodes, totals


def expect_totals(nodes, totals: dict[str, int]) -> None:
    wait_mesh(nodes)
    for name, total in totals.items():
        wait_counts(nodes, total, counter=name, within=10)
    wait_digests(nodes)


def test_flipped_bit_in_one_of_three(cluster):
    """In what all of them have: nothing is lost, and what only the damaged disk had counts as well."""
    nodes, totals = three_with_history(cluster)
    segment = last_segment(nodes[0].data)
    flip_bit(segment, used_bytes(segment) // 3)
    damaged = segment.read_bytes()
    nodes[0].start()
    assert_said_loudly(nodes[0], segment.name)
    for name, total in totals.items():
        assert nodes[0].count(name) <= total
    nodes[1].start()
    nodes[2].start()
    expect_totals(nodes, totals)
    expect_kept_aside(nodes[0], segment.name, damaged)
    expect_totals(nodes, totals)


def fill_until(node, condition, within: float = 30) -> int:
    """Increments of 1 to the same 2,000 counters until the condition holds; how many rounds were answered."""
    command = "".join(f"INCR counter-{number}-{'y' * 200}\r\n" for number in range(2000)).encode()
    rounds = 0
    with node.connect() as connection, connection.makefile("rb") as replies:
        def more() -> bool:
            nonlocal rounds
            connection.sendall(command)
            for _ in range(2000):
                assert replies.readline()[:1] == b":"
            rounds += 1
            return condition()
        eventually(more, within)
    return rounds


def expect_rounds(nodes, rounds: int) -> None:
    names = [f"counter-{number}-{'y' * 200}" for number in range(2000)]

    def equal() -> bool:
        for node in nodes:
            values = {int(value or 0) for value in node.redis().mget(names)}
            assert values == {rounds}, f"{node.id}: {values}, not {rounds}"
        return True
    eventually(equal, 20)


def test_zeroed_sector_in_the_snapshot_of_one_of_two(cluster):
    nodes = cluster.start(2, *Cluster.QUICK)
    snapshots = lambda: sorted(nodes[0].data.glob("snapshot-*"))
    rounds = fill_until(nodes[0], lambda: nodes[0].metric("quipu_snapshots_total") >= 1)
    wait_digests(nodes)
    nodes[0].kill()
    snapshot = snapshots()[-1]
    with open(snapshot, "r+b") as file:
        file.seek(snapshot.stat().st_size // 2 // 512 * 512)
        file.write(bytes(512))
    damaged = snapshot.read_bytes()
    nodes[0].start()
    assert_said_loudly(nodes[0], snapshot.name)
    wait_mesh(nodes)
    expect_rounds(nodes, rounds)
    expect_kept_aside(nodes[0], snapshot.name, damaged)
    wait_mesh(nodes)
    expect_rounds(nodes, rounds)
    wait_digests(nodes)


def segments_of(node) -> list[Path]:
    return sorted(node.data.glob("journal-*"))


def two_with_segments(cluster, count: int) -> tuple[list, int]:
    """The first of two nodes is killed with so many segments and no snapshot under way; how many rounds it counted."""
    nodes = cluster.start(2, *Cluster.QUICK, "--durability", "async")
    rounds = fill_until(nodes[0], lambda: len(segments_of(nodes[0])) >= count)
    wait_digests(nodes)
    nodes[0].kill()
    if len(segments_of(nodes[0])) < 2:
        pytest.skip("a snapshot replaced the segments before the kill")
    return nodes, rounds


def test_missing_segment_of_one_of_two(cluster):
    nodes, rounds = two_with_segments(cluster, 2)
    segments_of(nodes[0])[0].unlink()
    nodes[0].start()
    assert_said_loudly(nodes[0], "")
    wait_mesh(nodes)
    expect_rounds(nodes, rounds)
    wait_digests(nodes)


def test_truncated_segment_of_one_of_two(cluster):
    nodes, rounds = two_with_segments(cluster, 2)
    segment = segments_of(nodes[0])[-1]
    os.truncate(segment, used_bytes(segment) // 2)
    nodes[0].start()
    assert_said_loudly(nodes[0], segment.name)
    wait_mesh(nodes)
    expect_rounds(nodes, rounds)
    assert nodes[0].increment(5) == 5
    wait_counts(nodes, 5)
    wait_digests(nodes)
