# SPDX-License-Identifier: Apache-2.0
"""Each system call of the journal fails in turn, in a real server, and then the power goes: what was answered is there.

The simulator does this to the core, with a disk of its own; here it is done to the files that `quipu serve` writes, by
test/preload/power.c. For each phase of a journal's life the first call fails, in the next life the second, and so on
until a life is over before its call came."""
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from books import count_each
from cluster import QUIPU, Cluster, Node, wait_counts, wait_mesh
from power import PoweredNode, read_directory
from waiting import always, eventually

WORKERS = 3
CALLS = {"create", "reserve", "write", "sync", "rename", "unlink"}
CALLS_MAX = 300  # of a phase: above it something goes round and round
SNAPSHOT_AT_BYTES = 16 << 20
LONG_NAMES = [f"long-{number}-{'l' * 980}" for number in range(100)]


class Tally:
    """What clients sent and were told. Answers come in order and are sums: the last one is the least that must be
    there."""

    def __init__(self, node: Node, shown: Counter):
        self.node, self.least, self.most = node, Counter(shown), Counter(shown)

    def batch(self, names: list[str]) -> bool:
        """One increment of each, pipelined. False: not all were answered."""
        self.most.update(names)
        try:
            with socket.create_connection((self.node.host, self.node.port), 10) as connection:
                connection.sendall("".join(f"INCR {name}\r\n" for name in names).encode())
                with connection.makefile("rb") as replies:
                    return all([self.take(name, replies.readline()) for name in names])
        except OSError:
            return False

    def take(self, name: str, line: bytes) -> bool:
        if line.startswith(b"-"):
            assert b"space" in line, line
            self.most[name] -= 1  # known not to have counted
        if not line.startswith(b":"):
            return False
        self.least[name] = int(line[1:])
        return True

    def check(self) -> None:
        client = self.node.redis()
        names = sorted(self.most)
        shown = [int(value or 0) for value in client.mget(names)]
        client.close()
        wrong = [f"{name[:20]} is {value}, not in {self.least[name]}..{self.most[name]}"
                 for name, value in zip(names, shown) if not self.least[name] <= value <= self.most[name]]
        assert wrong == [], wrong[:5]


class Rig:
    """A node with many lives, beside those of other threads."""

    def __init__(self, folder: Path, durability: str):
        folder.mkdir()
        self.strict = durability == "sync"
        self.cluster = Cluster(folder)
        self.cluster.name = "rigs"  # files go from one to the other; they have no way to meet
        self.powered = PoweredNode(self.cluster, "--durability", durability)
        self.node = self.powered.node

    def start(self) -> bool:
        """False: it ended before it listened."""
        known = len(self.node.log_text())
        self.node.start(wait=False)
        self.node.may_be_dead = True
        eventually(lambda: not self.node.alive or "listening on" in self.node.log_text()[known:], 10, "it starts")
        return self.node.alive

    def assert_ended_well(self) -> None:
        assert self.node.wait_end(1) == 1, self.node.log_tail(5)
        last = self.node.log_lines()[-1]
        assert last.level == "error", last


class Phase(NamedTuple):
    """Part of a journal's life: the files it begins with, what they show, and what is counted then."""
    files: dict[str, bytes]
    shown: Counter
    fails_at_start: bool
    batches: list[list[str]]
    snapshots: int  # that it sees


class Fault(NamedTuple):
    kind: str
    call: str
    nth: int


COUNT = Fault("COUNT", "any", 0)


def live(rig: Rig, phase: Phase, fault: Fault) -> Counter:
    """A life in which a call fails, and one in which all must be there. Returns the calls that did."""
    node, powered = rig.node, rig.powered
    powered.next_life(phase.files)
    tally = Tally(node, phase.shown)
    if phase.fails_at_start:
        powered.fail_nth(*fault)
    if rig.start():
        if not phase.fails_at_start:
            powered.fail_nth(*fault)
        all(tally.batch(batch) for batch in phase.batches)
        # It did without that call or tried it again, and takes writes; or it has ended.
        eventually(lambda: not node.alive or tally.batch(["after"]), 10, f"writes are taken after {fault}")
        has_come = lambda: fault is not COUNT and powered.struck()
        eventually(lambda: not node.alive or has_come() or
                   node.metric("quipu_snapshots_total") == phase.snapshots, 10, f"the end of the phase, or {fault}")
    struck = powered.struck()
    if not node.alive:
        rig.assert_ended_well()
    powered.mend()
    if rig.strict:
        powered.lose_power(None)
    else:
        node.kill()
    assert rig.start(), f"after {fault} it does not start again:\n{node.log_tail(3)}"
    tally.check()
    assert tally.batch(["alive"])
    node.kill()
    return struck


