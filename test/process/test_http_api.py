# SPDX-License-Identifier: Apache-2.0
"""/v1 from end to end on three nodes, health, and metrics as a scraper reads them."""
import base64
import re
import shutil
import subprocess
import threading

import pytest

from cluster import wait_counts, wait_digests, wait_mesh
from waiting import eventually


@pytest.fixture
def nodes(cluster):
    return cluster.start(3)


@pytest.fixture
def node(cluster):
    return cluster.new().start()


def test_increment_and_read_on_every_node(nodes):
    for number, node in enumerate(nodes, 1):
        answer = node.http.post("/v1/counters/hits/increment", {"delta": 10})
        assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
        assert answer.json == {"name": "hits", "value": 10 * number, "value_string": str(10 * number), "applied": 10}
        wait_counts(nodes, 10 * number, within=1, counter="hits")
    assert nodes[0].http.post("/v1/counters/hits/increment").json["applied"] == 1
    assert nodes[0].http.post("/v1/counters/hits/increment", {}).json["value"] == 32
    assert nodes[0].http.get("/v1/counters/hits").body == b'{"name":"hits","value":32,"value_string":"32"}'
    assert nodes[0].http("HEAD", "/v1/counters/hits").body == b""


def assert_problem(answer, status):
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status and answer.json["type"] and answer.json["title"] and answer.json["detail"]


def test_problems(node):
    http = node.http
    assert_problem(http.get("/v1/counters/nothing"), 404)
    assert_problem(http.get("/v1/nothing"), 404)
    for body in ('{"delta":1.5}', '{"delta":"1"}', '{"delta":1,"delta":2}', '{"detla":1}', '[]', '{"delta":1}x',
                 '{"delta":9223372036854775808}'):
        assert_problem(http.post("/v1/counters/a/increment", body), 400)
    assert_problem(http.post("/v1/counters/" + "n" * 1025 + "/increment", {}), 400)
    assert_problem(http.post("/v1/counters//increment", {}), 404)
    assert http("PATCH", "/v1/counters/a").status in (405, 501)
    answer = http("POST", "/v1/cluster", b"")
    assert answer.status == 405 and "GET" in answer.headers["Allow"]
    assert http.get("/v1/counters/a").status == 404
    assert http.post("/v1/counters/big/increment", {"delta": 2 ** 63 - 1}).status == 200
    assert_problem(http.post("/v1/counters/big/increment", {}), 409)
    assert http.get("/v1/counters/big").json["value_string"] == str(2 ** 63 - 1)


@pytest.mark.parametrize("path, raw", [
    ("a%20b", b"a b"), ("a%2Fb", b"a/b"), ("a%2fincrement", b"a/increment"), ("%00", b"\0"), ("%c3%bc", "ü".encode()),
    ("%FF%fe", b"\xff\xfe"), ("%25", b"%"), ("..", b".."), ("%2e%2e%2f", b"../"), ("+", b"+"), ("%c0%af", b"\xc0\xaf"),
    ("n" * 1024, b"n" * 1024),
], ids=lambda value: repr(value)[:20])
def test_names_are_bytes(node, path, raw):
    answer = node.http.post(f"/v1/counters/{path}/increment", {"delta": 3})
    assert answer.status == 200, answer
    if "name" in answer.json:
        assert answer.json["name"].encode() == raw and "name_base64" not in answer.json
    else:
        assert base64.b64decode(answer.json["name_base64"], validate=True) == raw
        with pytest.raises(UnicodeDecodeError):
            raw.decode()
    assert int(node.redis().get(raw)) == 3
    assert node.http.get(f"/v1/counters/{path}").json["value"] == 3


