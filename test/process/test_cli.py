# SPDX-License-Identifier: Apache-2.0
"""The client verbs, as people and scripts call them: output, exit status, and what strangers' bytes do to neither."""
import contextlib
import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

from cluster import QUIPU, clean_environment, free_port, wait_counts, wait_mesh
from waiting import SLOW


def quipu(*words, node=None, environment={}, stdin=subprocess.DEVNULL, timeout=30, **options):
    variables = {"NODE_ID": node.id} if node else {}
    return subprocess.run([QUIPU, *map(str, words)], stdin=stdin, capture_output=True, timeout=timeout, check=False,
                          env=clean_environment({**variables, **environment}), **options)


def quipu_raw(*words):
    """Words may be bytes."""
    return subprocess.run([QUIPU, *words], capture_output=True, timeout=30, check=False, env=clean_environment())


def out(*words, node=None, **options) -> str:
    """The output of a call that must work and must have nothing to say on standard error."""
    run = quipu(*words, node=node, **options)
    assert run.returncode == 0 and run.stderr == b"", run
    return run.stdout.decode()


def fails(status: int, *words, node=None, **options) -> str:
    """The one line of complaint of a call that must fail."""
    run = quipu(*words, node=node, **options)
    lines = run.stderr.decode().splitlines()
    assert run.returncode == status and len(lines) == 1, run
    return lines[0]


@pytest.fixture
def node(cluster):
    return cluster.new().start()


def test_incr_and_get(node):
    assert out("incr", "hits", node=node) == "1\n"
    assert out("incr", "hits", 41, node=node) == "42\n"
    assert out("incr", "hits", "-2", node=node) == "40\n"
    assert out("get", "hits", node=node) == "40\n"
    assert out("get", "hits", "--node", node.id) == "40\n"
    assert out(f"--node={node.id}", "get", "hits") == "40\n"
    assert json.loads(out("get", "hits", "--json", node=node)) == {"name": "hits", "value": 40, "value_string": "40"}
    assert json.loads(out("incr", "--json", "hits", 2, node=node))["applied"] == 2
    out("incr", "--", "--json", 3, node=node)
    assert out("get", "hits", "--", "--json", node=node).split() == ["hits", "42", "--json", "3"]


def test_counter_that_is_not_there(node):
    assert "nothing" in fails(1, "get", "nothing", node=node)
    out("incr", "there", node=node)
    run = quipu("get", "nothing", "there", node=node)
    assert run.returncode == 1 and run.stdout.decode().split() == ["there", "1"] and b"nothing" in run.stderr


def test_value_out_of_range(node):
    out("incr", "big", 2 ** 63 - 1, node=node)
    assert "409" in fails(1, "incr", "big", node=node)
    assert out("get", "big", node=node) == f"{2 ** 63 - 1}\n"


@pytest.mark.parametrize("name", ["a b", "a/b", "a%2Fb", "?x=1", "#", "ü€😀", "..", "-", "\x01\x1b[31m\x7f",
                                  b"\xff\xfe"], ids=repr)
def test_any_name_goes_through(node, name):
    """As an argument, percent-encoded over the wire, and never raw on a terminal."""
    raw = name if isinstance(name, bytes) else name.encode()
    run = quipu_raw("incr", "--node", node.id, "--", raw, b"6")
    assert (run.returncode, run.stdout) == (0, b"6\n"), run
    assert int(node.redis().get(raw)) == 6
    run = quipu_raw("get", "--node", node.id, "--", raw, raw)
    assert run.returncode == 0 and all(32 <= byte != 127 or byte in b"\n\t" for byte in run.stdout), run
    if any(byte < 32 or byte >= 0xfe for byte in raw):
        assert b"\\x" in run.stdout, run
    missing = quipu_raw("get", "--node", node.id, "--", raw + b"!")
    assert missing.returncode == 1 and b"\x1b" not in missing.stderr and b"\xff" not in missing.stderr


def test_peers_join_status_verify(cluster):
    nodes = sorted(cluster.start(3), key=lambda node: node.id)
    nodes[0].increment(5)
    wait_counts(nodes, 5)
    first, second, third = nodes
    assert out("peers", node=first) == f"{second.id}\n{third.id}\n"
    assert json.loads(out("peers", "--json", node=third)) == [first.id, second.id]

    text = out("status", node=second)
    assert second.id in text.splitlines()[0] and cluster.name in text.splitlines()[0]
    assert all(any(line.startswith(node.id) and "alive" in line for line in text.splitlines()) for node in nodes), text
    status = json.loads(out("status", "--json", node=second))
    assert status["node"] == second.id and {member["node"] for member in status["members"]} == {n.id for n in nodes}

    text = out("verify", node=first)
    assert "equal" in text.splitlines()[-1] and "not" not in text.splitlines()[-1]
    verdict = json.loads(out("verify", "--json", node=first))
    assert verdict["equal"] is True and len({member["digest"] for member in verdict["members"]}) == 1

    lonely = cluster.new().start()
    assert "," not in out("join", first.id, node=lonely)
    wait_mesh([*nodes, lonely], within=3)
    third.kill()
    run = quipu("verify", node=first)
    assert run.returncode == 1 and third.id.encode() in run.stderr + run.stdout


