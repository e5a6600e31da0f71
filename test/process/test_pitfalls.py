# SPDX-License-Identifier: Apache-2.0
"""What real systems of this kind got wrong, done to real processes. Each story is named after its number in the list
of pitfalls that the project was planned with; BB-3, BB-5 and BB-6 need features to come (docs/TESTING.md)."""
import itertools
import shutil
import subprocess
import threading
import time

import pytest

from books import Books, count_each
from cluster import Cluster, Node, wait_counts, wait_digests, wait_mesh
from power import PoweredNode
from waiting import SLOW, always, eventually, pass_time

MIB = 1 << 20

# --- BB-1: a data directory that was copied, or put back
#
# A replica's numbers may be given out by one process only. Copies of machines, restored backups and volumes that were
# attached twice broke this for Riak (causal histories used again), ScyllaDB and Cassandra (a returning node's counter
# shard below what others had of it): increments that were answered were taken for known ones, and lost for good.


def copy_directory(source, target) -> None:
    """As an operator would. A file of a running node may go while it is copied: then once more."""
    def copied() -> bool:
        shutil.rmtree(target, ignore_errors=True)
        return subprocess.run(["cp", "-r", source, target], capture_output=True, check=False).returncode == 0
    eventually(copied, 10, "the directory is copied")


def new_clone(cluster: Cluster, node: Node, peers) -> Node:
    """A node of another name and port on a copy of the directory, not started."""
    clone = cluster.new(*Cluster.QUICK, peers=peers)
    copy_directory(node.data, clone.data)
    return clone


def replica_of(node: Node) -> str:
    return node.http.get("/v1/cluster").json["replica"]


def assert_lives_on(books: Books, nodes: list[Node]) -> None:
    """All was kept, each has an id of its own, and each goes on counting, also after a restart of all."""
    books.settle(nodes)
    assert len({replica_of(node) for node in nodes}) == len(nodes)
    for node in nodes:
        assert books.count(node, 5) == 5
    books.settle(nodes)
    for node in nodes:
        node.kill()
    for node in nodes:
        node.start(wait=False)
    for node in nodes:
        node.wait_live()
    books.settle(nodes)
    for node in nodes:
        assert books.count(node, 5) == 5
    books.settle(nodes)


def start_pair(cluster: Cluster, books: Books) -> tuple[Node, Node]:
    """A witness and the node that will be copied, which has counted."""
    witness, original = cluster.start(2, *Cluster.QUICK)
    books.count(original, 50)
    books.count(witness, 20)
    books.settle([witness, original])
    return witness, original


def test_bb1_clone_of_a_stopped_node_beside_the_original(cluster):
    books = Books()
    witness, original = start_pair(cluster, books)
    original.stop()
    clone = new_clone(cluster, original, [witness])
    for node in (original, clone):
        node.start(wait=False)
    for node in (original, clone):
        node.wait_live()
        books.count(node, 30)
        books.count(node, 30, f"of-{node.port}")
    wait_mesh([witness, original, clone], within=30)
    assert_lives_on(books, [witness, original, clone])


def test_bb1_clone_of_a_running_node(cluster):
    """The original counts while it is copied and afterwards: what the copy has is some moment of it."""
    books = Books()
    witness, original = start_pair(cluster, books)
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            books.count(original, 10, "meanwhile")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        clone = new_clone(cluster, original, [witness])
        clone.start()
        books.count(clone, 30)
        wait_mesh([witness, original, clone], within=30)
    finally:
        over.set()
        thread.join(30)
    assert_lives_on(books, [witness, original, clone])


def test_bb1_clone_of_a_node_that_everybody_has_met_since(cluster):
    """The original was found to be in order, and has written more than the copy: only the copy is wrong."""
    books = Books()
    witness, original = start_pair(cluster, books)
    original.stop()
    clone = new_clone(cluster, original, [witness])
    original.start()
    wait_mesh([witness, original])
    books.count(original, 40)
    books.settle([witness, original])
    clone.start()
    books.count(clone, 60)
    wait_mesh([witness, original, clone], within=30)
    assert_lives_on(books, [witness, original, clone])


