# SPDX-License-Identifier: Apache-2.0
"""Everything at once: clients that count over both protocols while nodes are killed, frozen and all restarted.

A client that got no answer does not ask again: that operation may have counted or not, and is the only thing that the
end may be unsure about. The test counts what it did and fails when that was too little to mean anything.
"""
import json
import random
import socket
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import pytest

from cluster import Cluster, Node, wait_digests, wait_mesh
from http_client import Http, NoAnswer
from waiting import SLOW, eventually, pass_time

OPERATIONS_MIN, KILLS_MIN, FREEZES_MIN, RESTARTS_MIN = 50_000, 20, 5, 3
SHARED = [f"shared-{number}" for number in range(8)]
PEER_TIMEOUT_S = 0.6
CLIENT_TIMEOUT_S = 3 * SLOW


@dataclass
class Ledger:
    """What one client did: amounts for the shared counters; for a counter of a single operation, how it went."""
    answered: Counter = field(default_factory=Counter)
    unknown: Counter = field(default_factory=Counter)
    single: dict[str, str] = field(default_factory=dict)
    operations: int = 0
    lost: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, counter: str, amount: int, how: str) -> None:
        if counter not in SHARED:
            self.single[counter] = how
        elif how == "answered":
            self.answered[counter] += amount
        elif how == "unknown":
            self.unknown[counter] += amount
        self.operations += how == "answered"
        self.lost += how == "unknown"
        self.refused += how == "refused"


class Client(threading.Thread):
    """Counts on any node until told to stop. Half of its operations have a counter of their own."""

    def __init__(self, number: int, nodes: list[Node], stop: threading.Event):
        super().__init__(name=f"client-{number}")
        self.number, self.nodes, self.stop_event = number, nodes, stop
        self.random = random.Random(number)
        self.ledger = Ledger()
        self.made = 0

    def run(self) -> None:
        while not self.stop_event.is_set():
            node = self.random.choice(self.nodes)
            try:
                self.visit(node)
            except (OSError, NoAnswer):
                pass_time(0.02)
            except Exception as error:  # a thread's exception would be lost
                self.ledger.wrong.append(f"{self.name}: {error!r}")
                return

    def operation(self) -> tuple[str, int]:
        self.made += 1
        if self.random.random() < 0.5:
            return f"once-{self.number}-{self.made}", 1
        return self.random.choice(SHARED), self.random.randrange(1, 6)

    def visit(self, node: Node) -> None:
        raise NotImplementedError


class RespClient(Client):
    def visit(self, node: Node) -> None:
        with socket.create_connection((node.host, node.port), CLIENT_TIMEOUT_S) as connection:
            with connection.makefile("rb") as replies:
                for _ in range(self.random.randrange(1, 40)):
                    if self.stop_event.is_set():
                        return
                    self.batch(connection, replies, self.random.choice((1, 8, 64, 200)))

    def batch(self, connection: socket.socket, replies, depth: int) -> None:
        operations = deque(self.operation() for _ in range(depth))
        command = "".join(f"INCRBY {counter} {amount}\r\n" for counter, amount in operations)
        try:
            connection.sendall(command.encode())
            while operations:
                line = replies.readline()
                if not line.endswith(b"\r\n"):
                    raise NoAnswer("the connection ended")
                counter, amount = operations.popleft()
                how = "answered" if line[:1] == b":" else "refused"
                self.ledger.note(counter, amount, how)
                if how == "refused" and b"shutting down" not in line:
                    self.ledger.wrong.append(f"{counter}: {line!r}")
                if counter not in SHARED and how == "answered" and line != b":1\r\n":
                    self.ledger.wrong.append(f"{counter} was answered {line!r}")
        finally:
            for counter, amount in operations:
                self.ledger.note(counter, amount, "unknown")


class HttpClient(Client):
    def visit(self, node: Node) -> None:
        http = Http(node.host, node.port, CLIENT_TIMEOUT_S)
        try:
            http.get("/ping")  # from here on, a failure means that an increment may have been carried out
            for _ in range(self.random.randrange(1, 100)):
                if self.stop_event.is_set():
                    return
                self.one(http)
        finally:
            http.close()

    def one(self, http: Http) -> None:
        operations = [self.operation()]
        shape = self.random.randrange(3)
        if shape == 2:
            operations += [self.operation() for _ in range(9)]
        how = "unknown"
        try:
            answer = self.ask(http, shape, operations)
            how = {200: "answered", 503: "refused"}.get(answer.status, "wrong")
            if how == "wrong":
                self.ledger.wrong.append(f"{answer}")
        finally:
            for counter, amount in operations:
                self.ledger.note(counter, amount, how)

    @staticmethod
    def ask(http: Http, shape: int, operations: list[tuple[str, int]]):
        counter, amount = operations[0]
        if shape == 0:
            return http.post("/increment", {"increment_count": amount, "counter": counter})
        if shape == 1:
            return http.post(f"/v1/counters/{counter}/increment", {"delta": amount})
        return http.post("/v1/increments", json.dumps([{"name": name, "delta": delta} for name, delta in operations]))