def test_verify_sees_a_difference(cluster):
    """Two nodes of one list that do not talk: a member frozen at an old value cannot be told apart, so the difference
    is made by a third that answers for one of them."""
    node = cluster.new().start()
    node.increment(5)
    answer = b'{"digest":"00000000000000000000000000000001","counters":1,"vector":{}}'
    with Stub(http(answer)) as stub:
        members = json.dumps({"node": node.id, "replica": "0", "cluster": "c", "members": [
            {"node": node.id, "state": "alive"}, {"node": stub.id, "state": "alive"}]}).encode()
        with Stub(http(members)) as front:
            run = quipu("verify", "--node", front.id)
    assert run.returncode == 1 and b"not equal" in run.stdout, run


@pytest.mark.parametrize("words, hint", [
    ([], "verb"), (["gett", "x"], "did you mean get"), (["get"], "missing"), (["incr"], "missing"),
    (["incr", "a", "1", "2"], "many"),
    (["incr", "a", "x"], "x"), (["incr", "a", "1.5"], "1.5"), (["incr", "a", "9223372036854775808"], "922"),
    (["get", ""], "0 bytes"), (["get", "n" * 1025], "1025"), (["get", "a", "--node", "nonsense"], "nonsense"),
    (["get", "a", "--node"], "--node"), (["get", "a", "--colour"], "--colour"), (["join", "nonsense"], "nonsense"),
    (["peers", "x"], "many"), (["set", "a", "1"], "not in this version"), (["help", "nonsense"], "nonsense"),
    (["\x1b[31m"], "\\x1b"),
])
def test_usage_is_status_2_and_one_line(words, hint):
    line = fails(2, *words)
    assert hint in line and "\x1b" not in line, line


def test_help_and_version():
    for words in (["--help"], ["help"], ["get", "--help"], ["help", "serve"], ["serve", "--help"], ["-h"]):
        assert "usage: quipu" in out(*words)
    for words in (["--version"], ["-V"], ["get", "--version"]):
        assert out(*words).startswith("quipu ")
    for verb in ("serve", "get", "incr", "peers", "join", "status", "verify"):
        assert verb in out("--help") and verb in out("help", verb)


def test_nobody_there():
    port = free_port()
    line = fails(1, "get", "a", "--node", f"localhost:{port}")
    assert f"localhost:{port}" in line and "refused" in line
    assert "may have counted" not in fails(1, "incr", "a", "--node", f"localhost:{port}")
    assert fails(1, "get", "a", "--node", "no-such-host.invalid:1")


# --- terminals and pipes

class Terminal:
    """A call on a terminal of 200 columns; `shown` is what has come so far."""

    def __init__(self, *words, node, environment={}):
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self.process = subprocess.Popen(
            [QUIPU, *words], stdin=follower, stdout=follower, stderr=follower,
            env=clean_environment({"NODE_ID": node.id, "TERM": "xterm", **environment}))
        os.close(follower)
        self.shown = ""

    def read(self) -> bool:
        """Some more. False: it has ended."""
        with contextlib.suppress(OSError):
            chunk = os.read(self.leader, 4096)
            self.shown += chunk.decode()
            return bool(chunk)
        return False

    def read_all(self) -> int:
        """Returns the exit status."""
        while self.read():
            pass
        os.close(self.leader)
        return self.process.wait(10)


def on_terminal(*words, node, environment={}) -> str:
    terminal = Terminal(*words, node=node, environment=environment)
    assert terminal.read_all() == 0
    return terminal.shown


def test_verify_says_for_whom_it_waits(cluster):
    """A frozen member may be a large one that is busy, so it gets its time; but nobody has to guess what is going on.
    Off a terminal it says nothing before the end."""
    first, second = cluster.start(2)
    second.freeze()
    off = subprocess.Popen([QUIPU, "verify", "--node", first.id], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=clean_environment())
    began = time.monotonic()
    terminal = Terminal("verify", node=first)
    while f"waiting for {second.id} since 2 s" not in terminal.shown:
        assert terminal.read(), terminal.shown
    assert f"waiting for {second.id} since 1 s" in terminal.shown
    assert "of 2 members" in terminal.shown and time.monotonic() - began < 5 * SLOW
    second.thaw()
    assert terminal.read_all() == 0
    last = terminal.shown.rsplit("\r\x1b[K", 1)[1]
    assert "waiting" not in last and "equal: 2 members" in last, "the line is wiped before the table comes"
    output, complaint = off.communicate(timeout=10)
    assert off.returncode == 0 and complaint == b"" and b"waiting" not in output


