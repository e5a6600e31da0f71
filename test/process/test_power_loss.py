# SPDX-License-Identifier: Apache-2.0
"""The machine loses power, again and again: under `sync` every answered increment is there afterwards.

The second test takes fdatasync away and shows that the first one would notice."""
import random
import socket
import threading

import pytest

from power import PoweredNode
from waiting import pass_time


class Load(threading.Thread):
    """One connection that counts on counters of its own, a few or many to a command, until the power goes. Answers
    come in order, so what is answered last for a counter is what must be there."""

    def __init__(self, node, number: int, seed: int, sums: dict[str, int]):
        super().__init__(name=f"load-{number}")
        self.node, self.number, self.random = node, number, random.Random(seed)
        self.sums = sums  # of each counter, what was answered last, or seen after a restart
        self.sent: dict[str, int] = {}
        self.answers = 0

    def run(self) -> None:
        try:
            with socket.create_connection((self.node.host, self.node.port), 5) as connection:
                with connection.makefile("rb") as replies:
                    while self.batch(connection, replies):
                        pass
        except OSError:
            pass

    def batch(self, connection: socket.socket, replies) -> bool:
        count, width = self.random.choice(((1, 1), (20, 3), (400, 400)))
        names = [f"p{self.number}-{self.random.randrange(width)}" for _ in range(count)]
        for name in names:
            self.sent[name] = self.sent.get(name, 0) + 1
        connection.sendall("".join(f"INCR {name}\r\n" for name in names).encode())
        for name in names:
            line = replies.readline()
            if not line.endswith(b"\r\n"):
                return False
            assert line[:1] == b":", line
            self.sums[name] = int(line[1:])
            self.answers += 1
        return True


def check(node, sums: dict[str, int], sent: dict[str, int]) -> list[str]:
    """What is missing or too much. Takes over what is seen, since unanswered increments may have counted."""
    wrong = []
    names = sorted({*sums, *sent})
    client = node.redis()
    for name, value in zip(names, client.mget(names) if names else []):
        seen, least = int(value or 0), sums.get(name, 0)
        most = sums.get(name, 0) + sent.get(name, 0)
        if not least <= seen <= most:
            wrong.append(f"{name}: {seen} is not in {least}..{most}")
        sums[name] = seen
    client.close()
    return wrong


class Machine:
    """Rounds of load and power loss, and the books over them."""

    def __init__(self, powered: PoweredNode, seed: int):
        self.powered, self.random = powered, random.Random(seed)
        self.sums: list[dict[str, int]] = [{} for _ in range(3)]
        self.answers = self.syncs = self.writes = 0

    def round(self, seed, while_starting: bool = False) -> list[str]:
        node = self.powered.node.start(wait=not while_starting)
        loads: list[Load] = []
        if not while_starting:
            before = [dict(sums) for sums in self.sums]
            loads = [Load(node, number, self.random.randrange(10 ** 9), sums) for number, sums in enumerate(self.sums)]
            for load in loads:
                load.start()
        pass_time(self.random.uniform(0, 0.08 if while_starting else 0.25))
        disk = self.powered.lose_power(seed)
        for load in loads:
            load.join(10)
            assert not load.is_alive()
        self.answers += sum(load.answers for load in loads)
        self.syncs += disk.syncs
        self.writes += disk.writes
        if while_starting:
            return []
        node.start()
        wrong = []
        for load, sums, old in zip(loads, self.sums, before):
            most = {name: old.get(name, 0) + count for name, count in load.sent.items()}
            room = {name: count - sums.get(name, 0) for name, count in most.items()}
            wrong += check(node, sums, room)
        node.kill()
        self.powered.lose_power(None)
        return wrong


def test_every_answered_increment_survives(cluster):
    """Strict machines and seeded ones in turn; at times the power goes again during the recovery."""
    machine = Machine(PoweredNode(cluster), seed=7)
    for number in range(24):
        wrong = machine.round(None if number % 2 else number)
        assert wrong == [], f"round {number}: {wrong[:5]}"
        if number % 3 == 0:
            machine.round(number, while_starting=True)
    print(f"{machine.answers} answers, {machine.writes} writes, {machine.syncs} syncs")
    assert machine.answers > 5000 and machine.writes > 200 and machine.syncs > 200


def test_the_test_above_fails_without_fdatasync(cluster):
    powered = PoweredNode(cluster)
    machine = Machine(powered, seed=8)
    assert machine.round(None) == []
    powered.fault("no-sync", on=True)
    wrong = []
    for number in range(5):
        wrong += machine.round(None)
    assert wrong != [], f"{machine.answers} answers and no fdatasync, but nothing was lost"


@pytest.mark.parametrize("seed", [None, 1, 2, 3, 4, 5, 6])
def test_async_keeps_what_was_answered_a_moment_before(cluster, seed):
    """`async` promises fdatasync within 10 ms; what is younger may be lost, but the node always starts by itself."""
    powered = PoweredNode(cluster, "--durability", "async")
    node = powered.node.start()
    client = node.redis()
    for _ in range(200):
        client.incr("old")
    pass_time(0.1)  # many times the 10 ms
    sums: dict[str, int] = {}
    load = Load(node, 0, 1, sums)
    load.start()
    pass_time(0.2)
    powered.lose_power(seed)
    load.join(10)
    node.start()
    client = node.redis()
    assert int(client.get("old")) == 200
    for name, count in load.sent.items():
        assert int(client.get(name) or 0) <= count
    client.close()
