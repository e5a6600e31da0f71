# SPDX-License-Identifier: Apache-2.0
"""What a power loss would have left of a directory, worked out from the log of test/preload/power.c.

Two kinds of machine: the strict one keeps what was synced and nothing else. A seeded one also keeps, of what was not
synced, any number of the directory's changes in their order, and of each 512-byte sector any state that it went through
since it was last synced: disks write sectors whole and in any order.
"""
import os
import random
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from cluster import PRELOAD, Cluster, Node

RECORD = struct.Struct("<IIQQQ")
MAGIC = 0x51505752
DIRECTORY = 2 ** 64 - 1
CREATE, OPEN, WRITE, RESIZE, RENAME, UNLINK, SYNC_BEGIN, SYNC_END = range(1, 9)
SECTOR = 512


class Record(NamedTuple):
    op: int
    inode: int
    offset: int
    data: bytes


def read_log(path: Path) -> Iterator[Record]:
    """Up to a torn record: its call was never heard of by anybody."""
    log = path.read_bytes() if path.exists() else b""
    at = 0
    while at + RECORD.size <= len(log):
        magic, op, inode, offset, length = RECORD.unpack_from(log, at)
        at += RECORD.size
        if magic != MAGIC or at + length > len(log):
            return
        yield Record(op, inode, offset, log[at:at + length])
        at += length


