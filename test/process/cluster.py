# SPDX-License-Identifier: Apache-2.0
"""Real nodes: processes of the built program, started, killed, frozen and looked at by the tests.

Tests never meet: each cluster has its own name, its own discovery port or none, ports that nobody has, and its data
and logs in the test's own folder. Every process is ended by its own id, however the test ends, and a node that died
without having been told to is a failure of the test.
"""
import calendar
import os
import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterable, Mapping, NamedTuple, Optional, Sequence

import redis

from http_client import Answer, Http, NoAnswer
from waiting import SLOW, eventually

ROOT = Path(__file__).resolve().parents[2]
QUIPU = Path(os.environ.get("QUIPU_BINARY", ROOT / "build" / "quipu")).resolve()
PRELOAD = QUIPU.parent.parent / "test" / "preload" / "libpower.so"  # beside the program, from the same build
SETTING_VARIABLES = ("NODE_ID", "PEERS")


def _ports_below_ephemeral() -> Iterable[int]:
    """Ports that outgoing connections are never given. One that the system hands out for port 0 is such a port, and
    could be taken while a test has its node down."""
    first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(range(max(1024, first_ephemeral - 16384), first_ephemeral))
    random.SystemRandom().shuffle(ports)
    return iter(ports)


_candidates = _ports_below_ephemeral()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has on either loopback address; never the same one twice."""
    for port in _candidates:
        try:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family, kind) as probe:
                    probe.bind((host, port))
        except OSError as error:
            if error.errno == 99:  # no ::1 on this machine
                return port
            continue
        return port
    raise RuntimeError("all ports are taken")


def clean_environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """Ours, without any setting that a developer may have exported."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("QUIPU_") and name not in SETTING_VARIABLES}
    return {**kept, **extra}


class LogLine(NamedTuple):
    at: float  # seconds since 1970
    level: str
    text: str


LOG_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z (\w+) +(.*)")


class Process:
    """One life of a node, or of whatever else a test runs in its place."""

    def __init__(self, words: Sequence[object], log: Path, environment: Mapping[str, str], cwd: Path):
        with open(log, "ab") as output:
            self.popen = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=output, env=dict(environment), cwd=cwd)

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        if self.alive:
            self.popen.send_signal(number)

    def wait(self, within: float) -> int:
        return self.popen.wait(within * SLOW)


class Node:
    """A node through all its lives; they share a port, a data directory and a log file."""

    def __init__(self, cluster: "Cluster", port: int, flags: Sequence[object], environment: Mapping[str, str],
                 host: str = "localhost", prefix: Sequence[object] = ()):
        self.cluster, self.port, self.flags, self.environment = cluster, port, list(flags), dict(environment)
        self.id = f"{host}:{port}"
        self.host = "127.0.0.1" if host == "localhost" else host
        self.data = cluster.folder / f"{host}_{port}.quipu"
        self.log = cluster.folder / f"{host}_{port}.log"
        self.prefix, self.program = list(prefix), QUIPU
        self.process: Optional[Process] = None
        self.may_be_dead = True
        self.http = Http(self.host, port)

    # --- life

    def start(self, *flags: object, within: float = 10.0, wait: bool = True) -> "Node":
        assert self.process is None or not self.process.alive, f"{self.id} runs already"
        words = [*self.prefix, self.program, "serve", *self.flags, *flags]
        self.process = Process(words, self.log, clean_environment(self.environment), self.cluster.folder)
        self.may_be_dead = False
        self.http.close()
        if wait:
            self.wait_live(within)
        return self

    def wait_live(self, within: float = 10.0) -> None:
        def lives() -> bool:
            if not self.process.alive:
                raise RuntimeError(f"{self.id} ended with status {self.process.popen.returncode}:\n{self.log_tail()}")
            return self.http.get("/livez").status == 200
        eventually(lives, within, f"{self.id} answers")

    def wait_ready(self, within: float = 15.0) -> None:
        eventually(lambda: self.http.get("/readyz").status == 200, within, f"{self.id} is ready")

    @property
    def pid(self) -> int:
        return self.process.popen.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.alive

    def kill(self) -> None:
        """As a crash: SIGKILL, and gone when this returns."""
        self.may_be_dead = True
        self.process.signal(signal.SIGKILL)
        self.process.wait(10)
        self.http.close()

    def stop(self, within: float = 15.0) -> int:
        """As an operator: SIGTERM, and it must end with status 0."""
        self.may_be_dead = True
        self.http.close()
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(within)
        assert status == 0, f"{self.id} ended with status {status} on SIGTERM:\n{self.log_tail()}"
        return status

    def wait_end(self, within: float = 10.0) -> int:
        """For a node that is expected to end by itself."""
        self.may_be_dead = True
        return self.process.wait(within)

    def freeze(self) -> None:
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.signal(signal.SIGCONT)

    def discard(self) -> None:
        """Ends what is left of it, whatever state it is in."""
        if self.process is not None and self.process.alive:
            self.process.signal(signal.SIGCONT)
            self.process.signal(signal.SIGKILL)
            self.process.wait(10)
        self.http.close()

    # --- log

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 60) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def log_lines(self, pattern: str = "", since: float = 0.0) -> list[LogLine]:
        found = []
        for row in self.log_text().splitlines():
            match = LOG_LINE.match(row)
            if not match:
                continue
            whole, ms, level, text = match.groups()
            at = calendar_seconds(whole) + int(ms) / 1000
            if at >= since - 0.001 and re.search(pattern, text):
                found.append(LogLine(at, level, text))
        return found

    # --- clients

    def redis(self, **options) -> redis.Redis:
        """No retry: an increment that got no answer must not be sent twice."""
        settings = {"socket_timeout": 10, "socket_connect_timeout": 10, "retry_on_timeout": False, **options}
        return redis.Redis(self.host, self.port, **settings)

    def new_http(self, timeout: float = 10.0) -> Http:
        return Http(self.host, self.port, timeout)

    def connect(self, timeout: float = 10.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout)

    def increment(self, count: int = 1, counter: Optional[str] = None) -> int:
        body = {"increment_count": count, **({} if counter is None else {"counter": counter})}
        answer = self.http.post("/increment", body)
        assert answer.status == 200, f"{self.id}: {answer}"
        return answer.json["count"]

    def count(self, counter: str = "default") -> int:
        answer = self.http.get(f"/count?counter={counter}")
        assert answer.status == 200, f"{self.id}: {answer}"
        return answer.json["count"]

    def peers(self) -> list[str]:
        return self.http.get("/peers").json

    def members(self) -> dict[str, dict]:
        return {member["node"]: member for member in self.http.get("/v1/cluster").json["members"]}

    def digest(self) -> str:
        answer = self.http.get("/v1/verify")
        assert answer.status == 200, answer
        return answer.json["digest"]

    def metric(self, name: str) -> float:
        for row in self.http.get("/metrics").body.decode().splitlines():
            if row.startswith(name + " "):
                return float(row.split()[1])
        raise AssertionError(f"{self.id} has no metric {name}")

    # --- as the system sees the process

    def file_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


