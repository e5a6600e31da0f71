# SPDX-License-Identifier: Apache-2.0
"""Partitions between real hosts: each node in a network namespace of its own, cables between them pulled and put back.

The hosts hang on a bridge that is in one more namespace, so the machine's own network is not touched. Requests are sent
by small helper processes inside the namespaces, since nothing outside can reach these addresses.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import time

import pytest

from cluster import Node, clean_environment
from http_client import NoAnswer
from waiting import SLOW, eventually

PORT = 8000
# Speaks a line of JSON for a line of JSON: [method, path, body] to [status, body], or null for no answer.
HELPER = r"""
import http.client, json, sys
for line in sys.stdin:
    method, path, body = json.loads(line)
    connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        answer = [response.status, response.read().decode()]
    except (OSError, http.client.HTTPException):
        answer = None
    connection.close()
    print(json.dumps(answer), flush=True)
"""


def ip(*words: str) -> None:
    run = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {run.stderr.strip()}")


class Inside:
    """Takes the place of a node's Http: the same calls, made from within its namespace."""

    def __init__(self, namespace: str, host: str, port: int):
        self.popen = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", HELPER, host, str(port)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=clean_environment())

    def __call__(self, method, path, body=None):
        self.popen.stdin.write(json.dumps([method, path, json.dumps(body) if body is not None else None]) + "\n")
        self.popen.stdin.flush()
        answer = json.loads(self.popen.stdout.readline())
        if answer is None:
            raise NoAnswer(f"{method} {path}")
        return Reply(*answer)

    def get(self, path):
        return self("GET", path)

    def post(self, path, body):
        return self("POST", path, body)

    def close(self):
        pass

    def end(self):
        self.popen.stdin.close()
        self.popen.stdout.close()
        self.popen.wait(10)


class Reply:
    def __init__(self, status: int, text: str):
        self.status, self.body = status, text.encode()

    @property
    def json(self):
        return json.loads(self.body)


