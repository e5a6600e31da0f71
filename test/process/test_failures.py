# SPDX-License-Identifier: Apache-2.0
"""Nodes that die, freeze, leave and come back, with the default settings where a promise is about these."""
import contextlib
import itertools
import time

from cluster import free_port, wait_counts, wait_digests, wait_mesh
from waiting import SLOW, eventually, pass_time

RETRY = r"connect to {} failed: .+; next attempt in (\d+) ms"


def wait_off(nodes, gone, within):
    eventually(lambda: all(gone.id not in node.peers() for node in nodes), within,
               f"{gone.id} is off the lists of {[node.id for node in nodes]}")


def test_killed_node_goes_off_every_list_and_comes_back_with_everything(cluster):
    nodes = cluster.start(3)
    victim, others = nodes[2], nodes[:2]
    answered = sum(1 for _ in range(50) if victim.increment(1))
    victim.kill()
    for node in others:
        node.increment(100)
    wait_off(others, victim, within=5)
    # What it answered last may have reached nobody yet; what they count they have in common.
    known = eventually(lambda: (counts := {node.count() for node in others}) and len(counts) == 1 and counts, 5).pop()
    assert 200 <= known <= answered + 200
    for node in others:
        node.increment(1000)

    victim.start()
    wait_mesh(nodes, within=3)
    wait_counts(nodes, answered + 2200, within=3)
    assert victim.increment(1) == answered + 2201
    wait_counts(nodes, answered + 2201, within=1)
    wait_digests(nodes)


def test_answered_just_before_the_kill_is_there_with_nobody_else_up(cluster):
    """What a client was told is on the node's own disk: no peer is there to bring it back."""
    node = cluster.new().start()
    for life in range(1, 6):
        for step in range(1, 21):
            assert node.increment() == 20 * (life - 1) + step
        node.kill()
        node.start()
        assert node.count() == 20 * life


def test_kill_in_the_middle_of_a_pipeline(cluster):
    """Answers arrive in order, so those that came say exactly what must be there."""
    node = cluster.new("--durability", "async").start()
    total = 0
    for _ in range(5):
        with node.connect() as connection:
            connection.sendall(b"INCR pipe\r\n" * 20000)
            received = connection.recv(65536)
            node.kill()
            with contextlib.suppress(ConnectionResetError):  # what had arrived before is all that was answered
                while chunk := connection.recv(1 << 20):
                    received += chunk
        answers = [int(line[1:]) for line in received.split(b"\r\n")[:-1]]
        assert answers == list(range(total + 1, total + len(answers) + 1))
        node.start()
        seen = int(node.redis().get("pipe") or 0)
        assert total + len(answers) <= seen <= total + 20000
        total = seen


def delays_until(node, peer_id, count, within):
    """The announced delays and the moments of these log lines, once there are `count`."""
    def there():
        lines = node.log_lines(RETRY.format(peer_id))
        assert len(lines) >= count, [line.text for line in lines]
        return lines[:count]
    lines = eventually(there, within, f"{count} attempts at {peer_id}")
    return [int(line.text.split()[-2]) for line in lines], [line.at for line in lines]


def assert_delays(announced, moments, expected):
    for delay, nominal in zip(announced, expected):
        assert 0.8 * nominal <= delay <= 1.2 * nominal, f"{announced} are not {expected} within 20 %"
    # The next attempt fails at once (refused), so the lines are as far apart as the delays said.
    for delay, (before, after) in zip(announced, itertools.pairwise(moments)):
        apart = (after - before) * 1000
        assert 0.8 * delay - 20 <= apart <= 1.2 * delay + 80 * SLOW, f"{apart:.0f} ms after {delay} ms were announced"


def test_delays_double_from_500_ms_to_the_cap(cluster):
    """Two nodes wait for peers that never were, each to its own cap; the default one on the way to 30 s."""
    absent = f"localhost:{free_port()}"
    capped, default = cluster.new("--backoff-max-ms", 4000), cluster.new()
    for node in (capped, default):
        node.flags += ["--peers", absent]
        node.start()
    assert_delays(*delays_until(capped, absent, 6, 25), [500, 1000, 2000, 4000, 4000, 4000])
    assert_delays(*delays_until(default, absent, 5, 25), [500, 1000, 2000, 4000, 8000])