def test_many_increments_at_once(nodes):
    items = [{"name": f"c{number % 4}", "delta": number} for number in range(500)]
    items += [{"name_base64": base64.b64encode(b"\xff").decode()}]
    answer = nodes[0].http.post("/v1/increments", items)
    results = answer.json["results"]
    assert answer.status == 200 and len(results) == 501
    totals: dict[str, int] = {}
    for item, result in zip(items[:-1], results):
        totals[item["name"]] = totals.get(item["name"], 0) + item["delta"]
        assert result == {"name": item["name"], "value": totals[item["name"]],
                          "value_string": str(totals[item["name"]]), "applied": item["delta"]}
    assert results[-1] == {"name_base64": "/w==", "value": 1, "value_string": "1", "applied": 1}
    for name, total in totals.items():
        wait_counts(nodes, total, within=1, counter=name)
    # A range error is that item's own; the others are applied.
    items = [{"name": "big", "delta": 2 ** 63 - 1}, {"name": "big"}, {"name": "ok"}]
    answer = nodes[0].http.post("/v1/increments", items)
    assert [set(result) for result in answer.json["results"]] == [
        {"name", "value", "value_string", "applied"}, {"name", "error"}, {"name", "value", "value_string", "applied"}]


def test_cluster_as_a_node_sees_it(nodes):
    first, second, third = nodes
    seen = first.http.get("/v1/cluster").json
    assert set(seen) == {"node", "replica", "cluster", "members"}
    assert seen["node"] == first.id and seen["cluster"] == first.cluster.name
    assert re.fullmatch("[0-9a-f]{32}", seen["replica"])
    assert {member["node"]: member["state"] for member in seen["members"]} == {node.id: "alive" for node in nodes}
    assert all(set(member) == {"node", "state", "address", "rtt_ms", "last_heard_ms", "lag_entries", "lag_ms"}
               for member in seen["members"])
    third.freeze()
    first.increment(1)
    eventually(lambda: first.members()[third.id]["lag_entries"] >= 1, 2, "what the frozen node lacks is known")
    eventually(lambda: first.members()[third.id]["state"] in ("down", "indirect"), 6)
    assert first.members()[second.id]["lag_entries"] == 0
    third.thaw()
    eventually(lambda: first.members()[third.id]["lag_entries"] == 0, 5)
    eventually(lambda: 0 < first.members()[third.id]["rtt_ms"] < 1000, 5, "the round trip is that of now")


def test_digests_are_equal_on_converged_nodes_only(nodes):
    """And they do not depend on which node counted what, nor on the order."""
    empty = wait_digests(nodes)
    for number, node in enumerate(nodes):
        for name in ("x", "y"):
            node.increment(number + 1, name)
    wait_counts(nodes, 6, counter="x")
    wait_counts(nodes, 6, counter="y")
    filled = wait_digests(nodes)
    assert filled != empty
    answer = eventually(lambda: (a := nodes[0].http.get("/v1/verify").json) and len(a["vector"]) == 3 and a, 2,
                        "the vector names three replicas")
    assert set(answer) == {"digest", "counters", "vector"} and answer["counters"] == 2
    assert re.fullmatch("[0-9a-f]{32}", answer["digest"]) and all(seq > 0 for seq in answer["vector"].values())
    nodes[2].freeze()
    nodes[0].increment(1, "x")
    assert nodes[0].digest() != filled
    nodes[2].thaw()
    wait_counts(nodes, 7, counter="x")
    assert wait_digests(nodes) != filled


def test_verify_blocks_nobody(node):
    """While a large keyspace is walked, increments on the same connection's worker go on being answered."""
    client = node.redis()
    with client.pipeline(transaction=False) as pipe:
        for number in range(100000):
            pipe.incr(f"many-{number}")
        pipe.execute()
    digests, stop = [], threading.Event()

    def verify():
        http = node.new_http(30)
        while not stop.is_set():
            digests.append(http.get("/v1/verify").json["counters"])
    thread = threading.Thread(target=verify)
    thread.start()
    counted = 0
    while len(digests) < 5 or counted < 5:
        counted = client.incr("during")
    stop.set()
    thread.join(30)
    assert min(digests) >= 100000


def test_health(cluster):
    node = cluster.new().start()
    assert node.http.get("/livez").status == 200
    node.wait_ready(within=2)
    assert node.http("HEAD", "/readyz").status == 200

    # One that should meet a peer waits for it, but not for ever.
    waiting = cluster.new()
    waiting.flags += ["--peers", "localhost:1"]
    waiting.start()
    assert waiting.http.get("/readyz").status == 503 and waiting.http.get("/livez").status == 200
    assert waiting.increment(1) == 1
    waiting.wait_ready(within=12)


