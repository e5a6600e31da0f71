# SPDX-License-Identifier: Apache-2.0
"""Redis's own programs and libraries connect and count, unchanged."""
import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import termios
import threading

import pytest
import redis

from cluster import clean_environment, wait_counts
from waiting import eventually

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def node(cluster):
    return cluster.new().start()


def needs(program: str) -> str:
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def redis_cli(node, *words, stdin: str = "", check: bool = True) -> str:
    run = subprocess.run([needs("redis-cli"), "-h", node.host, "-p", str(node.port), *map(str, words)], input=stdin,
                         capture_output=True, text=True, timeout=30, check=False)
    assert not check or run.returncode == 0, run
    return run.stdout


def test_redis_cli_counts(node):
    assert redis_cli(node, "PING") == "PONG\n"
    assert redis_cli(node, "INCRBY", "a", 5) == "5\n"
    assert redis_cli(node, "-3", "DECR", "a") == "4\n"
    assert redis_cli(node, "GET", "nothing") == "\n"
    assert redis_cli(node, "MGET", "a", "nothing", "a") == "4\n\n4\n"
    assert redis_cli(node, "EXISTS", "a", "a", "nothing") == "2\n"
    assert "redis_version:" in redis_cli(node, "INFO", "server")
    assert redis_cli(node, "-3", "HELLO").splitlines()[0] == "server redis"
    said = redis_cli(node, "LPUSH", "a", "b", check=False)
    assert said.startswith("ERR unknown command 'LPUSH', with args beginning with: 'a' 'b'")
    assert node.count("a") == 4


def test_redis_cli_pipe(node):
    commands = "".join(f"INCR pipe-{number % 10}\r\n" for number in range(10000))
    report = redis_cli(node, "--pipe", stdin=commands)
    assert "errors: 0, replies: 10000" in report, report
    assert [node.count(f"pipe-{number}") for number in range(10)] == [1000] * 10


