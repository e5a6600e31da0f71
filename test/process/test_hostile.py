# SPDX-License-Identifier: Apache-2.0
"""Strangers on the port: nothing that they send counts anything, harms other clients, or leaves anything behind."""
import contextlib
import os
import random
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from books import count_each
from canary import Canary
from cluster import Cluster, free_port, wait_mesh
from waiting import SLOW, eventually

PATIENCE_S = 10  # for a request head, and for the first bytes


@pytest.fixture
def node(cluster):
    made = cluster.new().start()
    made.wait_ready()
    return made


@pytest.fixture
def canary(node):
    with Canary(node) as singing:
        yield singing


def short(value) -> str:
    """A parameter's name: pytest hands it to every process in an environment variable."""
    return repr(value)[:48]


def send(node, data: bytes, then_close: bool = True) -> bytes:
    """Everything that comes back until the node closes, or says nothing for half a second after our end."""
    received = b""
    with node.connect(timeout=2) as connection:
        try:
            connection.sendall(data)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionError, socket.timeout):
            pass
    return received


# --- garbage

def test_client_at_the_very_start(cluster):
    """The first thing that a new node hears is an increment: from then on it counts."""
    for _ in range(15):
        node = cluster.new().start(wait=False)
        eventually(lambda: node.increment(1) >= 1, 5)
        node.stop()


