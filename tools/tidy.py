#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over every source of ours that the build folder compiles, as many at a time as there are cores.

    tools/tidy.py BUILD_FOLDER

What was clean is not looked at again until it changes: a file's key is a hash over its compile command, its text, the
text of all headers it reaches, the settings and clang-tidy's version. The keys of clean files are in build/tidy/.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLEAN = ROOT / "build" / "tidy"
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def reached(source: Path) -> list[Path]:
    """The source and all headers of ours that it includes, however far away."""
    seen, waiting = {source}, [source]
    while waiting:
        current = waiting.pop()
        for name in INCLUDE.findall(current.read_bytes()):
            for folder in (current.parent, ROOT / "src", ROOT):
                header = (folder / name.decode()).resolve()
                if header.is_file():
                    if header not in seen:
                        seen.add(header)
                        waiting.append(header)
                    break
    return sorted(seen)


def key_of(source: Path, command: str, settings: bytes) -> str:
    digest = hashlib.sha256(settings + command.encode())
    for path in reached(source):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def ours(build: Path) -> list[tuple[Path, str]]:
    """Sources and their compile commands; what lies in build/ is not ours."""
    found = []
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        source = Path(entry["directory"], entry["file"]).resolve()
        if source.is_relative_to(ROOT) and not source.is_relative_to(ROOT / "build"):
            found.append((source, entry["command"]))
    return sorted(found)


def tidy(build: Path, source: Path, key: str) -> bool:
    run = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), str(source)],
                         capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode == 0 and not run.stdout.strip():
        (CLEAN / key).touch()
        return True
    print(run.stdout, run.stderr if run.returncode else "", flush=True)
    return False


def main() -> int:
    build = Path(sys.argv[1]).resolve()
    CLEAN.mkdir(parents=True, exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    settings = version + (ROOT / ".clang-tidy").read_bytes()
    wanted = [(source, key_of(source, command, settings)) for source, command in ours(build)]
    stale = {path.name for path in CLEAN.iterdir()} - {key for _, key in wanted}
    for name in stale:
        (CLEAN / name).unlink()
    waiting = [(source, key) for source, key in wanted if not (CLEAN / key).exists()]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        clean = list(pool.map(lambda job: tidy(build, *job), waiting))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