class Network:
    """Hosts on a bridge. Names are unique; what was made is removed at the end."""

    def __init__(self):
        self.tag = f"q{os.getpid()}x{random.SystemRandom().randrange(1000)}"
        self.subnet = f"10.77.{random.SystemRandom().randrange(1, 255)}"
        self.namespaces: list[str] = []
        self.bridge = self._namespace("b")
        ip("-n", self.bridge, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.bridge, "link", "set", "bridge", "up")

    def _namespace(self, name: str) -> str:
        full = self.tag + name
        ip("netns", "add", full)
        self.namespaces.append(full)
        ip("-n", full, "link", "set", "lo", "up")
        return full

    def add_host(self, number: int) -> str:
        namespace = self._namespace(f"h{number}")
        ip("-n", self.bridge, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns",
           namespace)
        ip("-n", self.bridge, "link", "set", f"port{number}", "master", "bridge")
        ip("-n", self.bridge, "link", "set", f"port{number}", "up")
        ip("-n", namespace, "addr", "add", f"{self.subnet}.{number}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        return namespace

    def cable(self, number: int, state: str) -> None:
        ip("-n", self.bridge, "link", "set", f"port{number}", state)

    def release(self) -> None:
        for namespace in reversed(self.namespaces):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


@pytest.fixture
def network():
    if not shutil.which("ip"):
        pytest.skip("the program ip is not installed")
    try:
        made = Network()
    except OSError as error:
        pytest.skip(f"network namespaces are not allowed here: {error}")
    try:
        yield made
    finally:
        made.release()


@pytest.fixture
def hosts(cluster, network):
    """Three nodes on three hosts that hear each other."""
    nodes = []
    for number in (1, 2, 3):
        host = f"{network.subnet}.{number}"
        namespace = network.add_host(number)
        node = Node(cluster, PORT, [], {}, host=host, prefix=["ip", "netns", "exec", namespace])
        node.http = Inside(namespace, host, PORT)
        node.namespace, node.number = namespace, number
        node.flags = ["--node-id", node.id, "--listen", node.id, "--insecure", "--cluster", cluster.name, "--data-dir",
                      node.data, "--peers", ",".join(other.id for other in nodes)]
        cluster.nodes.append(node)
        nodes.append(node)
    for node in nodes:
        node.start(wait=False)
    for node in nodes:
        node.wait_live()
    wait_lists(nodes, nodes, 10)
    yield nodes
    for node in nodes:
        node.http.end()


def wait_lists(nodes, heard, within):
    """Each of `nodes` lists those of `heard`, itself left out."""
    def exact():
        for node in nodes:
            expected = sorted(other.id for other in heard if other is not node)
            assert node.peers() == expected, f"{node.id} hears {node.peers()}, not {expected}"
        return True
    eventually(exact, within)


def equal_on_all(nodes, expected):
    counts = [node.count() for node in nodes]
    assert counts == [expected] * len(nodes), f"{counts}, not {expected}"
    return True


def wait_whole_again(nodes, expected, healed_at):
    """All equal within 5 s of the first connection that came about after the healing, as the logs have it."""
    def reconnects():
        return [line for node in nodes for line in node.log_lines(r"^peer .* is up", since=healed_at)]
    ups = eventually(reconnects, 35, "a first reconnect after the healing")
    eventually(lambda: equal_on_all(nodes, expected), 5, "the sum is exact and equal on all")
    assert time.time() - min(line.at for line in ups) <= 5 * SLOW + 0.5
    wait_lists(nodes, nodes, 5)


def test_both_sides_count_and_the_sum_is_exact_after_healing(hosts, network):
    alone, majority = hosts[2], hosts[:2]
    for node in hosts:
        node.increment(1)
    eventually(lambda: equal_on_all(hosts, 3), 5)

    network.cable(alone.number, "down")
    for _ in range(20):
        for node in hosts:
            node.increment(10)
    wait_lists(majority, majority, 6)
    wait_lists([alone], [alone], 6)
    assert alone.count() == 203
    eventually(lambda: equal_on_all(majority, 403), 5, "the larger side agrees")
    for node in hosts:
        node.increment(1000)  # also while they know that they are apart

    network.cable(alone.number, "up")
    wait_whole_again(hosts, 3603, time.time())
    digests = {node.digest() for node in hosts}
    assert len(digests) == 1


def test_node_restarted_during_the_partition(hosts, network):
    """The side that is cut off is killed and started again while it is alone; nothing that it answered is lost."""
    alone = hosts[0]
    network.cable(alone.number, "down")
    alone.increment(5)
    alone.kill()
    hosts[1].increment(50)
    alone.start()
    assert alone.count() == 5
    alone.increment(500)
    wait_lists(hosts[1:], hosts[1:], 6)
    network.cable(alone.number, "up")
    wait_whole_again(hosts, 555, time.time())


def cut_one_way(sender: Node, receiver: Node) -> None:
    """What the sender has for the receiver goes to a network card that nobody has, and is lost without a word. The
    other direction is not touched, and no packet filter is needed."""
    ip("-n", sender.namespace, "neigh", "replace", receiver.host, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud",
       "permanent")


def mend_one_way(sender: Node, receiver: Node) -> None:
    ip("-n", sender.namespace, "neigh", "del", receiver.host, "dev", "eth0")


def test_loss_in_one_direction(hosts):
    """The first does not hear the second any more, but is heard; the third hears both. Counts go round through it, no
    third node is taken for dead, and after the healing all is as before."""
    deaf, mute, third = hosts
    cut_one_way(mute, deaf)
    wait_lists([deaf], [deaf, third], 10)
    mute.increment(7)
    deaf.increment(70)
    eventually(lambda: equal_on_all(hosts, 77), 10, "the third passes on what does not arrive directly")
    assert deaf.id in third.peers() and mute.id in third.peers()
    state = deaf.members()[mute.id]["state"]
    assert state in ("indirect", "down"), state

    mend_one_way(mute, deaf)
    wait_whole_again(hosts, 77, time.time())