def test_stopping_node_is_not_ready_and_refuses_writes(cluster):
    """A request under way keeps it from ending at once; meanwhile it says what it does."""
    node = cluster.new().start()
    node.wait_ready()
    client, other = node.new_http(), node.redis()
    client.get("/ping")
    other.ping()
    with node.connect() as slow:
        slow.sendall(b"POST /increment HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")
        eventually(lambda: node.metric("quipu_connected_clients") >= 3, 2)
        node.may_be_dead = True
        node.process.signal(15)
        eventually(lambda: node.log_lines("stopping"), 2)
        answer = client.post("/increment", {})
        assert answer.status == 503 and answer.json["success"] is False and int(answer.headers["Retry-After"]) > 0
        slow.sendall(b"}")
        assert slow.recv(100).startswith((b"HTTP/1.1 503", b"HTTP/1.1 200"))
    assert node.process.wait(12) == 0
    node.start()
    assert node.count() in (0, 1)


# --- metrics

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? '
                    r'([+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf|NaN))')


def read_metrics(text: str) -> dict[str, dict[str, float]]:
    """The text format, strictly: HELP and TYPE once and first, samples of a metric together, no sample twice."""
    found: dict[str, dict[str, float]] = {}
    types: dict[str, str] = {}
    current = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if match := re.fullmatch(r"# HELP (\S+) (\S.*)", line):
            current = match.group(1)
            assert current not in found, f"{current} stands in two places"
            assert match.group(2)[0].isupper() and match.group(2).endswith("."), line
            found[current] = {}
        elif match := re.fullmatch(r"# TYPE (\S+) (counter|gauge|histogram)", line):
            assert match.group(1) == current and current not in types, line
            types[current] = match.group(2)
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            assert name == current and labels not in found[name] and current in types, line
            found[name][labels or ""] = float(value)
    for name, kind in types.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|us|milliseconds|microseconds|kb|mb)(_total)?$", name), f"{name}: not a base unit"
        assert found[name], f"{name} has no sample"
    return found


def test_metrics_are_what_a_scraper_wants(nodes):
    node = nodes[0]
    answer = node.http.get("/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    before = read_metrics(answer.body.decode())
    assert len(before) >= 12
    node.increment(5)
    for _ in range(9):
        node.redis().incr("x")
    eventually(lambda: node.metric("quipu_peers_up") == 2, 2)
    after = read_metrics(node.http.get("/metrics").body.decode())
    assert after["quipu_increments_total"][""] - before["quipu_increments_total"][""] == 10
    assert after["quipu_counters"][""] == 2 and after["quipu_journal_syncs_total"][""] > 0
    assert set(after["quipu_peer_up"]) == {f'peer="{other.id}"' for other in nodes[1:]}
    assert all(after[name][labels] >= before[name].get(labels, 0)
               for name in after if name.endswith("_total") for labels in after[name])
    if shutil.which("promtool"):
        run = subprocess.run(["promtool", "check", "metrics"], input=answer.body, capture_output=True, check=False)
        assert run.returncode == 0, run


def test_pipelined_requests_are_answered_in_order(node):
    requests = b"".join(b"POST /v1/counters/p/increment HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                        b"GET /count?counter=p HTTP/1.1\r\nHost: a\r\n\r\n" for _ in range(300))
    with node.connect() as connection, connection.makefile("rb") as replies:
        connection.sendall(requests)
        for number in range(1, 301):
            assert b'"value":%d,' % number in read_body(replies)
            assert read_body(replies) == b'{"count":%d}' % number


def read_body(replies) -> bytes:
    assert replies.readline() == b"HTTP/1.1 200 OK\r\n"
    length = 0
    while (line := replies.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return replies.read(length)


def test_late_node_sees_everything(cluster):
    """More than fits into recent blocks: a newcomer is served from the keyspace."""
    nodes = cluster.start(2)
    with nodes[0].redis().pipeline(transaction=False) as pipe:
        for number in range(50000):
            pipe.incrby(f"bulk-{number}", number)
        pipe.execute()
    late = cluster.new(peers=nodes[:1]).start()
    wait_mesh([*nodes, late])
    eventually(lambda: late.redis().dbsize() == 50000, 20)
    wait_digests([*nodes, late])
    assert late.count("bulk-49999") == 49999