def test_random_bytes(node, canary):
    chance = random.Random(1)
    for _ in range(300):
        start = chance.choice([b"", b"*", b"$", b"GET ", b"POST /", b"QUIPU/1\n", b"\x16", b"\r\n", b"*3\r\n$4\r\n",
                               b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
        send(node, start + chance.randbytes(chance.randrange(2000)))
    assert node.redis().dbsize() == 1  # the canary's


def test_half_requests_count_nothing(node, canary):
    """Each is cut at every byte; only the whole one counts."""
    request = b"POST /v1/counters/half/increment HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n{\"delta\":5}"
    command = b"*3\r\n$6\r\nINCRBY\r\n$4\r\nhalf\r\n$1\r\n5\r\n"
    for whole in (request, command):
        for cut in range(1, len(whole)):
            send(node, whole[:cut])
    assert node.count("half") == 0
    send(node, request)
    send(node, command)
    assert node.count("half") == 10


def test_tls_is_turned_away(node, canary):
    hello = bytes.fromhex("16030100c8010000c40303") + os.urandom(193)
    began = time.monotonic()
    assert send(node, hello, then_close=False) in (b"", b"\x15\x03\x01\x00\x02\x02\x28")
    assert time.monotonic() - began < 1
    assert eventually(lambda: node.log_lines("TLS"), 1)


@pytest.mark.parametrize("data, reply", [
    (b"*1\r\nfoo\r\n", b"-ERR Protocol error: expected '$', got 'f'\r\n"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", b"-ERR Protocol error: expected '$', got 'f'\r\n"),
    (b"*1\r\n$-10\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$4\r\nPINGxx\r\n", b"-ERR Protocol error"),
    (b"*65537\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*2\r\n$4\r\nINCR\r\n$1048577\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"\"unbalanced\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"x" * 70000, b"-ERR Protocol error: too big inline request\r\n"),
    (b"*" + b"1" * 70000, b"-ERR Protocol error: "),
    (b"*1\r\n$" + b"1" * 70000, b"-ERR Protocol error: "),
    (b"POST\r\n", b""),
    (b"Host: x\r\n", b""),
    (b"QUIT\r\nINCR smuggled\r\n", b"+OK\r\n"),
], ids=short)
def test_broken_framing_is_answered_once_and_closed(node, data, reply):
    """What follows in the same packet is not read any more."""
    with Canary(node):
        received = send(node, data + b"INCR smuggled\r\n", then_close=False)
        assert received.startswith(reply) and received.count(b"\r\n") == (1 if reply else 0), received
    assert node.count("smuggled") == 0


@pytest.mark.parametrize("data", [
    b"INCRBY a 1.5\r\n", b"INCRBY a 9223372036854775808\r\n", b"INCRBY a +1\r\n", b"INCRBY a \" 1\"\r\n",
    b"INCRBY a 01\r\n", b"INCRBY a \"\"\r\n", b"INCR\r\n", b"INCR a b\r\n", b"SELECT 1\r\n", b"CLIENT NONSENSE\r\n",
    b"HELLO 4\r\n", b"AUTH x\r\n", b"*2\r\n$4\r\nINCR\r\n$0\r\n\r\n", b"CONFIG SET x y\r\n", b"\x00\xff\x00\r\n",
    b"*2\r\n$4\r\nINCR\r\n$1025\r\n" + b"n" * 1025 + b"\r\n", b"*1\r\n$1048576\r\n" + b"u" * 1048576 + b"\r\n",
], ids=short)
def test_bad_values_are_answered_and_the_connection_lives(node, data):
    with node.connect() as connection, connection.makefile("rb") as replies:
        connection.sendall(data + b"PING\r\n")
        line = replies.readline()
        assert line.startswith(b"-") and len(line) < 600, line
        assert replies.readline() == b"+PONG\r\n"
    assert node.redis().dbsize() == 0


# --- HTTP

EMBEDDED = b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("head", [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5\r\nContent-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n", b"Content-Length: +5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 0x5\r\n",
    b"Content-Length: 5 5\r\n", b"Content-Length:\r\n", b"Content-Length: 18446744073709551617\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: \x0bchunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n", b"Content-Length : 5\r\n",
    b" Content-Length: 5\r\n", b"Content-Length: 5\r\n folded\r\n", b"X: a\rContent-Length: 5\r\n",
    b"X: a\x00b\r\nContent-Length: 5\r\n", b": x\r\nContent-Length: 5\r\n", b"no colon\r\nContent-Length: 5\r\n",
    b"Host: b\r\nContent-Length: 5\r\n",
], ids=short)
def test_smuggled_increment_never_runs(node, head):
    """Two readers of such a request could disagree about where it ends: refused, closed, and what may hide in it is
    not carried out."""
    data = b"POST /increment HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n0\r\n\r\n" + EMBEDDED
    received = send(node, data, then_close=False)
    assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), received[:200]
    assert received.count(b"HTTP/1.1 ") == 1 and b"onnection: close" in received, received
    assert node.count() == 0 and node.redis().dbsize() == 0


@pytest.mark.parametrize("data, status", [
    (b"GET /count HTTP/1.1\r\n\r\n", 400),
    (b"GET /count HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET /count HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET /" + b"u" * 1000000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /count HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1000000 + b"\r\n\r\n", 431),
    (b"GET /count HTTP/3.0\r\nHost: a\r\n\r\n", (400, 505)),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 405, 501, 505)),
    (b"TRACE /count HTTP/1.1\r\nHost: a\r\n\r\n", (405, 501)),
    (b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n{", 413),
    (b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n{", 413),
    (b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\n{}", 415),
    (b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", (400, 415)),
    (b"POST /increment HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\x01\r\n{}\r\n0\r\n\r\n", 400),
    (b"GET /v1/counters/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", (400, 404)),
], ids=short)
def test_bad_requests_are_refused(node, data, status):
    received = send(node, data, then_close=False) if status in (413, 414, 431) else send(node, data)
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", received)
    assert match and int(match.group(1)) in (status if isinstance(status, tuple) else (status,)), received[:200]
    assert node.redis().dbsize() == 0


def test_deep_and_long_json(node, canary):
    for body in (b"[" * 500000, b'{"a":' * 100000, b'[{"name":"x"},' * 70000, b"\"" + b"\\u0000" * 150000 + b"\"",
                 b'{"increment_count":' + b"9" * 100000 + b"}"):
        for path in ("/increment", "/v1/increments", "/join"):
            assert node.http.post(path, body).status == 400
    assert node.count() == 0 and node.count("x") == 0


def test_batch_with_one_bad_item_applies_nothing(node):
    items = [{"name": "a"}, {"name": "b", "delta": 5}, {"name": "c", "delta": 1.5}]
    answer = node.http.post("/v1/increments", items)
    assert answer.status == 400 and "2" in answer.json["detail"]
    assert node.redis().dbsize() == 0


# --- slow ones, all waiting at the same time

def closed_after(connection: socket.socket, began: float) -> float:
    connection.settimeout(20 * SLOW)
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return time.monotonic() - began


def test_slow_clients_are_closed_after_ten_seconds(node, canary):
    """Heads that come byte by byte, first bytes that decide nothing, and nothing at all; an idle client that has said
    what it speaks stays, and so does a body that is slow."""
    began = time.monotonic()
    starts = {"head": b"GET /count HTTP/1.1\r\nHost: a\r\nX-", "undecided": b"QUIPU", "nothing": b"", "method": b"POS"}
    slow = {name: node.connect() for name in starts}
    idle, body = node.connect(), node.connect()
    for name, connection in slow.items():
        connection.sendall(starts[name])
    idle.sendall(b"PING\r\n")
    assert idle.recv(100) == b"+PONG\r\n"
    body.sendall(b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")
    trickled = 0

    def trickle() -> bool:
        """One more byte of the head now and then does not buy time."""
        nonlocal trickled
        with contextlib.suppress(OSError):
            if time.monotonic() - began > trickled:
                trickled += 1
                slow["head"].sendall(b"x")
        return time.monotonic() - began > PATIENCE_S - 1
    eventually(trickle, 15)
    for name, connection in slow.items():
        after = closed_after(connection, began)
        assert PATIENCE_S - 0.5 <= after <= PATIENCE_S * SLOW + 2.5, f"{name} was closed after {after:.1f} s"
        connection.close()
    idle.sendall(b"PING\r\n")
    assert idle.recv(100) == b"+PONG\r\n"
    body.sendall(b"}")
    assert b'{"success":true,"count":1}' in body.recv(1000)
    idle.close()
    body.close()


def test_client_that_never_reads(node, canary):
    """Replies that nobody takes: the node stops reading, and closes after ten seconds. Its memory stays bounded."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(0.2)
        connection.connect((node.host, node.port))
        command = b"ECHO " + b"e" * 8000 + b"\r\n"
        began, sent = time.monotonic(), 0
        stalled_at = None
        while time.monotonic() - began < 20 * SLOW:
            try:
                sent += connection.send(command * 20)
                stalled_at = None
            except socket.timeout:
                stalled_at = stalled_at or time.monotonic()
            except ConnectionError:
                break
            assert node.memory_bytes() - canary.memory < (64 << 20) * SLOW
        else:
            raise AssertionError(f"still open after {sent} bytes")
        assert stalled_at is not None and sent < 64 << 20
        assert time.monotonic() - began > 9


def test_two_thousand_connections_opened_and_dropped(node, canary):
    for wave in range(4):
        connections = [node.connect() for _ in range(500)]
        for number, connection in enumerate(connections):
            connection.sendall((b"PING\r\n", b"GET /ping HTTP/1.1\r\n", b"*1\r\n", b"QUIPU/1\n")[number % 4])
        for number, connection in enumerate(connections):
            if number % 2:  # a reset instead of a goodbye
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    assert node.redis().ping()


def test_verifies_of_clients_that_have_gone(node):
    """Each asks for many digests over many counters and leaves. They share walks, so that two or three are made for
    all of them, and the node is at rest again at once; one that stays gets its answer meanwhile."""
    count_each(node, [f"walked-{number}" for number in range(200_000)])
    http = node.new_http()
    used = cpu_seconds(node)
    expected = [http.get("/v1/verify").json["digest"] for _ in range(10)][0]
    one_walk = (cpu_seconds(node) - used) / 10
    descriptors, used = node.file_descriptors(), cpu_seconds(node)
    connections = [node.connect() for _ in range(300)]
    for connection in connections:
        connection.sendall(b"GET /v1/verify HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
    for connection in connections:
        connection.close()
    assert http.get("/v1/verify").json["digest"] == expected
    eventually(lambda: node.file_descriptors() <= descriptors, 10, "all descriptors are closed again")
    used = cpu_seconds(node) - used
    print(f"{used:.2f} s, of {one_walk:.3f} s for a walk")
    assert used < 20 * one_walk + 0.5, f"{used / one_walk:.0f} walks were made for nobody"
    http.close()


def test_verify_shows_what_was_answered_before(node):
    """Walks are shared with those who ask later, but never with one whose increments it may have passed by."""
    count_each(node, [f"walked-{number}" for number in range(50_000)])
    other = node.new_http()
    seen = set()
    with node.connect() as background:
        background.sendall(b"GET /v1/verify HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        for number in range(20):
            assert other.post(f"/v1/counters/walked-{number}/increment", {}).status == 200
            seen.add(other.get("/v1/verify").json["digest"])
    assert len(seen) == 20
    other.close()


def test_more_connections_than_descriptors(cluster):
    """Out of descriptors the node neither spins nor dies, and is well when there are some again."""
    node = cluster.new(prefix=["prlimit", "--nofile=96:96"]).start()
    node.increment(1)
    connections = []
    with contextlib.suppress(OSError):
        for _ in range(150):
            connections.append(node.connect(2))
    used = cpu_seconds(node)
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.7, 5)
    assert cpu_seconds(node) - used < 0.35, "the node spins"
    for connection in connections:
        connection.close()
    node.http.close()
    eventually(lambda: node.increment(1) >= 2, 5)


def cpu_seconds(node) -> float:
    fields = open(f"/proc/{node.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- as a peer

def recorded_greeting(cluster, node) -> bytes:
    """What the node itself says to a peer that it contacts: its greeting and its first frames."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        server.settimeout(5)
        node.http.post("/join", {"id": f"localhost:{server.getsockname()[1]}"})
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            received = connection.recv(65536)
            assert received.startswith(b"QUIPU/1\n"), received[:20]
            connection.settimeout(0.3)
            with contextlib.suppress(socket.timeout):
                while chunk := connection.recv(65536):
                    received += chunk
    return received


def test_garbage_and_half_frames_from_a_peer(cluster, node):
    """A real greeting, of another node, cut at every byte, with every byte damaged, and followed by nonsense."""
    other = cluster.new().start()
    greeting = recorded_greeting(cluster, other)
    other.kill()
    node.increment(5)
    with Canary(node):
        for at in range(8, len(greeting)):
            send(node, greeting[:at])
            damaged = bytearray(greeting)
            damaged[at] ^= 1 << at % 8
            send(node, bytes(damaged), then_close=True)
        chance = random.Random(2)
        for _ in range(50):
            send(node, b"QUIPU/1\n" + chance.randbytes(chance.randrange(500)))
            head = struct.pack("<IB3xQ", chance.choice((0, 1, 16, 4 << 20, (4 << 20) + 1, 2 ** 32 - 1)),
                               chance.randrange(256), chance.getrandbits(64))
            send(node, b"QUIPU/1\n" + head + chance.randbytes(300))
            send(node, greeting + chance.randbytes(200))
        send(node, b"QUIPU/1\n" + struct.pack("<IB3xQ", 4 << 20, 1, 0) + bytes(3 << 20))
    assert node.count() == 5
    friend = cluster.new(peers=[node]).start()
    wait_mesh([node, friend])
    eventually(lambda: friend.count() == 5, 2)


def test_silent_handshakes_do_not_keep_peers_out(cluster, node):
    """More sockets than there are handshakes say that they are peers, and then nothing or half a frame; whenever one is
    ended, another takes its place. A node that is new and one that comes back get in all the same."""
    friend = cluster.new(*Cluster.QUICK, peers=[node]).start()
    wait_mesh([node, friend])
    greeting = recorded_greeting(cluster, friend)
    over = threading.Event()

    def flood(beginning: bytes) -> None:
        """Keeps 150 open: one that was closed is replaced."""
        held: list[socket.socket] = []
        while not over.is_set():
            with contextlib.suppress(OSError):
                while len(held) < 150:
                    held.append(node.connect(2))
                    held[-1].sendall(beginning)
            closed, _, _ = select.select(held, [], [], 0.01)
            for connection in closed:
                held.remove(connection)
                connection.close()
        for connection in held:
            connection.close()

    floods = [threading.Thread(target=flood, args=(beginning,)) for beginning in (greeting[:8], greeting[:30])]
    for thread in floods:
        thread.start()
    try:
        eventually(lambda: node.log_lines("nobody has said who it is"), 10)
        for _ in range(3):
            friend.kill()
            friend.start()
            wait_mesh([node, friend], within=3)
        newcomer = cluster.new(*Cluster.QUICK, peers=[node]).start()
        wait_mesh([node, friend, newcomer], within=3)
    finally:
        over.set()
        for thread in floods:
            thread.join(10)
    node.increment(4)
    assert eventually(lambda: newcomer.count() == 4, 2)


def test_log_is_not_flooded(node):
    """A thousand strangers do not write a thousand lines."""
    before = len(node.log_text().splitlines())
    for _ in range(1000):
        with contextlib.suppress(OSError), node.connect(2) as connection:
            connection.sendall(b"QUIPU/1\n" + b"\xff" * 40)
            with contextlib.suppress(OSError):
                connection.recv(100)
    assert len(node.log_text().splitlines()) - before < 500


def test_datagrams_of_strangers(cluster):
    """Whatever is sent to the discovery port is dropped without a reply, and finding goes on."""
    first = cluster.new(discover="loopback").start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        stranger.bind(("127.0.0.1", 0))
        chance = random.Random(3)
        with Canary(first):
            for size in [0, 1, 8, 100, 1024, 1025, 65000] * 20:
                with contextlib.suppress(OSError):  # the kernel may have enough of them
                    stranger.sendto(chance.randbytes(size), ("127.255.255.255", cluster.discover_port))
        stranger.settimeout(0.2)
        with pytest.raises(socket.timeout):
            stranger.recv(100)
    second = cluster.new(discover="loopback").start()
    wait_mesh([first, second], within=3)