def calendar_seconds(text: str) -> float:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))


class Cluster:
    """Nodes of one test. `quick` settings notice and reconnect faster, for tests whose promise is not the default."""

    QUICK = ("--heartbeat-ms", 100, "--peer-timeout-ms", 600, "--backoff-min-ms", 50, "--backoff-max-ms", 400)

    def __init__(self, folder: Path):
        self.folder = folder
        self.name = f"test-{os.getpid()}-{random.SystemRandom().randrange(10 ** 9)}"
        self.discover_port = free_port(socket.SOCK_DGRAM)
        self.nodes: list[Node] = []

    def new(self, *flags: object, environment: Mapping[str, str] = {}, peers: Iterable[Node] = (),
            discover: str = "off", port: Optional[int] = None, prefix: Sequence[object] = (),
            data: object = None) -> Node:
        """A node that is not started yet, told by flags."""
        port = port or free_port()
        node = Node(self, port, [], environment, prefix=prefix)
        node.flags = ["--node-id", node.id, "--peers", ",".join(peer.id for peer in peers), "--cluster", self.name,
                      "--data-dir", data or node.data, "--workers", 2, "--discover", discover,
                      "--discover-port", self.discover_port, *flags]
        self.nodes.append(node)
        return node

    def start(self, count: int, *flags: object, **options) -> list[Node]:
        """Starts nodes together, each with the ones before it as peers, and waits until all hear all."""
        nodes: list[Node] = []
        for _ in range(count):
            nodes.append(self.new(*flags, peers=nodes, **options))
        for node in nodes:
            node.start(wait=False)
        for node in nodes:
            node.wait_live()
        wait_mesh(nodes)
        return nodes

    def unexpected_deaths(self) -> list[str]:
        return [f"{node.id} died with status {node.process.popen.returncode}" for node in self.nodes
                if node.process is not None and not node.may_be_dead and not node.process.alive]

    def discard(self) -> None:
        for node in self.nodes:
            node.discard()


def wait_mesh(nodes: Sequence[Node], within: float = 10.0) -> None:
    """Until each hears all others."""
    def whole() -> bool:
        for node in nodes:
            others = sorted(other.id for other in nodes if other is not node)
            assert node.peers() == others, f"{node.id} hears {node.peers()}, not {others}"
        return True
    eventually(whole, within, "all nodes hear each other")


def wait_counts(nodes: Sequence[Node], expected: int, within: float = 5.0, counter: str = "default") -> None:
    def equal() -> bool:
        seen = {node.id: node.count(counter) for node in nodes}
        assert set(seen.values()) == {expected}, f"{counter} should be {expected} everywhere: {seen}"
        return True
    eventually(equal, within, f"all show {expected}")


def wait_digests(nodes: Sequence[Node], within: float = 10.0) -> str:
    """Until verify says the same everywhere; returns the digest."""
    def equal() -> str:
        seen = {node.id: node.digest() for node in nodes}
        assert len(set(seen.values())) == 1, f"digests differ: {seen}"
        return next(iter(seen.values()))
    return eventually(equal, within, "all digests are equal")


__all__ = ["Answer", "Cluster", "Http", "Node", "NoAnswer", "Process", "free_port", "wait_counts", "wait_digests",
           "wait_mesh"]
