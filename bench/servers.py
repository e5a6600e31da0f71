# SPDX-License-Identifier: Apache-2.0
"""Servers under measurement: started on free ports and fresh directories, watched through /proc, ended by their pid."""

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import time

HOST = "127.0.0.1"
START_SECONDS = 20
STOP_SECONDS = 15
PR_SET_PDEATHSIG = 1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """What makes a measurement impossible, in words for the user."""


def end_with_parent():
    """Runs in the child: even a SIGKILL of the measurement leaves no server behind."""
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        os._exit(127)


def free_ports(count):
    """Ports that are free now, on IPv4 and, as `localhost` stands for both, on IPv6."""
    with contextlib.ExitStack() as stack:
        ports = []
        while len(ports) < count:
            first = stack.enter_context(socket.create_server((HOST, 0)))
            port = first.getsockname()[1]
            try:
                if socket.has_ipv6:
                    stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:  # a machine without ::1 says something else
                    continue
            ports.append(port)
        return ports


class Client:
    """A RESP connection that knows just enough: commands out, one-line and bulk replies in."""

    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def send(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))

    def line(self):
        while b"\r\n" not in self.rest:
            data = self.socket.recv(65536)
            if not data:
                raise BenchError("a server closed a connection during the measurement")
            self.rest += data
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def reply(self):
        line = self.line()
        if line[:1] == b"-":
            raise BenchError(f"a server answered: {line[1:].decode(errors='replace')}")
        if line[:1] != b"$":
            return line[1:]
        return None if line == b"$-1" else self.line()

    def ask(self, *words):
        self.send(*words)
        return self.reply()

    def close(self):
        self.socket.close()


class Server:
    """A process with a port and a directory of its own. `with` it: it and its directory are gone afterwards."""

    def __init__(self, title, port, directory, arguments):
        self.title, self.port, self.directory, self.arguments = title, port, directory, arguments
        self.log_path = directory + ".log"
        self.process = None

    def __enter__(self):
        os.mkdir(self.directory)
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("QUIPU_") and name not in ("NODE_ID", "PEERS")}
        try:
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd=self.directory, env=environment, preexec_fn=end_with_parent)
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    def log_tail(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-5:])

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, BenchError), contextlib.closing(Client(self.port)) as client:
                if client.ask(b"PING") == b"PONG":
                    return
            self.let_run(0.02)
        raise BenchError(f"{self.title} did not answer within {START_SECONDS} s; its log ends with:\n{self.log_tail()}")

    def let_run(self, seconds):
        """Lets time pass. That the server ends meanwhile is an error."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
            raise BenchError(f"{self.title} ended by itself; its log ends with:\n{self.log_tail()}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log_path)

    def cpu_seconds(self):
        """User and system time of all threads so far; children that write snapshots are not in it."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Workplace:
    """Where the data directories are, and how each kind of server is started."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.redis_program = shutil.which("redis-server")
        self.cluster = f"bench-{os.getpid()}"
        self.made = 0

    def directory(self, title):
        self.made += 1
        return os.path.join(self.folder, f"{title}-{self.made}")

    def quipu(self, durability, port=None, peers=(), workers=1):
        port = port or free_ports(1)[0]
        directory = self.directory("quipu")
        arguments = [self.program, "serve", "--node-id", f"localhost:{port}", "--data-dir", directory,
                     "--durability", durability, "--workers", str(workers), "--discover", "off",
                     "--cluster", self.cluster, "--peers", ",".join(f"localhost:{peer}" for peer in peers)]
        return Server("quipu", port, directory, arguments)

    def redis(self, durability):
        """Its own defaults but for the append-only file, its fsync, and no snapshots on a timer."""
        port = free_ports(1)[0]
        directory = self.directory("redis")
        fsync = {"async": "everysec", "sync": "always"}[durability]
        arguments = [self.redis_program, "--port", str(port), "--bind", HOST, "--dir", directory, "--save", "",
                     "--appendonly", "yes", "--appendfsync", fsync]
        return Server("redis-server", port, directory, arguments)
