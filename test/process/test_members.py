# SPDX-License-Identifier: Apache-2.0
"""Members that are struck off and members that leave, on every way in: HTTP, the Redis protocol, the command line."""
import json
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import redis

from cluster import QUIPU, Cluster, clean_environment, wait_counts, wait_digests, wait_mesh
from waiting import SLOW, always, eventually, pass_time

QUICK = Cluster.QUICK


def quipu(*words, node, timeout=30):
    return subprocess.run([QUIPU, *map(str, words), "--node", node.id], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=timeout, check=False, env=clean_environment())


def wait_state(nodes, member, state, within=5.0):
    def agreed() -> bool:
        seen = {node.id: node.members()[member.id]["state"] for node in nodes}
        assert set(seen.values()) == {state}, f"{member.id} should be {state} everywhere: {seen}"
        return True
    eventually(agreed, within, f"{member.id} is {state}")


def by_http(node, name):
    answer = node.http("DELETE", f"/v1/cluster/members/{name}")
    return None if answer.status == 204 else f"{answer.status}: {answer.json['detail']}"


def by_resp(node, name):
    try:
        reply = node.redis().execute_command("QUIPU.FORGET", name)
    except redis.ResponseError as error:
        return str(error)
    assert reply in (b"OK", "OK"), reply
    return None


def by_cli(node, name):
    run = quipu("forget", name, node=node)
    assert run.returncode in (0, 1), run
    return None if run.returncode == 0 else run.stderr.decode()


WAYS = pytest.mark.parametrize("forget", [by_http, by_resp, by_cli])


@WAYS
def test_dead_member_is_forgotten_everywhere_and_for_good_until_it_returns(cluster, forget):
    nodes = cluster.start(4, *QUICK)
    dead, rest = nodes[3], nodes[:3]
    dead.increment(40)
    wait_counts(nodes, 40)
    dead.kill()
    wait_state(rest, dead, "down")
    assert forget(rest[0], dead.id) is None
    wait_state(rest, dead, "left", within=5)
    for node in rest:
        assert dead.id not in node.peers()
        member = node.members()[dead.id]
        assert (member["lag_entries"], member["lag_ms"]) == (0, 0)
        assert node.count() == 40  # its counts stay
        assert dead.id not in node.http.get("/metrics").body.decode()
    assert forget(rest[1], dead.id) is None  # to say it again is no error
    run = quipu("verify", node=rest[0])
    assert run.returncode == 0 and dead.id not in run.stdout.decode(), run  # nobody waits for its answer

    for node in rest:
        node.kill()
    for node in rest:
        node.start(wait=False)
    for node in rest:
        node.wait_live()
    wait_mesh(rest)
    wait_state(rest, dead, "left", within=1)

    rest[0].increment(1)
    dead.start()
    wait_mesh(nodes)
    dead.increment(1)
    wait_counts(nodes, 42)
    wait_digests(nodes)
    for node in rest:
        assert len(node.log_lines(f"{dead.id} is no member any more")) == 1


@WAYS
def test_what_is_not_forgotten_and_why(cluster, forget):
    nodes = cluster.start(2, *QUICK)
    heard = forget(nodes[0], nodes[1].id)
    assert heard is not None and "this member is heard right now; stop it first, or use leave on it" in heard
    itself = forget(nodes[0], nodes[0].id)
    assert itself is not None and "that is this node itself; to take it out of the cluster, use leave" in itself
    for name in ("localhost:1", "nobody", "x" * 300):
        unknown = forget(nodes[0], name)
        assert unknown is not None and "there is no member of this name" in unknown
    if forget is by_http:
        assert heard.startswith("409") and itself.startswith("409") and unknown.startswith("404")
        answer = nodes[0].http("DELETE", "/v1/cluster/members/%zz")
        assert answer.status == 400 and answer.json["type"] == "urn:quipu:problem:invalid-argument"
    if forget is by_resp:
        assert heard.startswith("this member") and unknown.startswith("there is")  # redis-py takes ERR away
    if forget is by_cli:
        assert f"{nodes[0].id} answered 409" in heard and f"{nodes[0].id} answered 404" in unknown
        assert quipu("forget", node=nodes[0]).returncode == 2
        assert quipu("forget", "", node=nodes[0]).returncode == 2
        assert quipu("leave", "x", node=nodes[0]).returncode == 2
    wait_mesh(nodes)
    assert all(not node.log_lines("is no member any more") for node in nodes)


def test_forget_says_what_it_did(cluster):
    nodes = cluster.start(2, *QUICK)
    nodes[1].kill()
    wait_state(nodes[:1], nodes[1], "down")
    run = quipu("forget", nodes[1].id, "--json", node=nodes[0])
    assert json.loads(run.stdout) == {"node": nodes[1].id, "state": "left"}
    run = quipu("forget", nodes[1].id, node=nodes[0])
    assert run.stdout.decode() == f"{nodes[1].id} is no member any more\n"


def test_frozen_node_that_was_forgotten_comes_back_by_itself_and_stays(cluster):
    nodes = cluster.start(3, *QUICK)
    frozen, rest = nodes[2], nodes[:2]
    frozen.increment(5)
    wait_counts(nodes, 5)
    frozen.freeze()
    wait_state(rest, frozen, "down")
    assert by_http(rest[1], frozen.id) is None
    wait_state(rest, frozen, "left")
    rest[0].increment(1)
    frozen.thaw()
    wait_mesh(nodes)
    frozen.increment(1)
    wait_counts(nodes, 7)
    always(lambda: all(frozen.id in node.peers() for node in rest), 2, "it stays")
    for node in rest:
        assert len(node.log_lines(f"{frozen.id} is no member any more")) == 1