@pytest.mark.parametrize("ahead", ["clone", "original"])
def test_bb1_clone_that_is_there_first(cluster, ahead):
    """The copy counts and is met by the witness before the original is back, which then counts less or more."""
    books = Books()
    witness, original = start_pair(cluster, books)
    original.stop()
    clone = new_clone(cluster, original, [witness]).start()
    wait_mesh([witness, clone])
    books.count(clone, 60 if ahead == "clone" else 10)
    books.settle([witness, clone])
    original.start()
    books.count(original, 10 if ahead == "clone" else 60)
    wait_mesh([witness, original, clone], within=30)
    assert_lives_on(books, [witness, original, clone])


def test_bb1_clone_of_a_lone_node(cluster):
    """Nobody else is there to tell the two apart, and each has counted before they meet."""
    books = Books()
    original = cluster.new(*Cluster.QUICK).start()
    books.count(original, 50)
    original.stop()
    clone = new_clone(cluster, original, [original])
    original.start()
    books.count(original, 30)
    original.freeze()
    clone.start()
    books.count(clone, 40)
    original.thaw()
    wait_mesh([original, clone], within=30)
    assert_lives_on(books, [original, clone])


def put_back(node: Node, backup) -> None:
    shutil.rmtree(node.data)
    copy_directory(backup, node.data)


@pytest.mark.parametrize("written", [5, 80], ids=["behind", "overtaken"])
def test_bb1_directory_that_was_put_back(cluster, written):
    """A backup. With 80 written before the first contact the numbers have overtaken what the witness knows (60): by
    them alone nothing looks wrong."""
    books = Books()
    witness, node = start_pair(cluster, books)
    backup = cluster.folder / "backup"
    node.stop()
    copy_directory(node.data, backup)
    node.start()
    wait_mesh([witness, node])
    books.count(node, 60)
    books.settle([witness, node])
    node.kill()
    put_back(node, backup)
    witness.freeze()
    node.start()
    assert books.count(node, written) == written, "nobody has told it anything yet"
    witness.thaw()
    wait_mesh([witness, node], within=30)
    assert_lives_on(books, [witness, node])


@pytest.mark.parametrize("absent", ["frozen", "dead"])
def test_bb1_directory_put_back_while_who_knows_most_is_away(cluster, absent):
    """One witness never heard of the writes that the backup lacks, and finds nothing wrong. The other comes later."""
    books = Books()
    ignorant, informed, node = nodes = cluster.start(3, *Cluster.QUICK)
    books.count(node, 50)
    books.settle(nodes)
    backup = cluster.folder / "backup"
    node.stop()
    copy_directory(node.data, backup)
    ignorant.kill()
    node.start()
    wait_mesh([informed, node])
    books.count(node, 60)
    books.settle([informed, node])
    node.kill()
    if absent == "frozen":
        informed.freeze()
    else:
        informed.kill()
    put_back(node, backup)
    ignorant.start()
    node.start()
    wait_mesh([ignorant, node], within=15)
    books.count(node, 30)
    pass_time(6)  # past the 5 s that a node waits for those who do not answer
    books.count(node, 30)
    if absent == "frozen":
        informed.thaw()
    else:
        informed.start()
    wait_mesh(nodes, within=30)
    assert_lives_on(books, nodes)


def test_bb1_disk_that_lies_about_fsync(cluster):
    """The disk said that all was well and kept nothing: after a power loss the peer knows more than the node."""
    books = Books()
    powered = PoweredNode(cluster, *Cluster.QUICK)
    node = powered.node.start()
    witness = cluster.new(*Cluster.QUICK, peers=[node]).start()
    wait_mesh([node, witness])
    books.count(node, 40)
    books.settle([node, witness])
    powered.fault("no-sync", on=True)
    books.count(node, 60)
    books.settle([node, witness])
    powered.lose_power(None)
    powered.fault("no-sync", on=False)
    node.start()
    books.count(node, 30)
    wait_mesh([node, witness], within=30)
    assert_lives_on(books, [node, witness])


# --- BB-2: reads during a rejoin
#
# A node that was away for so long that it must be told everything afresh was reset before it was refilled in some
# systems (chitchat among them): for seconds its readers saw counters fall. Grow-only counters never may.

