# SPDX-License-Identifier: Apache-2.0
"""The original system's users go on as before: its README step by step, word for word."""
import socket

import pytest

from cluster import Cluster, Node, free_port, wait_counts
from waiting import eventually

FORM = {"Content-Type": "application/x-www-form-urlencoded"}  # what `curl -d` says by itself


def original_node(cluster: Cluster, port: int, peers: str, discover: str = "loopback") -> Node:
    """As its README has it: two variables and nothing else, but for what keeps tests apart."""
    node = Node(cluster, port, [], {
        "NODE_ID": f"localhost:{port}", "PEERS": peers, "QUIPU_CLUSTER": cluster.name, "QUIPU_DISCOVER": discover,
        "QUIPU_DISCOVER_PORT": str(cluster.discover_port)})
    cluster.nodes.append(node)
    return node


def three(cluster: Cluster) -> list[Node]:
    ports = sorted(free_port() for _ in range(3))
    nodes = [original_node(cluster, ports[0], ""),
             original_node(cluster, ports[1], f"localhost:{ports[0]}"),
             original_node(cluster, ports[2], f"localhost:{ports[0]},localhost:{ports[1]}")]
    for node in nodes:
        node.start(wait=False)
    for node in nodes:
        node.wait_live()
    return nodes


def peers_text(nodes: list[Node], without: Node) -> bytes:
    return ("[" + ",".join(f'"{node.id}"' for node in nodes if node is not without) + "]").encode()


def wait_peers(nodes: list[Node], within: float) -> None:
    """Byte for byte: sorted, without spaces, without the node itself."""
    def exact() -> bool:
        for node in nodes:
            assert node.http.get("/peers").body == peers_text(nodes, node), node.id
        return True
    eventually(exact, within, "all list all others")


def test_readme_of_the_original(cluster):
    nodes = three(cluster)
    wait_peers(nodes, within=3)

    for step, node in enumerate(nodes, 1):
        body = f'{{"node_id":"{node.id}","increment_count":5}}'
        answer = node.http("POST", "/increment", body, {} if step % 2 else FORM)
        assert (answer.status, answer.body) == (200, f'{{"success":true,"count":{5 * step}}}'.encode())
        eventually(lambda: all(other.http.get("/count").body == f'{{"count":{5 * step}}}'.encode() for other in nodes),
                   1, "an increment on any node is on all of them")

    late = original_node(cluster, free_port(), "").start()
    everyone = sorted([*nodes, late], key=lambda node: node.id)
    wait_peers(everyone, within=3)
    wait_counts([late], 15, within=1)
    assert late.increment(-5) == 10
    wait_counts(everyone, 10, within=1)

    for node in everyone:
        assert (node.http.get("/ping").status, node.http.get("/ping").body) == (200, b"")
        answer = node.http("POST", "/join", f'{{"id":"{late.id}"}}', FORM)
        assert (answer.status, answer.body) == (200, peers_text(everyone, node))


def test_join_tells_all_others(cluster):
    """Nobody finds anybody by itself here: each node hears of the newcomer because one was told."""
    nodes = [original_node(cluster, free_port(), "", "off") for _ in range(3)]
    nodes.sort(key=lambda node: node.id)
    for node in nodes:
        node.start()
        assert node.http.get("/peers").body == b"[]"
    answer = nodes[0].http("POST", "/join", f'{{"id":"{nodes[1].id}"}}')
    assert answer.status == 200
    wait_peers(nodes[:2], within=2)
    assert nodes[2].http("POST", "/join", f'{{"id":"{nodes[1].id}"}}', FORM).status == 200
    wait_peers(nodes, within=2)
    nodes[2].increment(7)
    wait_counts(nodes, 7, within=1)


@pytest.fixture
def single(cluster):
    return cluster.new().start()


@pytest.mark.parametrize("body, count", [
    ('{"increment_count":5}', 5),
    ('{"node_id":"localhost:8000","increment_count":5}', 5),
    ('{"increment_count":-3,"node_id":"anything, it is ignored"}', -3),
    ('{}', 1),
    ('{"node_id":"localhost:8000"}', 1),
    (' {\n "increment_count" : 2 } ', 2),
    ('{"increment_count":9223372036854775807}', 9223372036854775807),
])
@pytest.mark.parametrize("headers", [{}, FORM, {"Content-Type": "application/json"}], ids=["bare", "form", "json"])
def test_increment_is_taken(single, body, count, headers):
    answer = single.http("POST", "/increment", body, headers)
    assert (answer.status, answer.body) == (200, f'{{"success":true,"count":{count}}}'.encode())
    assert answer.headers["Content-Type"] == "application/json"
    assert single.http.get("/count").body == f'{{"count":{count}}}'.encode()


@pytest.mark.parametrize("body", [
    '{"increment_count":0}', '{"increment_count":1.5}', '{"increment_count":1.0}', '{"increment_count":"5"}',
    '{"increment_count":null}', '{"increment_count":true}', '{"increment_count":9223372036854775808}',
    '{"increment_count":1,"increment_count":2}', '{"increment_count":1} x', '{"increment_count":1}}', '[1]', '5', '',
    '{', 'increment_count=5', '{"increment_cuont":5}', '{"node_id":5}', '{"counter":""}', '{"increment_count":1,}',
    '{"increment_count":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}', "{'increment_count':1}", '{"increment_count":1e0}',
])
def test_increment_is_refused(single, body):
    answer = single.http("POST", "/increment", body)
    assert answer.status in ((400, 411) if body == "" else (400,)), answer
    assert answer.json["success"] is False and answer.json["error"] and set(answer.json) == {"success", "error"}
    assert single.count() == 0


def test_other_counters_and_their_default(single):
    assert single.http.get("/count?counter=nothing").body == b'{"count":0}'
    assert single.increment(3, "a b/c") == 3
    assert single.http.get("/count?counter=a%20b%2Fc").body == b'{"count":3}'
    assert single.http.get("/count?counter=default").body == b'{"count":0}'
    assert single.increment(2) == 2
    assert single.http.get("/count?counter=default").body == b'{"count":2}'


@pytest.mark.parametrize("body", ['{}', '{"id":5}', '{"id":""}', '{"id":"localhost"}', '{"id":"localhost:0"}',
                                  '{"id":"localhost:65536"}', '{"id":"local host:80"}', '{"id":"a:1","x":1}', 'x'])
def test_join_with_a_bad_id_is_refused(single, body):
    answer = single.http("POST", "/join", body)
    assert answer.status == 400 and answer.json["success"] is False
    assert single.peers() == []


def test_both_loopback_addresses_answer(single):
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if family == socket.AF_INET6 and not socket.has_ipv6:
            continue
        with socket.socket(family) as connection:
            try:
                connection.connect((address, single.port))
            except OSError:
                if family == socket.AF_INET6:
                    pytest.skip("this machine has no ::1")
                raise
            connection.sendall(b"PING\r\n")
            assert connection.recv(100) == b"+PONG\r\n"