def test_redis_cli_on_a_terminal(node):
    """Interactive it asks for COMMAND DOCS first, to show hints; an answer that it does not like would end it."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # or it would ask the terminal
    process = subprocess.Popen([needs("redis-cli"), "-h", node.host, "-p", str(node.port)], stdin=follower,
                               stdout=follower, stderr=follower, env=clean_environment({"TERM": "xterm"}))
    os.close(follower)
    shown = []

    def read():
        try:
            while chunk := os.read(leader, 4096):
                shown.append(chunk.decode(errors="replace"))
        except OSError:
            pass
    reader = threading.Thread(target=read)
    reader.start()
    try:
        eventually(lambda: f":{node.port}> " in "".join(shown), 5, "the prompt is shown")
        os.write(leader, b"INCRBY terminal 7\r")
        eventually(lambda: "(integer) 7" in "".join(shown), 5, "the answer is shown")
        os.write(leader, b"quit\r")
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        os.close(leader)
    assert node.count("terminal") == 7


@pytest.mark.parametrize("flags", [
    ["-t", "ping,incr,get", "-n", "5000", "-c", "20"],
    ["-t", "ping,incr,get", "-n", "50000", "-c", "50", "-P", "64", "-r", "1000"],
    ["-n", "20000", "-P", "16", "-r", "100", "INCRBY", "counter:__rand_int__", "7"],
    ["-t", "incr", "-n", "5000", "-3"],
], ids=["plain", "pipelined", "command", "resp3"])
def test_redis_benchmark(node, flags):
    run = subprocess.run([needs("redis-benchmark"), "-h", node.host, "-p", str(node.port), "-q", *flags],
                         capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0 and "requests per second" in run.stdout, run
    assert "WARNING" not in run.stderr and "rror" not in run.stdout + run.stderr, run
    wanted = int(flags[flags.index("-n") + 1]) * (1 if "-t" in flags else 7)
    names = ["counter:__rand_int__"] + [f"counter:{number:012}" for number in range(1000)]
    counted = sum(int(value or 0) for value in node.redis().mget(names))
    assert wanted <= counted < wanted + 64 * 7  # it goes on to the end of a pipeline


def test_redis_py(node):
    client = node.redis(client_name="tests", decode_responses=True)
    assert client.ping() and client.incr("a") == 1 and client.incr("a", 10) == 11 and client.decr("a", 2) == 9
    assert client.get("a") == "9" and client.mget("a", "b") == ["9", None]
    assert client.exists("a", "b") == 1 and client.dbsize() == 1
    assert client.echo("x") == "x" and client.client_getname() == "tests" and client.client_id() > 0
    assert client.info()["redis_version"] and client.info("keyspace")["db0"]["keys"] == 1
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.command_count() > 20 and set(client.command()) >= {"incr", "get", "mget", "hello"}
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.execute_command("INCRBY", "a", "x")
    with pytest.raises(redis.ResponseError, match="increment or decrement would overflow"):
        client.incr("a", 2 ** 63 - 1)
    assert client.get("a") == "9"
    client.close()


def test_redis_py_pipelines(node):
    client = node.redis()
    with client.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.incr(f"p-{number % 7}", number)
        replies = pipe.execute()
    assert len(replies) == 3000 and replies[:7] == list(range(7)) and replies[7] == 7
    total = sum(int(value) for value in client.mget([f"p-{number}" for number in range(7)]))
    assert total == sum(range(3000))
    with client.pipeline(transaction=False) as pipe:
        replies = pipe.incr("q").execute_command("NONSENSE").incr("q").execute(raise_on_error=False)
    assert replies[0] == 1 and isinstance(replies[1], redis.ResponseError) and replies[2] == 2


def test_many_clients_one_sum(node):
    """Each sees the sums that it makes itself rise, and together they make the total."""
    wrong = []

    def count(number: int) -> None:
        client = node.redis()
        last = 0
        for _ in range(200):
            seen = client.incr("shared")
            if seen <= last:
                wrong.append((number, last, seen))
            last = seen
        client.close()
    threads = [threading.Thread(target=count, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    wait_counts([node], 4000, counter="shared")


# What clients send on each new connection (from their sources), and what they need to go on.
SEQUENCES = {
    "redis-py": ["HELLO 3", "?CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip", "CLIENT SETNAME n",
                 "?CLIENT SETINFO LIB-NAME redis-py", "?CLIENT SETINFO LIB-VER 6.0.0"],
    "go-redis": ["HELLO 3 SETNAME n", "SELECT 0", "?CLIENT TRACKING ON", "?CLIENT MAINT_NOTIFICATIONS ON",
                 "?CLIENT SETINFO LIB-NAME go-redis(,go1.24)", "?CLIENT SETINFO LIB-VER 9.0.0"],
    "ioredis": ["HELLO 3", "SELECT 0", "CLIENT SETNAME n", "READONLY", "?CLIENT SETINFO LIB-VER 6.0.0",
                "?CLIENT SETINFO LIB-NAME ioredis", "INFO"],
    "node-redis": ["HELLO 3 SETNAME n", "READONLY", "?CLIENT SETINFO LIB-VER 5.0.0",
                   "?CLIENT SETINFO LIB-NAME node-redis", "?CLIENT MAINT_NOTIFICATIONS ON"],
    "jedis": ["CLIENT SETNAME n", "?CLIENT SETINFO lib-name jedis", "?CLIENT SETINFO lib-ver 6.0.0", "READONLY",
              "SELECT 0"],
    "lettuce": ["HELLO 3", "CLIENT SETNAME n", "?CLIENT SETINFO lib-name Lettuce", "?CLIENT SETINFO lib-ver 6.7.0"],
    "lettuce-resp2": ["HELLO 2", "PING"],
    "redis-benchmark": ["CONFIG GET save", "CONFIG GET appendonly", "HELLO 3", "SELECT 0"],
    "redis-cli": ["SELECT 0", "COMMAND DOCS", "INFO server", "COMMAND", "COMMAND COUNT"],
}


@pytest.mark.parametrize("client", SEQUENCES)
def test_what_clients_send_on_connect(node, client):
    """All at once, as pipelining clients do. A ? marks what may be refused, by an error and not by a closed door."""
    commands = SEQUENCES[client] + ["INCR connected"]
    lines = "".join(command.lstrip("?") + "\r\n" for command in commands)
    with node.connect() as connection, connection.makefile("rb") as replies:
        connection.sendall(lines.encode())
        for command in commands:
            reply = read_reply(replies)
            if not command.startswith("?"):
                assert not isinstance(reply, Refused), f"{command}: {reply}"
            if command.startswith("HELLO"):
                fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))
                assert fields[b"proto"] == int(command.split()[1]) and isinstance(fields[b"id"], int)
                assert fields[b"mode"] == b"standalone" and fields[b"role"] == b"master"
                assert fields[b"version"] and fields[b"server"] and fields[b"modules"] == []
            if command == "INFO":
                assert b"\r\nloading:0\r\n" in reply
        assert reply == 1


class Refused(str):
    pass


def read_reply(replies):
    """One reply of RESP2 or RESP3, read strictly."""
    line = replies.readline()
    assert line.endswith(b"\r\n"), f"the connection ended: {line!r}"
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest
    if kind == b"-":
        return Refused(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"_":
        return None
    if kind == b"#":
        return {b"t": True, b"f": False}[rest]
    if kind == b",":
        return float(rest)
    if kind in b"$=":
        if rest == b"-1":
            return None
        text = replies.read(int(rest) + 2)
        assert text.endswith(b"\r\n")
        return text[:-2]
    if kind in b"*~>":
        return None if rest == b"-1" else [read_reply(replies) for _ in range(int(rest))]
    assert kind == b"%", f"not a reply: {line!r}"
    return {freeze(read_reply(replies)): read_reply(replies) for _ in range(int(rest))}


def freeze(value):
    return tuple(value) if isinstance(value, list) else value


IOREDIS = r"""
const Redis = require('ioredis');
const client = new Redis(+process.argv[2], '127.0.0.1', { maxRetriesPerRequest: 0, retryStrategy: () => null });
(async () => {
  const pipeline = client.pipeline();
  for (let i = 0; i < 500; i++) pipeline.incr('io');
  const replies = await pipeline.exec();
  const good = replies.every(reply => reply[0] === null);
  console.log(JSON.stringify([good, await client.get('io'), await client.mget('io', 'no')]));
  await client.quit();
})().catch(e => { console.error(e); process.exit(1); });
"""


def test_ioredis(node):
    """As ./dev setup --test installs it from test/clients."""
    modules = os.path.join(ROOT, "build", "clients", "node_modules")
    if not os.path.isdir(os.path.join(modules, "ioredis")):
        pytest.skip("ioredis is not there: ./dev setup --test fetches it where the npm registry is reached")
    program = needs("node")
    environment = clean_environment({"NODE_PATH": modules})
    script = node.cluster.folder / "client.js"
    script.write_text(IOREDIS)
    run = subprocess.run([program, str(script), str(node.port)], capture_output=True, text=True, timeout=30,
                         check=False, env=environment)
    assert run.returncode == 0, run
    assert json.loads(run.stdout) == [True, "500", ["500", None]]