class Watcher(threading.Thread):
    """Reads the same counters of one node over and over, and notes each that went down."""

    def __init__(self, node: Node, names: list[str], seen: list[int]):
        super().__init__(name="watcher")
        self.node, self.names, self.seen = node, names, seen
        self.first, self.over = list(seen), threading.Event()
        self.fell: list[str] = []
        self.rounds = self.mixed = 0

    def run(self) -> None:
        client = self.node.redis()
        while not self.over.is_set():
            values = [int(value or 0) for value in client.mget(self.names)]
            self.fell += [f"{name} was {before} and is {now}" for name, before, now
                          in zip(self.names, self.seen, values) if now < before]
            grown = sum(now > first for now, first in zip(values, self.first))
            self.mixed += 0 < grown < len(values)
            self.seen, self.rounds = values, self.rounds + 1
        client.close()

    def finish(self) -> None:
        self.over.set()
        self.join(30 * SLOW)
        assert not self.is_alive() and self.fell == [], self.fell[:5]


def test_bb2_reads_do_not_go_down_while_a_node_catches_up(cluster):
    """Owners that were restarted remember no recent changes, so the node that was away is served by a sweep over all
    that they have; it is read from its first answer on, while the counting goes on."""
    first, second, away = nodes = cluster.start(3, *Cluster.QUICK, "--durability", "async")
    names = [f"grow-{number}-{'g' * 60}" for number in range(40_000)]
    watched = names[::200]
    for node in nodes:
        count_each(node, names)
    eventually(lambda: all(away.count(name) == 3 for name in watched), 20)
    wait_digests(nodes)
    away.kill()
    for node in (first, second):
        count_each(node, names, 10)
    wait_counts([first, second], 23, 20, names[-1])
    for node in (first, second):
        node.stop()
        node.start()
    wait_mesh([first, second])

    over, more = threading.Event(), itertools.count()

    def load() -> None:
        while not over.is_set():
            count_each(first, watched)
            next(more)

    loader = threading.Thread(target=load, name="loader")
    loader.start()
    away.start()
    watcher = Watcher(away, watched, [3] * len(watched))
    watcher.start()
    try:
        wait_mesh(nodes)
        eventually(lambda: all(away.count(name) >= 23 for name in watched + names[1::200]), 30, "it has caught up")
    finally:
        over.set()
        loader.join(30 * SLOW)
        watcher.finish()
    assert not loader.is_alive()
    rounds = next(more)
    assert rounds > 0 and watcher.rounds > 10 and watcher.mixed > 0, "nothing was read while the sweep was under way"
    print(f"{watcher.rounds} reads, {watcher.mixed} of them in the middle; {rounds} rounds of load")
    wait_counts(nodes, 23 + rounds, 20, watched[7])
    wait_digests(nodes)


# --- BB-4: a peer that does not read
#
# Redis and Valkey keep a buffer for each replica whose default limit for cluster links is none: one frozen peer makes
# everybody else grow until the kernel ends them. Here nothing may be kept for a peer but a place in what there is.

BB4_FROZEN_S = 25
BB4_GROWTH_MAX = 16 * MIB
RECENT_CHANGES = 1 << 20  # whose places a node keeps of its own


def test_bb4_memory_stays_flat_while_a_peer_is_frozen(cluster):
    """The link to the frozen node is not given up meanwhile, so whatever is kept for it would pile up."""
    nodes = cluster.start(5, "--durability", "async", "--peer-timeout-ms", 600_000)
    frozen, others = nodes[-1], nodes[:-1]
    names = [f"load-{number}" for number in range(5_000)]
    over, done = threading.Event(), [0, 0]

    def load(number: int) -> None:
        while not over.is_set():
            count_each(others[number], names)
            done[number] += 1

    loaders = [threading.Thread(target=load, args=(number,), name=f"loader-{number}") for number in range(2)]
    for loader in loaders:
        loader.start()
    try:
        # The places of recent changes fill a ring of 16 MiB, for all peers together: growth until then means nothing.
        eventually(lambda: min(node.metric("quipu_commit_entries_total") for node in others[:2]) > 1.2 * RECENT_CHANGES,
                   90, "all have what they need")
        frozen.freeze()
        before = [node.memory_bytes() for node in others]
        received = others[2].metric("quipu_peer_bytes_in_total")
        growth = [0] * len(others)

        def stays_flat() -> bool:
            for number, node in enumerate(others):
                growth[number] = max(growth[number], node.memory_bytes() - before[number])
            return max(growth) < BB4_GROWTH_MAX * SLOW
        always(stays_flat, BB4_FROZEN_S, f"growth below {BB4_GROWTH_MAX // MIB} MiB")
        received = others[2].metric("quipu_peer_bytes_in_total") - received
        assert frozen.id in others[0].peers(), "the link was given up, which proves nothing"
    finally:
        frozen.thaw()
        over.set()
        for loader in loaders:
            loader.join(30 * SLOW)
    print(f"{received / MIB:.0f} MiB went to a peer that reads; grown by {[grown // 1024 for grown in growth]} KiB")
    # A third node that reads got this from the two that count: half of it is what each would have kept.
    assert received / 2 > 2 * BB4_GROWTH_MAX, f"only {received} bytes: a queue would not have been seen"
    wait_counts(nodes, sum(done), 20, names[17])
    wait_digests(nodes)