class Watcher(threading.Thread):
    """Reads the shared counters of each node again and again: what a node has shown it never takes back."""

    def __init__(self, nodes: list[Node], stop: threading.Event):
        super().__init__(name="watcher")
        self.nodes, self.stop_event = nodes, stop
        self.seen = {node.id: [0] * len(SHARED) for node in nodes}
        self.reads = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        command = ("MGET " + " ".join(SHARED) + "\r\n").encode()
        while not self.stop_event.is_set():
            for node in self.nodes:
                try:
                    self.read(node, command)
                except OSError:
                    pass
            pass_time(0.01)

    def read(self, node: Node, command: bytes) -> None:
        with socket.create_connection((node.host, node.port), 0.3) as connection, connection.makefile("rb") as replies:
            connection.sendall(command)
            if replies.readline() != f"*{len(SHARED)}\r\n".encode():
                return
            values = []
            for _ in SHARED:
                head = replies.readline()
                values.append(0 if head == b"$-1\r\n" else int(replies.readline()))
        for counter, before, value in zip(SHARED, self.seen[node.id], values):
            if value < before:
                self.wrong.append(f"{node.id} showed {value} for {counter} after {before}")
        self.seen[node.id] = values
        self.reads += 1


class Monkey:
    """Breaks things, one at a time or several, and counts what it broke."""

    def __init__(self, nodes: list[Node], seed: int):
        self.nodes, self.random = nodes, random.Random(seed)
        self.done: Counter = Counter()

    def kill(self) -> None:
        victims = self.random.sample(self.nodes, self.random.choice((1, 1, 1, 2)))
        for node in victims:
            node.kill()
            self.done["kills"] += 1
        pass_time(self.random.choice((0, 0.05, 0.2, 0.8)))  # at times long enough to be taken off the lists
        for node in victims:
            node.start(wait=False)
        pass_time(self.random.uniform(0, 0.4))  # the next may come while they are still starting

    def freeze(self) -> None:
        node = self.random.choice(self.nodes)
        node.freeze()
        pass_time(PEER_TIMEOUT_S + 0.3)
        node.thaw()
        self.done["freezes"] += 1
        pass_time(self.random.uniform(0, 0.3))

    def restart_all(self) -> None:
        politely = self.done["restarts"] % 2 == 1
        for node in self.nodes:
            node.may_be_dead = True
            node.process.signal(15 if politely else 9)
        for node in self.nodes:
            node.process.wait(20)
        for node in self.nodes:
            node.start(wait=False)
        self.done["restarts"] += 1
        self.done["polite restarts" if politely else "kills of all"] += 1
        pass_time(self.random.uniform(0.3, 0.8))

    def rampage(self) -> None:
        deeds = [self.kill] * KILLS_MIN + [self.freeze] * FREEZES_MIN + [self.restart_all] * RESTARTS_MIN
        self.random.shuffle(deeds)
        for deed in deeds:
            deed()


def final_values(node: Node, names: list[str]) -> list[int]:
    values: list[int] = []
    client = node.redis(socket_timeout=30)
    for start in range(0, len(names), 2000):
        values += [int(value or 0) for value in client.mget(names[start:start + 2000])]
    client.close()
    return values


def check_books(nodes: list[Node], ledgers: list[Ledger]) -> None:
    answered = sum((ledger.answered for ledger in ledgers), Counter())
    unknown = sum((ledger.unknown for ledger in ledgers), Counter())
    for counter, value in zip(SHARED, final_values(nodes[0], SHARED)):
        assert answered[counter] <= value <= answered[counter] + unknown[counter], (
            f"{counter} is {value}; answered {answered[counter]}, unknown {unknown[counter]}")
    single = {name: how for ledger in ledgers for name, how in ledger.single.items()}
    allowed = {"answered": (1,), "unknown": (0, 1), "refused": (0,)}
    names = list(single)
    wrong = [f"{name} is {value} but was {single[name]}" for name, value in zip(names, final_values(nodes[-1], names))
             if value not in allowed[single[name]]]
    assert wrong == [], f"{len(wrong)} of {len(names)}: {wrong[:10]}"


def stop_all(threads: list[threading.Thread], stop: threading.Event) -> None:
    stop.set()
    for thread in threads:
        thread.join(30 * SLOW)
        assert not thread.is_alive(), f"{thread.name} hangs"


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_nothing_answered_is_lost_or_counted_twice(cluster, durability):
    nodes = cluster.start(3, "--durability", durability, *Cluster.QUICK)
    stop = threading.Event()
    clients: list[Client] = [RespClient(number, nodes, stop) for number in range(4)]
    clients += [HttpClient(number, nodes, stop) for number in range(4, 8)]
    watcher = Watcher(nodes, stop)
    threads = [*clients, watcher]
    monkey = Monkey(nodes, seed=1 if durability == "sync" else 2)
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        monkey.rampage()
        eventually(lambda: sum(client.ledger.operations for client in clients) >= OPERATIONS_MIN, 60, "enough was done")
    finally:
        stop_all(threads, stop)
    ledgers = [client.ledger for client in clients]
    operations, lost = sum(ledger.operations for ledger in ledgers), sum(ledger.lost for ledger in ledgers)
    print(f"{durability}: {operations} operations answered, {lost} not, {sum(l.refused for l in ledgers)} refused; "
          f"{dict(monkey.done)}; {watcher.reads} reads; {time.monotonic() - began:.1f} s")
    assert [wrong for ledger in ledgers for wrong in ledger.wrong] == []
    assert watcher.wrong == [] and watcher.reads > 100
    over_http = sum(client.ledger.operations for client in clients if isinstance(client, HttpClient))
    assert operations >= OPERATIONS_MIN and over_http >= OPERATIONS_MIN / 50
    assert monkey.done["kills"] >= KILLS_MIN and monkey.done["freezes"] >= FREEZES_MIN
    assert monkey.done["restarts"] >= RESTARTS_MIN and lost > 0

    for node in nodes:
        node.wait_live()
    wait_mesh(nodes, within=10)
    wait_digests(nodes, within=20)
    check_books(nodes, ledgers)