def test_forgotten_node_returns_with_increments_that_nobody_saw(cluster):
    nodes = cluster.start(3, *QUICK)
    lonely, rest = nodes[2], nodes[:2]
    for node in rest:
        node.stop()
    for _ in range(10):
        lonely.increment(1)
    lonely.kill()
    for node in rest:
        node.start()
    wait_mesh(rest)
    wait_state(rest, lonely, "down", within=10)
    assert by_resp(rest[0], lonely.id) is None
    wait_state(rest, lonely, "left")
    rest[0].increment(1)
    wait_counts(rest, 1)
    lonely.start()
    wait_counts(nodes, 11)
    wait_mesh(nodes)


def leave_by_http(node):
    answer = node.http.post("/v1/cluster/leave")
    assert answer.status == 204 and answer.body == b"", answer


def leave_by_resp(node):
    assert node.redis().execute_command("QUIPU.LEAVE") in (b"OK", "OK")


def leave_by_cli(node):
    run = quipu("leave", node=node)
    assert run.returncode == 0 and run.stdout.decode() == f"{node.id} is no member any more\n", run


@pytest.mark.parametrize("leave", [leave_by_http, leave_by_resp, leave_by_cli])
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_node_that_leaves_hands_over_all_it_has(cluster, leave, durability):
    nodes = cluster.start(3, *QUICK, "--durability", durability)
    leaver, rest = nodes[2], nodes[:2]
    for i in range(200):
        leaver.increment(1, f"counter-{i}")
    leaver.may_be_dead = True
    leave(leaver)
    assert leaver.wait_end(within=15) == 0
    shutil.rmtree(leaver.data)
    wait_state(rest, leaver, "left", within=1)
    for i in range(200):
        wait_counts(rest, 1, counter=f"counter-{i}")
    assert all(node.log_lines(f"{leaver.id} is no member any more") for node in rest)
    assert all(not node.log_lines(f"peer {leaver.id} is down") for node in rest)

    leaver.start()  # on an empty disk: as new, and another replica
    wait_mesh(nodes)
    wait_digests(nodes)
    leaver.increment(1, "counter-0")
    wait_counts(nodes, 2, counter="counter-0")


def test_node_that_left_comes_back_on_its_directory(cluster):
    nodes = cluster.start(2, *QUICK)
    for total in range(1, 4):
        nodes[1].increment(1)
        nodes[1].may_be_dead = True
        leave_by_cli(nodes[1])
        assert nodes[1].wait_end() == 0
        wait_state(nodes[:1], nodes[1], "left")
        nodes[1].start()
        wait_mesh(nodes)
        wait_counts(nodes, total)


def test_writes_are_refused_while_leaving_and_taken_when_it_fails(cluster):
    """A node without a peer has nobody to leave its counts to."""
    node = cluster.new(*QUICK).start()
    node.increment(7)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(node.new_http(30).post("/v1/cluster/leave")))
    began = time.monotonic()
    asking.start()
    eventually(lambda: node.http.post("/increment", {}).status == 503, 5, "writes are refused")
    refused = node.http.post("/increment", {})
    assert refused.status == 503 and refused.headers["Retry-After"] == "1"
    assert node.count() >= 7 and node.http.get("/readyz").status == 503
    asking.join(20 * SLOW)
    assert 9 <= time.monotonic() - began <= 13 * SLOW
    assert answers[0].status == 409 and "no peer that is heard has on its disk all" in answers[0].json["detail"]
    before = node.count()
    assert node.increment(1) == before + 1
    assert node.http.get("/readyz").status == 200
    assert node.log_lines("this node does not leave")
    assert node.stop() == 0


def test_whoever_hangs_up_while_a_node_leaves_does_no_harm(cluster):
    node = cluster.new(*QUICK).start()
    node.increment(1)
    for request in (b"POST /v1/cluster/leave HTTP/1.1\r\nHost: localhost\r\n\r\n", b"QUIPU.LEAVE\r\nINCR x\r\n") * 3:
        with node.connect() as connection:
            connection.sendall(request)
            connection.settimeout(0.05)
            with pytest.raises(socket.timeout):
                connection.recv(1)
    eventually(lambda: node.http.post("/increment", {}).status == 200, 15, "writes are taken again")
    assert node.count("x") in range(4)  # what had come behind the order is carried out behind it
    assert node.stop() == 0


def test_sigterm_while_leaving_is_a_goodbye(cluster):
    nodes = cluster.start(2, *QUICK)
    nodes[1].freeze()
    wait_state(nodes[:1], nodes[1], "down")
    nodes[0].increment(1)
    with nodes[0].connect() as connection:
        connection.sendall(b"QUIPU.LEAVE\r\n")
        pass_time(0.3)  # the order is under way
        nodes[0].may_be_dead = True
        nodes[0].process.signal(signal.SIGTERM)
        connection.settimeout(15)
        assert connection.recv(200).startswith(b"-ERR ")
    assert nodes[0].wait_end(within=25) == 0
    nodes[1].thaw()
    wait_state(nodes[1:], nodes[0], "down")  # a member still


def test_orders_in_a_pipeline_are_answered_in_their_place(cluster):
    nodes = cluster.start(2, *QUICK)
    nodes[1].kill()
    wait_state(nodes[:1], nodes[1], "down")
    with nodes[0].connect() as connection:
        connection.sendall(b"INCR a\r\nQUIPU.FORGET %s\r\nINCR a\r\nQUIPU.FORGET nobody:1\r\nGET a\r\nQUIT\r\n"
                           % nodes[1].id.encode())
        received = b""
        while chunk := connection.recv(4096):
            received += chunk
    assert received == b":1\r\n+OK\r\n:2\r\n-ERR there is no member of this name\r\n$1\r\n2\r\n+OK\r\n"
