# SPDX-License-Identifier: Apache-2.0
"""A well-behaved client beside the hostile ones: it increments all the time, and must come out exact."""
import threading

from cluster import Node
from waiting import SLOW, eventually

MEMORY_BYTES_ALLOWED = 24 << 20  # more than at the start: buffers kept for reuse, and the allocator's own


class Canary:
    """As a context. At its end the node must be as it was at the beginning: alive, the canary's count exact, memory and
    file descriptors back where they were."""

    def __init__(self, node: Node):
        self.node = node
        self.http, self.redis = node.new_http(), node.redis()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.sing, name="canary")
        self.answers = 0
        self.wrong: list[str] = []

    def sing(self) -> None:
        try:
            while not self.stop.is_set():
                seen = self.http.post("/v1/counters/canary/increment", {}).json["value"]
                self.answers += 1
                if seen != self.answers:
                    self.wrong.append(f"{seen} after {self.answers}")
                seen = self.redis.incr("canary")
                self.answers += 1
                if seen != self.answers:
                    self.wrong.append(f"{seen} after {self.answers}")
        except Exception as error:  # whatever it is, the canary is dead
            self.wrong.append(repr(error))

    def __enter__(self) -> "Canary":
        self.http.get("/ping")
        self.redis.ping()
        self.descriptors, self.memory = self.node.file_descriptors(), self.node.memory_bytes()
        self.pid = self.node.pid
        self.thread.start()
        return self

    def __exit__(self, kind, *_rest) -> None:
        self.stop.set()
        self.thread.join(30 * SLOW)
        if kind is not None:
            return
        assert self.wrong == [] and self.answers > 0
        assert self.node.count("canary") == self.answers
        assert self.node.alive and self.node.pid == self.pid
        self.node.http.close()
        eventually(lambda: self.node.file_descriptors() <= self.descriptors, 5, "all descriptors are closed again")
        grown = self.node.memory_bytes() - self.memory
        assert grown < MEMORY_BYTES_ALLOWED * SLOW, f"the node grew by {grown >> 20} MiB"
        self.http.close()
        self.redis.close()
