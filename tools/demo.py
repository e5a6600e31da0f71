#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demonstration behind ./dev demo: four nodes on this machine, real increments, a kill and a freeze.

Usage: demo.py PROGRAM. Exit status 0 if at the end four equal totals are the number of increments sent. Every increment
is sent once and must be answered: the client of a node that is about to be killed or frozen pauses just before."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PORTS = (8000, 8001, 8002, 8003)
BOLD, GREEN, RED, DIM, PLAIN = "\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[0m"


def colour(text, code):
    return f"{code}{text}{PLAIN}" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def fail(message):
    print(colour(f"demo: {message}", RED), file=sys.stderr)
    sys.exit(1)


class Node:
    def __init__(self, program, folder, port, peers):
        self.program, self.folder, self.port, self.peers = program, folder, port, peers
        self.name = f"localhost:{port}"
        self.log = os.path.join(folder, f"{port}.log")
        self.process, self.state = None, "off"

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("QUIPU_")}
        environment.update(NODE_ID=self.name, PEERS=self.peers, QUIPU_CLUSTER=f"demo-{os.getpid()}",
                           QUIPU_DATA_DIR=os.path.join(self.folder, str(self.port)))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "serve"], env=environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_for(f"{self.name} answers", self.answers, 10)
        self.state = "running"

    def answers(self):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                fail(f"{self.name} ended by itself; its log ends with:\n{''.join(log.readlines()[-5:])}")
        try:
            return self.request("GET", "/ping")[0] == 200
        except OSError:
            return False

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", self.port, timeout=5)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def sees(self):
        return json.loads(self.request("GET", "/peers")[1])

    def count(self):
        return json.loads(self.request("GET", "/count")[1])["count"]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.state = "killed"

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.state = "frozen"

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.state = "running"

    def end(self):
        if not self.process or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(12)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Client(threading.Thread):
    """Sends increments to one node, over HTTP or the Redis protocol, until it is told to pause or to end."""

    def __init__(self, node, protocol):
        super().__init__(daemon=True)
        self.node, self.protocol = node, protocol
        self.sent, self.error = 0, None
        self.may_send, self.idle, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.may_send.set()

    def run(self):
        try:
            while not self.ended.is_set():
                if not self.may_send.is_set():
                    self.idle.set()
                    self.may_send.wait(0.05)
                    continue
                self.idle.clear()
                with contextlib.closing(self.connect()) as send:
                    while self.may_send.is_set() and not self.ended.is_set():
                        next(send)
                        self.sent += 1
        except Exception as error:  # told to the main thread, which ends the demonstration with it
            self.error = f"{self.protocol} client of {self.node.name}: {error!r}"
        self.idle.set()

    def connect(self):
        return self.http() if self.protocol == "HTTP" else self.redis()

    def http(self):
        connection = http.client.HTTPConnection("localhost", self.node.port, timeout=10)
        body = json.dumps({"node_id": self.node.name, "increment_count": 1})
        try:
            while True:
                connection.request("POST", "/increment", body)
                answer = json.loads(connection.getresponse().read())
                if answer.get("success") is not True:
                    raise RuntimeError(f"answered {answer}")
                yield
        finally:
            connection.close()

    def redis(self):
        with socket.create_connection(("localhost", self.node.port), timeout=10) as connection:
            replies = connection.makefile("rb")
            while True:
                connection.sendall(b"*2\r\n$4\r\nINCR\r\n$7\r\ndefault\r\n")
                reply = replies.readline()
                if not reply.startswith(b":"):
                    raise RuntimeError(f"answered {reply!r}")
                yield

    def pause(self):
        self.idle.clear()
        self.may_send.clear()
        if not self.idle.wait(15):
            fail(f"the {self.protocol} client of {self.node.name} got no answer")

    def resume(self):
        self.may_send.set()


