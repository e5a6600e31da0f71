#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints how many cases in a JUnit file passed and how many failed; a skipped one is neither. No file is 0 and 0."""
import sys
import xml.etree.ElementTree as ElementTree


def count(path: str) -> tuple[int, int]:
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (FileNotFoundError, ElementTree.ParseError):
        return 0, 0
    failed = sum(any(case.find(tag) is not None for tag in ("failure", "error")) for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return len(cases) - failed - skipped, failed


if __name__ == "__main__":
    print(*count(sys.argv[1]))