# --- BB-7: addresses that are used again
#
# Containers and clouds give an address that is free to whoever comes next. Gossip systems that know a member by its
# address have merged two clusters that way (Cassandra, Consul, Serf). Here an address says where, never who.

def assert_apart(here: list[Node], there: list[Node], totals: tuple[int, int]) -> None:
    """Each cluster shows its own sum, has its own counter alone, and nobody of the other on its list."""
    for nodes, total, foreign in ((here, totals[0], "there"), (there, totals[1], "here")):
        for node in nodes:
            assert node.count() == total and node.redis().exists(foreign) == 0, node.id
            others = sorted(other.id for other in nodes if other is not node)
            assert node.peers() == others, f"{node.id} hears {node.peers()}, not {others}"


def new_cluster(cluster: Cluster, name: str, count: int) -> list[Node]:
    nodes: list[Node] = []
    for _ in range(count):
        nodes.append(cluster.new(*Cluster.QUICK, "--cluster", f"{cluster.name}-{name}", peers=nodes).start())
    wait_mesh(nodes)
    return nodes


def test_bb7_address_that_another_cluster_takes_over(cluster):
    here, there = new_cluster(cluster, "here", 2), new_cluster(cluster, "there", 3)
    here[0].increment(5)
    here[0].increment(1, "here")
    there[0].increment(700)
    there[0].increment(1, "there")
    wait_counts(here, 5)
    wait_counts(there, 700)
    lost = there.pop()
    lost.kill()
    # A node of the one cluster appears where the other's members go on looking for one of theirs.
    began = time.time()
    usurper = cluster.new(*Cluster.QUICK, "--cluster", f"{cluster.name}-here", peers=here, port=lost.port,
                          data=cluster.folder / "usurper").start()
    here.append(usurper)
    wait_mesh(here)
    for node in there:
        eventually(lambda: node.log_lines(f"{lost.id}.* another cluster|another cluster.*{lost.id}", began), 5,
                   f"{node.id} has called there and was refused")
        assert node.http.post("/join", {"id": usurper.id}).status == 200
    usurper.increment(10)
    there[1].increment(1000)
    wait_counts(here, 15)
    wait_counts(there, 1700)
    eventually(lambda: assert_apart(here, there, (15, 1700)) is None, 3, "the lost one is off the lists")
    always(lambda: assert_apart(here, there, (15, 1700)) is None, 2)
    wait_digests(here)
    wait_digests(there)
    # The one who had the address comes back to it, with its directory.
    usurper.stop()
    here.pop()
    lost.start()
    there.append(lost)
    wait_mesh(there)
    lost.increment(1)
    wait_counts(there, 1701)
    wait_counts(here, 15)
    eventually(lambda: assert_apart(here, there, (15, 1701)) is None, 5)


def test_bb7_members_that_swap_their_addresses(cluster):
    """Within a cluster too: directories go to each other's address, and each replica keeps what is its own."""
    nodes = cluster.start(3, *Cluster.QUICK)
    for number, node in enumerate(nodes):
        node.increment(10 ** number)
        node.increment(1, f"of-{number}")
    wait_counts(nodes, 111)
    before = [replica_of(node) for node in nodes]
    for node in nodes[:2]:
        node.kill()
    first, second = (node.data for node in nodes[:2])
    spare = cluster.folder / "spare"
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    for node in nodes[:2]:
        node.start()
    assert [replica_of(node) for node in nodes] == [before[1], before[0], before[2]]
    for number, node in enumerate(nodes):
        node.increment(10 ** (3 + number))
    wait_mesh(nodes)
    wait_counts(nodes, 111_111)
    for number in range(3):
        wait_counts(nodes, 1, counter=f"of-{number}")
    wait_digests(nodes)
