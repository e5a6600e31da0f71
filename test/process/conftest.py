# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the process tests, and the nodes' logs beside a failure."""
import pytest

from cluster import QUIPU, Cluster


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its nodes had to say."""
    outcome = yield
    report = outcome.get_result()
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and cluster is not None:
        for node in cluster.nodes:
            report.sections.append((f"end of the log of {node.id}", node.log_tail(80)))


@pytest.fixture
def cluster(tmp_path):
    """An empty cluster; whatever is started in it is ended with the test."""
    assert QUIPU.exists(), f"no program at {QUIPU}; run ./dev build"
    made = Cluster(tmp_path)
    try:
        yield made
        deaths = made.unexpected_deaths()
    finally:
        made.discard()
    assert deaths == []