def test_incoming_connection_ends_the_wait_and_health_resets_the_delays(cluster):
    """The survivor is waiting when the victim comes back and calls; a while later it counts from 500 ms again."""
    survivor, victim = cluster.start(2, "--backoff-max-ms", 2000, "--peer-timeout-ms", 1000, "--heartbeat-ms", 200)
    victim.kill()
    announced, _ = delays_until(survivor, victim.id, 4, 12)
    assert announced[3] > 1500
    victim.start()
    wait_mesh([survivor, victim], within=1)
    pass_time(10.5)  # of health: the promise is 10 s
    known = len(survivor.log_lines(RETRY.format(victim.id)))
    victim.kill()
    lines = eventually(lambda: survivor.log_lines(RETRY.format(victim.id))[known:], 5)
    assert 400 <= int(lines[0].text.split()[-2]) <= 600


def test_freeze_longer_than_the_peer_timeout(cluster):
    nodes = cluster.start(3)
    frozen, others = nodes[0], nodes[1:]
    frozen.increment(1)
    wait_counts(nodes, 1)
    frozen.freeze()
    began = time.time()
    wait_off(others, frozen, within=5)
    for node in others:
        assert [other.id for other in others if other is not node] == node.peers()
        node.increment(10)
    frozen.thaw()
    # It holds its own verdict back: those that went on all the time were never down in its eyes.
    wait_mesh(nodes, within=5)
    wait_counts(nodes, 21, within=5)
    bad = "connect to .* failed|peer .* is down"
    verdicts = [line.text for other in others for line in other.log_lines(bad, began)]
    assert [text for text in verdicts if frozen.id not in text] == []
    assert frozen.log_lines("peer .* is down", began) == []
    frozen.increment(100)
    wait_counts(nodes, 121, within=1)
    wait_digests(nodes)


def test_goodbye_is_off_the_list_at_once(cluster):
    nodes = cluster.start(3)
    leaving, others = nodes[1], nodes[::2]
    leaving.increment(4)
    leaving.stop()
    wait_off(others, leaving, within=0.5)
    for node in others:
        assert node.members()[leaving.id]["state"] == "down"  # and still a member
    leaving.start()
    wait_mesh(nodes, within=3)
    wait_counts(nodes, 4, within=1)


def test_whole_cluster_finds_itself_without_seeds(cluster):
    """Everything known is on disk: no list of peers, no discovery, all addresses from the last life."""
    nodes = cluster.start(4)
    for number, node in enumerate(nodes):
        node.increment(10 ** number)
    wait_counts(nodes, 1111)
    for node in nodes[:2]:
        node.kill()
    for node in nodes[2:]:
        node.stop()
    for node in nodes:
        node.flags[node.flags.index("--peers") + 1] = ""
        node.start(wait=False)
    for node in nodes:
        node.wait_live()
    wait_mesh(nodes, within=5)
    wait_counts(nodes, 1111, within=1)
    wait_digests(nodes)


def test_nodes_of_another_cluster_never_join(cluster):
    here = cluster.start(2)
    stranger = cluster.new("--cluster", "other", peers=here).start()
    stranger.increment(5)
    eventually(lambda: stranger.log_lines("refused|broken") or here[0].log_lines("refused|broken"), 3)
    assert stranger.peers() == []
    here[0].increment(7)
    wait_counts(here, 7)
    assert stranger.count() == 5


def test_node_in_memory_gets_its_counts_back_from_a_peer(cluster):
    """--data-dir none: what a peer has survives the node."""
    keeper = cluster.new().start()
    forgetful = cluster.new(peers=[keeper], data="none").start()
    wait_mesh([keeper, forgetful])
    forgetful.increment(9)
    wait_counts([keeper], 9, within=1)
    forgetful.kill()
    forgetful.start()
    wait_counts([forgetful], 9, within=5)
    forgetful.increment(1)
    wait_counts([keeper, forgetful], 10, within=1)


def test_second_signal_exits_at_once(cluster):
    """A client that sends half a request would hold the first one up."""
    node = cluster.new().start()
    with node.connect() as connection:
        connection.sendall(b"POST /increment HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        node.increment(3)
        node.may_be_dead = True
        node.process.signal(15)
        eventually(lambda: node.log_lines("stopping"), 2)
        node.process.signal(15)
        assert node.process.wait(2) != 0 or node.log_lines("stopped")
    node.start()
    assert node.count() == 3