def assert_all_survived(rigs: list[Rig], phase: Phase, kind: str) -> None:
    """First a life without a fault, to count the calls; then one for each of them, shared out among the rigs."""
    calls = live(rigs[0], phase, COUNT)
    assert set(calls) == CALLS and calls.total() < CALLS_MAX, calls
    faults = [Fault(kind, call, nth) for call, count in calls.items() for nth in range(1, count + 1)
              if kind != "SHORT" or call == "write"]
    came: list[int] = []
    work, lock = iter(faults), threading.Lock()

    def worker(rig: Rig) -> None:
        while True:
            with lock:
                fault = next(work, None)
            if fault is None:
                return
            came.append(live(rig, phase, fault).total())

    with ThreadPoolExecutor(len(rigs)) as pool:
        list(pool.map(worker, rigs))
    print(f"{kind}: {sum(came)} of {len(faults)} lives had their fault; {dict(calls)}")
    assert sum(came) > 0.8 * len(faults), "lives are not alike"


@pytest.fixture
def rigs(tmp_path, request):
    assert QUIPU.exists(), f"no program at {QUIPU}; run ./dev build"
    made = [Rig(tmp_path / f"rig-{number}", request.param) for number in range(WORKERS)]
    yield made
    for rig in made:
        rig.cluster.discard()


def first_start(_rig: Rig) -> Phase:
    return Phase({}, Counter(), True, [["a"]] * 3, 0)


def next_start(rig: Rig) -> Phase:
    """The second one after a crash: there is a journal, and a spare segment of the life before."""
    assert rig.start()
    names = [f"old-{number}" for number in range(50)]
    count_each(rig.node, names)
    rig.node.kill()
    return Phase(read_directory(rig.node.data), Counter(names), True, [["old-1", "b"]] * 3, 0)


def snapshot(rig: Rig) -> Phase:
    """The journal is about to be long enough for a snapshot: a new segment, the snapshot, the old ones removed."""
    assert rig.start()
    rounds = 0
    while rig.node.metric("quipu_journal_disk_bytes") < SNAPSHOT_AT_BYTES - (150 << 10):
        count_each(rig.node, LONG_NAMES)
        rounds += 1
    assert rig.node.metric("quipu_snapshots_total") == 0
    rig.node.kill()
    shown = Counter({name: rounds for name in LONG_NAMES})
    return Phase(read_directory(rig.node.data), shown, False, [LONG_NAMES] * 4, 1)


@pytest.mark.parametrize("rigs", ["sync"], indirect=True)
@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "SHORT"])
@pytest.mark.parametrize("phase", [first_start, next_start, snapshot], ids=lambda phase: phase.__name__)
def test_power_goes_after_a_failed_call(rigs, phase, kind):
    """With the power goes all that was not synced. A node that cannot go on ends with status 1 and says why; one that
    was only short of room waits and goes on."""
    assert_all_survived(rigs, phase(rigs[0]), kind)


@pytest.mark.parametrize("rigs", ["async"], indirect=True)
@pytest.mark.parametrize("kind", ["EIO", "ENOSPC"])
def test_process_is_killed_after_a_failed_call(rigs, kind):
    assert_all_survived(rigs, snapshot(rigs[0]), kind)


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_no_room_for_a_write_into_what_was_reserved(cluster, durability):
    """Some file systems want new room for old places. The increment that meets it gets no answer before there is some,
    others are refused at once; reads, the other node and the link go on. Then the one that waited is answered."""
    powered = PoweredNode(cluster, "--durability", durability)
    node = powered.node.start()
    other = cluster.new(peers=[node]).start()
    wait_mesh([node, other])
    node.increment(5)
    wait_counts([node, other], 5)
    powered.fail_nth("ENOSPC+", "write", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.new_http(30).post, "/increment", {"increment_count": 100})
        eventually(lambda: node.log_lines("writes are refused"), 5)
        assert node.http.post("/increment", {"increment_count": 1000}).status == 507
        assert node.http.get("/readyz").status == 503 and node.http.get("/livez").status == 200
        assert other.increment(10_000) == 10_005
        always(lambda: not waiting.done() and node.peers() == [other.id] and other.peers() == [node.id], 1)
        assert other.count() == 10_005, "what is not durable has left the node"
        powered.mend()
        answer = waiting.result(10)
    assert answer.status == 200 and answer.json["count"] in (105, 10_105), answer
    wait_counts([node, other], 10_105)
    node.wait_ready()
    if durability == "sync":
        powered.lose_power(None)
    else:
        node.kill()
    node.start()
    assert node.count() == 10_105
    assert node.increment(1) == 10_106
    wait_counts([node, other], 10_106)
