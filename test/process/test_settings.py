# SPDX-License-Identifier: Apache-2.0
"""Starts that must not happen: settings that are not understood, places that are taken, data that is not ours."""
import ctypes
import json
import os
import socket
import subprocess

import pytest

from cluster import QUIPU, clean_environment, free_port
from power import read_directory


def serve(cluster, *flags, environment={}, folder=None):
    return subprocess.run([QUIPU, "serve", *map(str, flags)], capture_output=True, text=True, timeout=20, check=False,
                          env=clean_environment(environment), cwd=folder or cluster.folder)


@pytest.mark.parametrize("flag, variable, values", [
    ("--node-id", "NODE_ID", ["localhost", ":8000", "localhost:0", "localhost:65536", "localhost:x", "local host:1",
                              "::1:8000", "[::1]", "[::1]:", "localhost:8000:1", "localhost:+1", "0.0.0.0:8000",
                              "x" * 300 + ":1", "a\tb:1"]),
    ("--peers", "PEERS", ["localhost", "localhost:1,,x", "localhost:1;localhost:2", "localhost:99999"]),
    ("--listen", "QUIPU_LISTEN", ["8000", "localhost", "localhost:-1", "http://localhost:1"]),
    ("--data-dir", "QUIPU_DATA_DIR", ["a\nb", "d" * 5000]),
    ("--durability", "QUIPU_DURABILITY", ["always", "SYNC", "sync ", "1"]),
    ("--workers", "QUIPU_WORKERS", ["0", "-1", "65", "1.5", "two", "0x2", " 2", "99999999999999999999"]),
    ("--max-memory", "QUIPU_MAX_MEMORY", ["1G", "-1", "1e9"]),
    ("--cluster", "QUIPU_CLUSTER", ["c" * 256, "a\x1bb"]),
    ("--discover", "QUIPU_DISCOVER", ["on", "multicast", "lan"]),
    ("--discover-port", "QUIPU_DISCOVER_PORT", ["0", "65536", "7745/udp"]),
    ("--heartbeat-ms", "QUIPU_HEARTBEAT_MS", ["0", "9", "60001", "1s", "500.0"]),
    ("--peer-timeout-ms", "QUIPU_PEER_TIMEOUT_MS", ["0", "500", "600001", "3s"]),
    ("--backoff-min-ms", "QUIPU_BACKOFF_MIN_MS", ["0", "30001", "600001", "fast"]),
    ("--backoff-max-ms", "QUIPU_BACKOFF_MAX_MS", ["0", "499", "600001", ""]),
    ("--insecure", "QUIPU_INSECURE", ["yes", "2", "true"]),
    ("--users-file", "QUIPU_USERS_FILE", ["/etc/passwd"]),
    ("--peer-secret-file", "QUIPU_PEER_SECRET_FILE", ["/dev/null"]),
    ("--tls-cert", "QUIPU_TLS_CERT", ["x"]),
    ("--tls-key", "QUIPU_TLS_KEY", ["x"]),
    ("--tls-ca", "QUIPU_TLS_CA", ["x"]),
    ("--tls-client-auth", "QUIPU_TLS_CLIENT_AUTH", ["required"]),
    ("--allow-origin", "QUIPU_ALLOW_ORIGIN", ["*"]),
    ("--allow-host", "QUIPU_ALLOW_HOST", ["example.org"]),
    ("--log-format", "QUIPU_LOG_FORMAT", ["xml", "JSON"]),
    ("--log-level", "QUIPU_LOG_LEVEL", ["trace", "3"]),
])
def test_value_that_is_not_understood(cluster, flag, variable, values):
    """Exit status 2 and one line with the setting, as it was given, the value, and what is allowed."""
    safe = {"NODE_ID": f"localhost:{free_port()}"}
    for value in values:
        shown = value.encode("unicode_escape").decode()[:30]  # enough of it to be recognised
        shown = shown.replace("\\t", "\\x09").replace("\\n", "\\x0a")
        runs = [(flag, serve(cluster, f"{flag}={value}", environment=safe))]
        if value:  # an empty variable is one that is not set
            runs.append((variable, serve(cluster, environment={**safe, variable: value})))
        for name, run in runs:
            lines = run.stderr.splitlines()
            assert (run.returncode, run.stdout, len(lines)) == (2, "", 1), (name, value, run)
            assert name in lines[0] and shown in lines[0], (shown, lines[0])
            assert "allowed" in lines[0] or "not in this version yet" in lines[0] or "must" in lines[0], lines[0]
    assert sorted(os.listdir(cluster.folder)) == []


@pytest.mark.parametrize("flags", [
    ("--node-id", "localhost:8000", "--listen", "0.0.0.0:8000", "--insecure"),
    ("--node-id", "127.0.0.1:8000", "--listen", "[::]:8000", "--insecure"),
    ("--node-id", "10.1.2.3:8000", "--listen", "0.0.0.0:8000"),
    ("--node-id", "10.1.2.3:8000"),
])
def test_settings_that_do_not_go_together(cluster, flags):
    run = serve(cluster, *flags)
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1, run
    assert "--insecure" in run.stderr or "--listen" in run.stderr
    assert os.listdir(cluster.folder) == []