@dataclass
class File:
    """content and what was done to it since: pending changes in their order, (offset, data) or (length, None)."""
    content: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Optional[bytes]]] = field(default_factory=list)
    begun: dict[int, int] = field(default_factory=dict)  # number of a sync under way: how much of pending it covers

    def apply(self, count: int) -> None:
        for offset, data in self.pending[:count]:
            change(self.content, offset, data)
        del self.pending[:count]
        self.begun = {number: max(0, covered - count) for number, covered in self.begun.items()}

    def survivor(self, chance: Optional[random.Random]) -> bytes:
        if chance is None or not self.pending:
            return bytes(self.content)
        whole = bytearray(self.content)
        for offset, data in self.pending:
            change(whole, offset, data)
        length = chance.choice((len(self.content), len(whole)))
        left = self.content + bytes(max(0, length - len(self.content)))
        kept: dict[int, int] = {}  # sector: how many of the pending changes reached it
        for number, (offset, data) in enumerate(self.pending):
            for sector in range(offset // SECTOR, (offset + len(data) + SECTOR - 1) // SECTOR if data else 0):
                if number < kept.setdefault(sector, chance.randrange(len(self.pending) + 1)):
                    low, high = max(offset, sector * SECTOR), min(offset + len(data), (sector + 1) * SECTOR)
                    change(left, low, data[low - offset:high - offset])
        return bytes(left[:length])


def change(content: bytearray, offset: int, data: Optional[bytes]) -> None:
    end = offset + len(data or b"")
    if data is None:
        del content[offset:]
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if data is not None:
        content[offset:end] = data


class Disk:
    """The directory as it was when the process began, then everything that the log has."""

    def __init__(self, before: dict[str, bytes], log: Path):
        self.names = {name: File(bytearray(content)) for name, content in before.items()}  # as the process sees them
        self.synced_names = dict(self.names)
        self.name_changes: list[dict[str, File]] = []  # each the whole directory after one change
        self.begun: dict[int, int] = {}
        self.files: dict[int, File] = {}
        self.syncs = self.writes = 0
        for record in read_log(log):
            self.replay(record)

    def replay(self, record: Record) -> None:
        name = record.data.decode(errors="replace")
        if record.op == CREATE:
            self.files[record.inode] = File()
            self.rename(None, name, self.files[record.inode])
        elif record.op == OPEN:
            self.files[record.inode] = self.names[name]
        elif record.op == RENAME:
            before, after = name.split("\0")
            self.rename(before, after, self.names[before])
        elif record.op == UNLINK:
            self.rename(name, None, None)
        elif record.op == WRITE:
            self.writes += 1
            self.files[record.inode].pending.append((record.offset, record.data))
        elif record.op == RESIZE:
            self.files[record.inode].pending.append((record.offset, None))
        elif record.op == SYNC_BEGIN and record.inode == DIRECTORY:
            self.begun[record.offset] = len(self.name_changes)
        elif record.op == SYNC_BEGIN:
            self.files[record.inode].begun[record.offset] = len(self.files[record.inode].pending)
        elif record.op == SYNC_END:
            self.sync_end(record)

    def rename(self, before: Optional[str], after: Optional[str], file: Optional[File]) -> None:
        if before is not None:
            del self.names[before]
        if after is not None:
            self.names[after] = file
        self.name_changes.append(dict(self.names))

    def sync_end(self, record: Record) -> None:
        self.syncs += 1
        if record.inode != DIRECTORY:
            file = self.files[record.inode]
            file.apply(file.begun.pop(record.offset))
            return
        covered = self.begun.pop(record.offset)
        if covered:
            self.synced_names = self.name_changes[covered - 1]
            del self.name_changes[:covered]
            self.begun = {number: max(0, count - covered) for number, count in self.begun.items()}

    def after_power_loss(self, chance: Optional[random.Random]) -> dict[str, bytes]:
        """chance None: the strict machine."""
        names = self.synced_names
        if chance is not None:
            names = chance.choice([names, *self.name_changes])
        return {name: file.survivor(chance) for name, file in sorted(names.items())}


def read_directory(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir()} if path.exists() else {}


def write_directory(path: Path, files: dict[str, bytes]) -> None:
    path.mkdir(mode=0o700)
    for name, content in files.items():
        with open(path / name, "wb") as file:  # zeros at the end become a hole, as cheap to write as to read
            used = content.rstrip(b"\0")
            file.write(used)
            file.truncate(len(content))


class PoweredNode:
    """A node whose machine can lose power. Each life has a directory of its own, made from what the last one left."""

    def __init__(self, cluster: Cluster, *flags: object):
        assert PRELOAD.exists(), f"{PRELOAD} is not built"
        self.cluster, self.life = cluster, 0
        self.faults = cluster.folder / "faults"
        self.faults.mkdir()
        self.node: Node = cluster.new(*flags)
        self.node.data.mkdir(mode=0o700)
        self.before: dict[str, bytes] = {}
        self._wire()

    @property
    def log(self) -> Path:
        return self.cluster.folder / f"power-{self.life}.log"

    def _wire(self) -> None:
        flags = self.node.flags
        flags[flags.index("--data-dir") + 1] = self.node.data
        self.node.environment = {
            "LD_PRELOAD": str(PRELOAD), "QUIPU_POWER_DIR": str(self.node.data), "QUIPU_POWER_LOG": str(self.log),
            "QUIPU_POWER_FAULTS": str(self.faults), "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def fault(self, name: str, on: bool) -> None:
        (self.faults / name).touch() if on else (self.faults / name).unlink()

    def fail_nth(self, kind: str, call: str, nth: int) -> None:
        """From now on: the nth call of that name; test/preload/power.c says what there is."""
        self.mend()
        draft = self.cluster.folder / "nth"
        draft.write_text(f"{kind} {call} {nth}")
        draft.rename(self.faults / "nth")

    def struck(self) -> Counter:
        """Which calls were made to fail, or counted."""
        note = self.faults / "struck"
        return Counter(note.read_text().split()) if note.exists() else Counter()

    def mend(self) -> None:
        for name in ("nth", "struck"):
            (self.faults / name).unlink(missing_ok=True)

    def lose_power(self, seed: Optional[int]) -> Disk:
        """Kills the node; its next life starts from what is left. seed None: the strict machine."""
        self.node.kill()
        disk = Disk(self.before, self.log)
        self.next_life(disk.after_power_loss(None if seed is None else random.Random(seed)))
        return disk

    def next_life(self, files: dict[str, bytes]) -> None:
        """The node, which is not running, starts from these files."""
        self.before = files
        old_data, old_log = self.node.data, self.log
        self.life += 1
        self.node.data = self.cluster.folder / f"life-{self.life}"
        write_directory(self.node.data, self.before)
        for entry in old_data.iterdir():
            entry.unlink()
        os.rmdir(old_data)
        old_log.unlink(missing_ok=True)
        self._wire()