def test_tables_and_colour_only_on_a_terminal(cluster):
    nodes = cluster.start(2)
    assert "\x1b[" not in out("status", node=nodes[0])
    shown = on_terminal("status", node=nodes[0])
    assert "\x1b[" in shown and "NODE" in shown
    assert "\x1b[" not in on_terminal("status", node=nodes[0], environment={"NO_COLOR": "1"})
    assert "\x1b[" not in on_terminal("status", node=nodes[0], environment={"TERM": "dumb"})


def in_shell(node, words: str):
    return subprocess.run(f"'{QUIPU}' {words}", shell=True, capture_output=True, timeout=60, check=False,
                          env=clean_environment({"NODE_ID": node.id}))


def test_reader_that_goes_away_and_closed_streams(node):
    out("incr", "a", node=node)
    run = in_shell(node, f"get {'a ' * 3000} | head -1")
    assert run.returncode == 0 and len(run.stdout.splitlines()) == 1 and run.stderr == b"", run
    run = in_shell(node, "get a <&-")
    assert (run.returncode, run.stdout) == (0, b"1\n"), run
    run = in_shell(node, "get a >/dev/full")
    assert run.returncode == 1 and len(run.stderr.splitlines()) == 1, run


# --- hostile servers

class Stub:
    """A server that says the same to everybody: what `answer` yields, as long as the client stays."""

    def __init__(self, answer):
        self.answer = answer
        self.server = socket.create_server(("127.0.0.1", free_port()))
        self.id = f"localhost:{self.server.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(20 * SLOW)
                    connection.recv(65536)
                    for piece in self.answer():
                        connection.sendall(piece)

    def __enter__(self) -> "Stub":
        self.thread.start()
        return self

    def __exit__(self, *_rest) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(30)


def http(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"):
    return lambda: [head + b"Content-Length: %d\r\n\r\n" % len(body) + body]


def endless(piece: bytes, first: bytes = b""):
    def answer():
        yield first
        while True:
            yield piece
    return answer


def silence():
    threading.Event().wait(6 * SLOW)
    yield b""


def drip():
    """A byte now and then: the deadline is for the whole answer, not for the next byte."""
    yield b"HTTP/1.1 200 OK\r\nX: "
    while not threading.Event().wait(0.2):
        yield b"x"


HOSTILE = {
    "nothing": lambda: [b""],
    "silence": silence,
    "drip": drip,
    "garbage": lambda: [os.urandom(5000)],
    "not http": lambda: [b"-ERR unknown command\r\n"],
    "endless head": endless(b"X-A: b\r\n" * 1000, b"HTTP/1.1 200 OK\r\n"),
    "endless line": endless(b"x" * 65536, b"HTTP/1.1 200 "),
    "endless body": endless(b" " * 65536, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
    "endless chunks": endless(b"8000\r\n" + b" " * 0x8000 + b"\r\n",
                              b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "endless until the end": endless(b" " * 65536, b"HTTP/1.1 200 OK\r\n\r\n"),
    "interim for ever": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "cut": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"value\":"],
    "two lengths": lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x"],
    "not json": http(b"<html>"),
    "deep json": http(b"[" * 500000),
    "wrong shape": http(b'{"value":"5","nodes":7}'),
    "wrong kind": http(b"[[],{},5]"),
    "escape in an error": http(b'{"detail":"\\u001b[31mred\\u0007"}',
                               b"HTTP/1.1 500 \x1b[31m\r\nContent-Type: a/b\r\n"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_server(kind):
    """Every verb ends with status 1, one line, bounded memory and in bounded time. All at once, since some wait."""
    with contextlib.ExitStack() as stack:
        running = []
        for words in (["get", "a"], ["incr", "a"], ["peers"], ["status"], ["verify"]):
            stub = stack.enter_context(Stub(HOSTILE[kind]))
            running.append((words, subprocess.Popen(
                ["prlimit", "--as=300000000", QUIPU, *words, "--node", stub.id] if SLOW == 1 else
                [QUIPU, *words, "--node", stub.id], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=clean_environment())))
        began = time.monotonic()
        for words, process in running:
            output, complaint = process.communicate(timeout=15 * SLOW)
            assert process.returncode == 1, (words, process.returncode, output, complaint)
            assert len(complaint.splitlines()) >= 1 and b"\x1b" not in complaint and b"\x07" not in complaint, complaint
            assert len(complaint) < 1000
            if words[0] == "incr" and kind in ("nothing", "silence", "cut", "garbage"):
                assert b"may have counted" in complaint
        assert time.monotonic() - began < 8 * SLOW
