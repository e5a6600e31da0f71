# SPDX-License-Identifier: Apache-2.0
"""What is made of the numbers: medians, spreads, verdicts against targets, the tables and the JSON.

A verdict says only what this run shows: `met` or `missed` when the whole spread lies on one side of the target, and
`not shown` when the spread crosses it."""

import math
import statistics

IDLE_CORES_MAX = 0.2
PAIRS_MIN = 3


def quantile(values, share):
    """The smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def quantile_bounds(values, share):
    """Between which of the values the true quantile lies with 95 % probability, whatever the distribution: the rank of
    the quantile among n values is binomial. With few values the upper bound is the largest one."""
    ordered = sorted(values)
    count = len(ordered)
    reach = 1.96 * math.sqrt(count * share * (1 - share))
    low, high = math.floor(count * share - reach), math.ceil(count * share + reach) + 1
    return ordered[max(1, low) - 1], ordered[min(count, high) - 1]


def verdict(low, high, target, is_at_least):
    """`low` to `high` is the spread of what was measured."""
    if target is None:
        return ""
    if is_at_least:
        return "met" if low >= target else "missed" if high < target else "not shown"
    return "met" if high <= target else "missed" if low > target else "not shown"


class Row:
    other_cores = 0.0  # that other work on the machine had while this was measured


class PairRow(Row):
    """Rates of Quipu and Redis, taken in turn."""

    def __init__(self, name, title, quipu, redis, target=None):
        self.name, self.title, self.quipu, self.redis, self.target = name, title, quipu, redis, target
        self.ratios = [ours.rate / theirs.rate for ours, theirs in zip(quipu, redis)]
        self.low, self.high = (min(self.ratios), max(self.ratios)) if self.ratios else (0, 0)

    def verdict(self):
        """A pair or two have no spread to speak of."""
        found = verdict(self.low, self.high, self.target, True)
        return "not shown" if found and len(self.ratios) < PAIRS_MIN else found

    def cells(self):
        ratio = spread = target = ""
        if self.ratios:
            ratio, spread = f"{statistics.median(self.ratios):.2f}", f"{self.low:.2f}-{self.high:.2f}"
        if self.target is not None:
            target = f">= {self.target}"
        return [self.title, rate_text(self.quipu), rate_text(self.redis), ratio, spread, cpu_text(self.quipu),
                cpu_text(self.redis), f"{self.other_cores:.1f}", target, self.verdict()]

    def saturated(self):
        """Who was faster than the load generator could ask, if anybody."""
        return [title for title, samples in (("Quipu", self.quipu), ("Redis", self.redis))
                if samples and statistics.median(sample.generator_busy for sample in samples) > 0.9]

    def as_json(self):
        return {"row": self.name, "title": self.title, "target_ratio": self.target, "verdict": self.verdict(),
                "ratios": [round(ratio, 3) for ratio in self.ratios],
                "quipu": [sample.as_json() for sample in self.quipu],
                "redis": [sample.as_json() for sample in self.redis]}


class ArrivalRow(Row):
    """Times, in ms, until the other nodes showed an increment."""

    def __init__(self, name, title, arrivals, target_ms):
        self.name, self.title, self.target_ms = name, title, target_ms
        self.times_ms = [arrival.seconds * 1000 for arrival in arrivals]
        self.rounds_ms = [arrival.round_seconds * 1000 for arrival in arrivals]
        self.low, self.high = quantile_bounds(self.times_ms, 0.99)

    def verdict(self):
        """The target is one for idle machines: beside other work it can be met, but not missed."""
        found = verdict(self.low, self.high, self.target_ms, False)
        return "not shown" if found == "missed" and self.other_cores > IDLE_CORES_MAX else found

    def cells(self):
        return [self.title, str(len(self.times_ms)), f"{quantile(self.times_ms, 0.5):.2f}",
                f"{quantile(self.times_ms, 0.99):.2f}", f"{self.low:.2f}-{self.high:.2f}",
                f"{max(self.times_ms):.2f}",
                f"{quantile(self.rounds_ms, 0.5):.2f} / {quantile(self.rounds_ms, 0.99):.2f}",
                f"{self.other_cores:.1f}", f"p99 <= {self.target_ms}", self.verdict()]

    def as_json(self):
        return {"row": self.name, "title": self.title, "target_p99_ms": self.target_ms, "verdict": self.verdict(),
                "p50_ms": round(quantile(self.times_ms, 0.5), 3), "p99_ms": round(quantile(self.times_ms, 0.99), 3),
                "p99_bounds_ms": [round(self.low, 3), round(self.high, 3)], "max_ms": round(max(self.times_ms), 3),
                "times_ms": [round(time, 3) for time in self.times_ms],
                "longest_round_ms": [round(time, 3) for time in self.rounds_ms]}


class MemoryRow(Row):
    """Growth of resident memory, in bytes a counter."""

    def __init__(self, name, title, quipu, redis):
        self.name, self.title, self.quipu, self.redis = name, title, quipu, redis

    def cells(self):
        return [self.title, f"{self.quipu:.0f}", f"{self.redis:.0f}", f"{self.quipu / self.redis:.2f}"]

    def as_json(self):
        return {"row": self.name, "title": self.title, "quipu_bytes": round(self.quipu, 1),
                "redis_bytes": round(self.redis, 1)}


class DiskRow(Row):
    """Times of fdatasync, in ms, of the file system that both servers write to."""

    def __init__(self, name, title, seconds):
        self.name, self.title = name, title
        self.times_ms = [time * 1000 for time in seconds]

    def cells(self):
        return [self.title, f"{quantile(self.times_ms, 0.5):.2f}", f"{quantile(self.times_ms, 0.99):.2f}",
                f"{max(self.times_ms):.2f}"]

    def as_json(self):
        return {"row": self.name, "title": self.title, "p50_ms": round(quantile(self.times_ms, 0.5), 3),
                "p99_ms": round(quantile(self.times_ms, 0.99), 3), "max_ms": round(max(self.times_ms), 3)}


HEADS = {
    PairRow: ["50 connections, 1 worker", "Quipu /s", "Redis /s", "ratio", "spread", "Quipu us/op", "Redis us/op",
              "others", "target", "verdict"],
    ArrivalRow: ["3 idle nodes, ms", "samples", "p50", "p99", "95 % of p99", "max", "round p50 / p99", "others",
                 "target", "verdict"],
    MemoryRow: ["bytes a counter, 1 M counters", "Quipu", "Redis", "ratio"],
    DiskRow: ["write of 4 KiB and fdatasync, ms", "p50", "p99", "max"],
}


def rate_text(samples):
    return f"{statistics.median(sample.rate for sample in samples) / 1000:.1f} k" if samples else ""


def cpu_text(samples):
    return f"{statistics.median(sample.cpu_us for sample in samples):.2f}" if samples else ""


def table(head, rows):
    """Markdown that is also readable as it is."""
    widths = [max(len(line[column]) for line in [head, *rows]) for column in range(len(head))]

    def put(line):
        return "| " + " | ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                                 for column, (cell, width) in enumerate(zip(line, widths))) + " |"

    rule = "|" + "|".join("-" * (width + 2) if column == 0 else "-" * (width + 1) + ":"
                          for column, width in enumerate(widths)) + "|"
    return "\n".join([put(head), rule, *map(put, rows)])


def tables(rows):
    """One table for each kind of row that there is, and notes."""
    parts = []
    for kind, head in HEADS.items():
        of_kind = [row for row in rows if isinstance(row, kind)]
        if of_kind:
            parts.append(table(head, [row.cells() for row in of_kind]))
    for row in rows:
        for title in row.saturated() if isinstance(row, PairRow) else ():
            parts.append(f"{row.title}: the load generator had no time left over; {title} may be faster than shown.")
    return "\n\n".join(parts)
