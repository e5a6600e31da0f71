# SPDX-License-Identifier: Apache-2.0
"""Versions side by side: each released one is built from its commit, forms a cluster with this one, and both start on
the other's directories. docs/VERSIONS.md has the list and the promise."""
import io
import re
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Optional

import pytest

from books import Books, count_each
from cluster import QUIPU, ROOT, Cluster, Node, wait_digests, wait_mesh
from power import read_directory
from waiting import eventually

VERSIONS = ROOT / "docs" / "VERSIONS.md"
BUILT = ROOT / "build" / "versions"  # a folder for each commit, kept
LLHTTP = ROOT / "build" / "llhttp"
SEGMENT_VERSION = struct.Struct("<8xI")  # behind the magic, in every version


def listed_versions() -> list[tuple[str, str]]:
    return re.findall(r"^(\d+\.\d+\.\d+) (\w+)$", VERSIONS.read_text(), re.MULTILINE)


def git(*words: str) -> Optional[bytes]:
    if shutil.which("git") is None:
        return None
    # The tree may belong to another user than the tests run as, in a container for example.
    run = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, *words], capture_output=True, check=False)
    return run.stdout if run.returncode == 0 else None


def commit_of(name: str) -> str:
    """In full. A clone may know main by its other name, or not at all, and a folder may be no clone."""
    for candidate in (name, f"origin/{name}", "HEAD") if name == "main" else (name,):
        found = git("rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}")
        if found is not None:
            return found.decode().strip()
    pytest.skip(f"commit {name} is not in this clone, or this is none")


def run_quietly(*words: object) -> None:
    run = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert run.returncode == 0, run.stdout.decode()[-3000:]


def unlisted_builds() -> list[Path]:
    """Those of earlier newest commits of main."""
    listed = {commit_of(name) for _, name in listed_versions()}
    return [folder for folder in BUILT.glob("*") if folder.name not in listed]


def build(commit: str) -> Path:
    """The program of that commit. Only what src/ needs, from git's archive: no worktree is left behind in .git."""
    folder = BUILT / commit
    program = folder / "build" / "src" / "quipu"
    if program.exists():
        return program
    archive = git("archive", commit)
    assert archive is not None
    for old in [folder, *unlisted_builds()]:
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder)  # git made it from our own tree
    run_quietly("/usr/bin/meson", "setup", folder / "build", folder, "-Doptimization=2", "-Dtests=disabled",
                f"-Dllhttp={LLHTTP}")
    run_quietly("ninja", "-C", folder / "build", "src/quipu")
    return program


@pytest.fixture(params=listed_versions(), ids=lambda version: version[0])
def earlier(request) -> Path:
    """The program of an earlier version."""
    return build(commit_of(request.param[1]))


def format_version(node: Node) -> int:
    segment = sorted(node.data.glob("journal-*"))[-1]
    with open(segment, "rb") as file:
        return SEGMENT_VERSION.unpack(file.read(SEGMENT_VERSION.size))[0]


def run_on(programs: list[Path], nodes: list[Node]) -> None:
    """Starts the nodes, all of which are down, each with its program."""
    for program, node in zip(programs, nodes):
        node.program = program
        node.start(wait=False)
    for node in nodes:
        node.wait_live()
    wait_mesh(nodes)


def count_on_all(books: Books, nodes: list[Node]) -> None:
    """The names tell who counts with which version of itself, and some are shared by all."""
    for number, node in enumerate(nodes):
        assert books.count(node, 10) == 10
        assert books.count(node, 3, f"of-{number}") == 3
    names = [f"many-{number}" for number in range(2000)]
    for node in nodes:
        count_each(node, names)
    books.answered.update({name: len(nodes) for name in names[::100]})
    books.settle(nodes)


def kill_all(nodes: list[Node]) -> None:
    for node in nodes:
        node.kill()


def test_both_versions_form_a_cluster_and_open_each_others_directories(cluster, earlier):
    nodes = [cluster.new(*Cluster.QUICK) for _ in range(4)]
    for number, node in enumerate(nodes):
        node.flags[node.flags.index("--peers") + 1] = ",".join(peer.id for peer in nodes[:number])
    books = Books()
    run_on([earlier, QUIPU, earlier, QUIPU], nodes)
    count_on_all(books, nodes)

    # One at a time is killed and comes back as the other version, which is how a cluster is upgraded.
    if format_version(nodes[0]) == format_version(nodes[1]):
        for node in nodes:
            node.kill()
            node.program = QUIPU if node.program == earlier else earlier
            node.start()
            wait_mesh(nodes)
            assert books.count(node, 5) == 5
        books.settle(nodes)
        kill_all(nodes)
        run_on([QUIPU, earlier, QUIPU, earlier], nodes)
        count_on_all(books, nodes)
    else:
        assert_earlier_refuses(nodes[1], earlier)

    kill_all(nodes)
    run_on([QUIPU] * 4, nodes)
    count_on_all(books, nodes)
    # From nothing but what peers of the other version have.
    nodes[3].stop()
    shutil.rmtree(nodes[3].data)
    nodes[3].start()
    books.settle(nodes)


def assert_earlier_refuses(node: Node, earlier: Path) -> None:
    """Its directory is of a newer format: one line, nothing changed."""
    node.kill()
    before = read_directory(node.data)
    node.program = earlier
    node.start(wait=False)
    assert node.wait_end(10) == 1 and "newer" in node.log_lines()[-1].text, node.log_tail(3)
    assert read_directory(node.data) == before
    node.program = QUIPU
    node.start()


def test_an_empty_node_of_one_version_is_filled_by_the_other(cluster, earlier):
    """By recent changes and by a sweep, in both directions."""
    for giver, taker in ((earlier, QUIPU), (QUIPU, earlier)):
        full, empty = cluster.new(*Cluster.QUICK), cluster.new(*Cluster.QUICK)
        full.program, empty.program = giver, taker
        full.start()
        count_each(full, [f"entry-{number}" for number in range(5000)])
        full.stop()
        full.start()
        empty.start()
        assert empty.http.post("/join", {"id": full.id}).status == 200
        wait_mesh([full, empty])
        eventually(lambda: empty.redis().dbsize() == 5000, 10, "all entries have come")
        wait_digests([full, empty])
        full.stop()
        empty.stop()