class Demo:
    def __init__(self, program, folder):
        self.nodes = [Node(program, folder, port, peers) for port, peers in zip(
            PORTS, ("", "localhost:8000", "localhost:8000,localhost:8001", ""))]
        self.clients = []
        self.step_number = 0

    def step(self, text):
        self.step_number += 1
        print(f"\n{colour(f'{self.step_number}. {text}', BOLD)}")

    def send_to(self, node):
        for protocol in ("HTTP", "Redis"):
            client = Client(node, protocol)
            self.clients.append(client)
            client.start()

    def clients_of(self, *nodes):
        return [c for c in self.clients if c.node in nodes]

    def check_clients(self):
        for client in self.clients:
            if client.error:
                fail(client.error)

    def more_increments(self, seconds):
        """Lets the clients work; returns when each that is not paused has sent at least a hundred more."""
        busy = [c for c in self.clients if c.may_send.is_set()]
        before = {c: c.sent for c in busy}
        deadline = time.monotonic() + seconds

        def enough():
            self.check_clients()
            return time.monotonic() >= deadline and all(c.sent >= before[c] + 100 for c in busy)
        wait_for("a hundred more increments from every client", enough, seconds + 30)

    def sent(self):
        return sum(c.sent for c in self.clients)

    def table(self):
        self.check_clients()
        print(f"   {'node':<16}{'process':<10}{'sees':<48}{'counts':>10}")
        for node in self.nodes:
            sees, count = "-", "-"
            if node.state == "running":
                sees = " ".join(name.split(":")[1] for name in node.sees()) or "nobody"
                count = str(node.count())
            line = f"   {node.name:<16}{node.state:<10}{sees:<48}{count:>10}"
            print(line if node.state == "running" else colour(line, DIM))
        print(colour(f"   answered increments so far: {self.sent()}", DIM))

    def see_each_other(self, *nodes):
        return all(sorted(node.sees()) == sorted(n.name for n in nodes if n is not node) for node in nodes)

    def run(self):
        first, second, third, late = self.nodes
        self.step("Three nodes start; each is told of those before it.")
        for node in (first, second, third):
            node.start()
        wait_for("the three see each other", lambda: self.see_each_other(first, second, third), 5)
        self.table()

        self.step("Clients send increments to all three, over HTTP and over the Redis protocol.")
        for node in (first, second, third):
            self.send_to(node)
        self.more_increments(2)
        self.table()

        self.step("A fourth node joins while they count. Its PEERS is empty: it finds the others by itself.")
        late.start()
        wait_for("all four see each other", lambda: self.see_each_other(*self.nodes), 5)
        self.send_to(late)
        self.more_increments(1)
        self.table()

        self.step(f"{second.name} is killed (SIGKILL); increments go on at the others.")
        for client in self.clients_of(second):
            client.pause()
        second.kill()
        wait_for("it is off every list", lambda: self.see_each_other(first, third, late), 5)
        self.more_increments(1)
        self.table()

        self.step(f"{third.name} is frozen (SIGSTOP) as well; increments go on at the other two.")
        for client in self.clients_of(third):
            client.pause()
        third.freeze()
        wait_for("it is off both lists", lambda: self.see_each_other(first, late), 5)
        self.more_increments(1)
        self.table()

        self.step("Both come back, by themselves fetch what they missed, and are counted on again.")
        second.start()
        third.thaw()
        wait_for("all four see each other again", lambda: self.see_each_other(*self.nodes), 10)
        for client in self.clients_of(second, third):
            client.resume()
        self.more_increments(1)
        self.table()

        self.step("The clients stop. Every node must show exactly what was sent.")
        for client in self.clients:
            client.pause()
            client.ended.set()
        self.check_clients()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and {n.count() for n in self.nodes} != {self.sent()}:
            time.sleep(0.02)
        self.table()
        return self.verdict()

    def verdict(self):
        totals = [node.count() for node in self.nodes]
        if set(totals) == {self.sent()}:
            print(colour(f"\nFour equal totals: {totals[0]}, exactly the number of increments sent.", GREEN))
            return 0
        print(colour(f"\nWrong: {self.sent()} increments were sent, the nodes count {totals}.", RED))
        return 1


def wait_for(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            fail(f"waited {seconds} s in vain until {what}")
        time.sleep(0.02)


def check_ports():
    for port in PORTS:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, port))
            except OSError as error:
                if error.errno == 98:  # EADDRINUSE; a machine without IPv6 gives others, which are fine
                    fail(f"port {port} is taken: the demonstration needs localhost:8000 to localhost:8003 for its"
                         " nodes; end what listens there and try again")


def main():
    if len(sys.argv) != 2:
        fail("usage: demo.py PROGRAM")
    check_ports()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = tempfile.mkdtemp(prefix="quipu-demo-")
    demo = Demo(os.path.abspath(sys.argv[1]), folder)
    status = 1
    try:
        status = demo.run()
    finally:
        for client in demo.clients:
            client.ended.set()
        for node in demo.nodes:
            node.end()
        if status == 0:
            shutil.rmtree(folder)
        else:
            print(f"demo: logs and data are kept in {folder}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