@pytest.mark.parametrize("words, hint", [
    (["--wrokers", "2"], "--workers"), (["--no-such-setting"], "--no-such-setting"), (["8000"], "8000"),
    (["--workers"], "--workers"),
])
def test_words_that_are_no_settings(cluster, words, hint):
    run = serve(cluster, *words)
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1 and hint in run.stderr, run


def test_flag_beats_variable_and_fine_values_are_fine(cluster):
    """Spaces in lists, the node itself among its peers, IPv6 and an empty PEERS: all in one start."""
    node = cluster.new(environment={"NODE_ID": "nonsense", "PEERS": "", "QUIPU_WORKERS": "0"})
    node.flags += ["--peers", f" {node.id} , [::1]:9 ,", "--workers", "1", "--log-format", "json"]
    node.start()
    assert node.metric("quipu_workers") == 1
    node.stop()
    for line in node.log_text().splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line))


def test_help_and_version_work_whatever_else_is_said(cluster):
    for word in ("--help", "--version"):
        run = serve(cluster, "--workers", "0", word)
        assert run.returncode in (0, 2)
        assert serve(cluster, word, environment={"QUIPU_WORKERS": "0"}).returncode == 0
    text = serve(cluster, "--help").stdout
    for name in ("--node-id", "NODE_ID", "--peers", "PEERS", "QUIPU_DATA_DIR", "--backoff-max-ms", "30000"):
        assert name in text


# --- places that are taken

def assert_refused(run, *hints):
    assert run.returncode == 1, run
    assert len(run.stderr.splitlines()) == 1, run.stderr
    for hint in hints:
        assert hint in run.stderr, run.stderr


def serve_as(cluster, node, *flags):
    return serve(cluster, *node.flags, *flags)


def test_taken_port(cluster):
    """Whoever does not get the port does not touch the data of the process that has it."""
    node = cluster.new().start()
    node.increment(5)
    before = sorted(os.listdir(node.data))
    assert_refused(serve_as(cluster, node), node.id)
    other = cluster.folder / "other"
    assert_refused(serve_as(cluster, node, "--data-dir", other), node.id)
    assert not other.exists() and sorted(os.listdir(node.data)) == before
    assert node.increment(1) == 6


def test_port_taken_by_somebody_else(cluster):
    node = cluster.new()
    with socket.create_server(("127.0.0.1", node.port)):
        assert_refused(serve_as(cluster, node), str(node.port), "taken")
    assert not node.data.exists()
    node.start()


def test_locked_directory(cluster):
    node = cluster.new().start()
    node.increment(5)
    run = serve_as(cluster, node, "--node-id", f"localhost:{free_port()}")
    assert_refused(run, str(node.data))
    assert node.increment(1) == 6
    node.kill()
    node.start()
    assert node.count() == 6


def test_directory_that_is_a_file_or_has_no_parent(cluster):
    node = cluster.new()
    node.data.write_text("mine")
    assert_refused(serve_as(cluster, node), str(node.data), "not a directory")
    assert node.data.read_text() == "mine"
    assert_refused(serve_as(cluster, node, "--data-dir", cluster.folder / "no" / "such"), "no/such")


def test_unreadable_directory(cluster):
    """As root nothing is unreadable, so then the program runs as nobody."""
    node = cluster.new()
    node.data.mkdir(mode=0o700)
    words = [str(word) for word in (QUIPU, "serve", *node.flags)]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *words]
        if subprocess.run([*words[:4], "test", "-x", QUIPU], check=False).returncode != 0:
            pytest.skip(f"nobody may not run {QUIPU}")
    else:
        node.data.chmod(0)
    run = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, env=clean_environment(),
                         cwd="/")
    assert_refused(run, str(node.data), "permission denied")


def test_newer_format(cluster):
    """A later version's journal is left alone. docs/FORMATS.md: the version is at byte 8 of a head of 64 bytes, and
    then comes their checksum, seeded with the first eight."""
    node = cluster.new().start()
    node.increment(5)
    node.stop()
    segment = sorted(node.data.glob("journal-*"))[-1]
    original = segment.read_bytes()
    head = bytearray(original[:64])
    head[8] += 1
    segment.write_bytes(head + xxh3(bytes(head), int.from_bytes(head[:8], "little")) + original[72:])
    before = read_directory(node.data)
    assert_refused(serve_as(cluster, node), str(node.data), segment.name, "newer version", "nothing was changed")
    assert read_directory(node.data) == before
    segment.write_bytes(original)
    node.start()
    assert node.count() == 5


def xxh3(data: bytes, seed: int) -> bytes:
    library = ctypes.CDLL("libxxhash.so.0")  # the program needs it, so it is there
    library.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    return library.XXH3_64bits_withSeed(data, ctypes.c_size_t(len(data)), ctypes.c_uint64(seed)).to_bytes(8, "little")


def test_directory_of_another_cluster(cluster):
    node = cluster.new().start()
    node.stop()
    assert_refused(serve_as(cluster, node, "--cluster", "another"), str(node.data), "cluster")


def test_default_data_directory_is_named_after_the_node(cluster):
    node = cluster.new()
    at = node.flags.index("--data-dir")
    del node.flags[at:at + 2]
    node.start()
    assert (cluster.folder / f"localhost_{node.port}.quipu").is_dir()
    assert (cluster.folder / f"localhost_{node.port}.quipu").stat().st_mode & 0o077 == 0
