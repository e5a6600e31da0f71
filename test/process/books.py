# SPDX-License-Identifier: Apache-2.0
"""What clients were told, against what nodes show: for tests in which nodes may refuse writes or die at any moment."""
from collections import Counter
from typing import Sequence

from cluster import Node, NoAnswer, wait_digests
from waiting import eventually


def pipeline(node: Node, commands: Sequence[str], depth: int = 5000) -> list[bytes]:
    """The first line of each command's reply, in order."""
    lines: list[bytes] = []
    with node.connect(timeout=60) as connection, connection.makefile("rb") as replies:
        for start in range(0, len(commands), depth):
            batch = commands[start:start + depth]
            connection.sendall("".join(f"{command}\r\n" for command in batch).encode())
            lines += [replies.readline() for _ in batch]
    return lines


def count_each(node: Node, names: Sequence[str], amount: int = 1) -> None:
    """Adds to each; all must be answered."""
    lines = pipeline(node, [f"INCRBY {name} {amount}" for name in names])
    wrong = [line for line in lines if not line.startswith(b":")]
    assert wrong == [], wrong[:3]


class Books:
    """Increments by one. Each is answered, refused (it did not count) or without an answer (it may have counted)."""

    def __init__(self) -> None:
        self.answered: Counter = Counter()
        self.unknown: Counter = Counter()
        self.refused = 0

    def count(self, node: Node, times: int, counter: str = "shared") -> int:
        """Returns how many were answered."""
        http, answered = node.new_http(5), 0
        for _ in range(times):
            try:
                answer = http.post(f"/v1/counters/{counter}/increment", {})
            except NoAnswer:
                self.unknown[counter] += 1
                continue
            assert answer.status in (200, 503), answer
            answered += answer.status == 200
            self.refused += answer.status == 503
        http.close()
        self.answered[counter] += answered
        return answered

    def assert_shown_by(self, node: Node) -> None:
        for counter in {*self.answered, *self.unknown}:
            least, seen = self.answered[counter], node.count(counter)
            most = least + self.unknown[counter]
            assert least <= seen <= most, f"{node.id} shows {seen} for {counter}, which is not in {least}..{most}"

    def settle(self, nodes: Sequence[Node], within: float = 30) -> None:
        """Until all nodes show the same, take writes, and show what was answered, neither less nor more."""
        def settled() -> bool:
            for node in nodes:
                assert node.http.get("/readyz").status == 200, f"{node.id} is not ready"
                self.assert_shown_by(node)
            return True
        eventually(settled, within, "what was answered is shown everywhere")
        wait_digests(nodes)
        for node in nodes:
            self.assert_shown_by(node)
