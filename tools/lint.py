#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can check. Prints `file:line: what is wrong; what is allowed` and exits 1 if any.

    tools/lint.py [ROOT]      ROOT is the project's folder unless given

The rules are the tables below. An exception is a line in tools/lint_allow.txt: rule, file, reason. The list only
shrinks: an entry that excuses nothing is itself a finding.
"""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

# --- The tree. A folder includes itself and what stands here; single headers are named in full.

BASE = {"base"}
CORE = {"base", "count", "journal", "cluster", "node"}
DOORS = {"base", "node", "cluster/link.h", "journal/storage.h"}  # all that the core shows to those outside of it
INCLUDES = {
    "base": BASE,
    "count": BASE,
    "journal": BASE | {"count"},
    "cluster": BASE | {"count", "journal"},
    "node": BASE | {"count", "journal", "cluster"},
    "access": DOORS,
    "resp": DOORS | {"access"},
    "http": DOORS | {"access"},
    "server": DOORS | {"access", "resp", "http"},
    "cli": DOORS | {"access", "resp", "http", "server"},
}
# Outside src/: the simulator drives the core, tests may see everything.
TESTERS = {"sim", "test", "fuzz", "bench"}

# --- The core does no I/O: these system headers and no others. Some are for named files alone.

CORE_HEADERS = {
    "inttypes.h", "limits.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h",
    "xxhash.h",
}
CORE_HEADERS_FOR = {
    "stdio.h": {
        "src/base/err.c",  # the last words of a broken process
        "src/base/bytes.c", "src/journal/journal.c",  # numbers as text, in memory
    },
    "threads.h": {"src/base/lock.c"},  # thrd_yield
}

# --- Calls that are not made, with what is used instead.

BANNED = {
    "strcpy": "buffer_text or memcpy", "strcat": "buffer_text", "sprintf": "buffer_printf or snprintf",
    "vsprintf": "vsnprintf", "gets": "fgets", "strtok": "a struct reader or memchr", "atoi": "bytes_to_int64",
    "atol": "bytes_to_int64", "atoll": "bytes_to_int64", "rand": "base/random.h", "srand": "base/random.h",
    "random": "base/random.h", "assert": "REQUIRE, which stays on in release builds",
}
# What <stdlib.h> has beyond sorting and searching.
BANNED_IN_CORE = {
    name: "base/alloc.h" for name in ("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup")
} | {
    name: "an error code, or REQUIRE" for name in ("abort", "exit", "_Exit", "quick_exit", "atexit")
} | {
    name: "nothing: the environment belongs to the shell" for name in ("getenv", "setenv", "putenv", "system")
}
SYSTEM_IN_CORE = {"src/base/alloc.c", "src/base/err.c"}  # these two may call them, on behalf of all

# --- Sizes.

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 1000
HEADER_LINES_MAX = 149
COLUMNS_MAX = 120

# --- Files.

SKIPPED_FOLDERS = {".git", "build", "node_modules", "__pycache__", ".pytest_cache", ".hypothesis"}
CODE_SUFFIXES = {".c", ".h", ".py", ".sh", ".js", ".ts", ".css", ".html"}
CODE_NAMES = {"dev", "meson.build", "meson_options.txt", ".ci/run"}
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")
SLEEP = re.compile(r"(?<![\w.])(?:time\.)?(?:sleep|usleep|nanosleep)\s*\(")
CALL = re.compile(r"(?<![\w.>])([a-z_]\w*)\s*\(")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
ERR_PROTOTYPE = re.compile(r"[^;{}]*\benum\s+err\s+\w+\s*\(")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    text: str


class Source(NamedTuple):
    path: str  # from the root, with /
    text: str
    code: str  # C only: comments, strings and continued macros' text blanked, line by line as in text

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    @property
    def is_c(self) -> bool:
        return self.suffix in (".c", ".h")

    @property
    def folder(self) -> str:
        """src/count/x.c is count, test/unit/x.c is test."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "src" and len(parts) > 2 else parts[0]

    @property
    def in_core(self) -> bool:
        return self.path.startswith("src/") and self.folder in CORE

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1


def without_comments_and_strings(text: str) -> str:
    """Same length and lines, so that an offset means the same in both."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return token.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def sources(root: Path) -> Iterator[Source]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        for name in sorted(names):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if path.suffix not in CODE_SUFFIXES | {".md"} and name not in CODE_NAMES and relative not in CODE_NAMES:
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            yield Source(relative, text, without_comments_and_strings(text) if path.suffix in (".c", ".h") else "")


# --- Rules: each takes one file and yields (line, rule, text).

def check_text(source: Source) -> Iterator[tuple[int, str, str]]:
    is_code = source.suffix != ".md"
    for number, line in enumerate(source.lines, 1):
        if "\t" in line:
            yield number, "tab", "a tab; indent with spaces"
        if line != line.rstrip():
            yield number, "trailing-space", "space at the end of the line"
        if is_code and len(line) > COLUMNS_MAX:
            yield number, "line-length", f"{len(line)} columns; at most {COLUMNS_MAX}"
        if mark := UNFINISHED.search(line):
            yield number, "unfinished", f"'{mark.group()}'; do it, or file an issue"
    if is_code and not any("SPDX-License-Identifier: Apache-2.0" in line for line in source.lines[:2]):
        yield 1, "spdx", "no 'SPDX-License-Identifier: Apache-2.0' in the first line (the second after #! or a doctype)"
    if not source.text.endswith("\n"):
        yield len(source.lines), "final-newline", "no newline at the end of the file"


def check_file_length(source: Source) -> Iterator[tuple[int, str, str]]:
    most = HEADER_LINES_MAX if source.suffix == ".h" else FILE_LINES_MAX
    count = source.text.count("\n")
    if source.suffix != ".md" and count > most:
        yield most + 1, "file-length", f"{count} lines; at most {most}"


def check_layers(source: Source) -> Iterator[tuple[int, str, str]]:
    if not source.path.startswith("src/") or not source.is_c:
        return
    allowed = INCLUDES.get(source.folder)
    if allowed is None:
        yield 1, "layers", f"folder '{source.folder}' has no place in the order; there are {', '.join(INCLUDES)}"
        return
    for match in INCLUDE.finditer(source.text):
        kind, name = match.groups()
        if kind == "<":
            continue
        folder = name.split("/")[0] if "/" in name else ""
        if folder != source.folder and folder not in allowed and name not in allowed:
            yield (source.line_of(match.start()), "layers",
                   f'"{name}" from {source.folder}; allowed is {source.folder}, {", ".join(sorted(allowed))}')


def check_core_headers(source: Source) -> Iterator[tuple[int, str, str]]:
    if not source.in_core:
        return
    for match in INCLUDE.finditer(source.text):
        kind, name = match.groups()
        if kind == "<" and name not in CORE_HEADERS and source.path not in CORE_HEADERS_FOR.get(name, ()):
            only = f" ({name} is for {', '.join(sorted(CORE_HEADERS_FOR[name]))})" if name in CORE_HEADERS_FOR else ""
            yield (source.line_of(match.start()), "core-headers",
                   f"<{name}> in the core; allowed is {', '.join(sorted(CORE_HEADERS))}{only}")


def check_calls(source: Source) -> Iterator[tuple[int, str, str]]:
    if not source.is_c:
        return
    banned = dict(BANNED)
    if source.in_core and source.path not in SYSTEM_IN_CORE:
        banned.update(BANNED_IN_CORE)
    for match in CALL.finditer(source.code):
        if match.group(1) in banned:
            yield (source.line_of(match.start(1)), "banned-call",
                   f"{match.group(1)}() is not used here; use {banned[match.group(1)]}")


def check_must_use(source: Source) -> Iterator[tuple[int, str, str]]:
    if source.suffix != ".h" or source.folder == "test":
        return
    for match in ERR_PROTOTYPE.finditer(source.code):
        if "MUST_USE" not in match.group() and "typedef" not in match.group():
            name = re.findall(r"\w+", match.group())[-1]
            yield source.line_of(match.end()), "must-use", f"{name} can fail; declare it MUST_USE enum err"


def check_sleeps(source: Source) -> Iterator[tuple[int, str, str]]:
    if source.folder not in TESTERS or source.suffix == ".md":
        return
    for match in SLEEP.finditer(source.code or source.text):
        yield source.line_of(match.start()), "sleep", "a sleep in a test; wait for the event, with a deadline"


RULES = (check_text, check_file_length, check_layers, check_core_headers, check_calls, check_must_use, check_sleeps)


# --- Rules that need the whole tree.

def check_circles(every: list[Source]) -> Iterator[Finding]:
    """A depth-first walk over the headers; coming back to one that is still open closes a circle."""
    headers = {source.path: source for source in every if source.suffix == ".h"}
    state: dict[str, str] = {}

    def walk(path: str, trail: list[str]) -> Iterator[Finding]:
        state[path] = "open"
        for match in INCLUDE.finditer(headers[path].text):
            target = next((p for p in ("src/" + match.group(2), match.group(2)) if p in headers), None)
            if match.group(1) == "<" or target is None:
                continue
            if state.get(target) == "open":
                circle = " > ".join([*trail[trail.index(target):], target])
                yield Finding(path, headers[path].line_of(match.start()), "circle", f"headers in a circle: {circle}")
            elif target not in state:
                yield from walk(target, [*trail, target])
        state[path] = "done"

    for path in headers:
        if path not in state:
            yield from walk(path, [path])


def check_listed(root: Path, every: list[Source]) -> Iterator[Finding]:
    """The build lists its sources by name, so a file can be forgotten."""
    for top in ("src", "sim", "test/unit", "bench", "fuzz"):
        listing = top + "/meson.build"
        if not (root / listing).is_file():
            continue
        text = (root / listing).read_text(encoding="utf-8")
        for source in every:
            if source.suffix != ".c" or not source.path.startswith(top + "/"):
                continue
            name = source.path[len(top) + 1:]
            short = name.removeprefix("test_").removeprefix("fuzz_").removesuffix(".c")
            if f"'{name}'" not in text and f"'{short}'" not in text:
                yield Finding(source.path, 1, "unlisted", f"not built; list '{name}' in {listing}")


def check_function_lengths(root: Path, every: list[Source]) -> Iterator[Finding]:
    paths = [source.path for source in every if source.is_c]
    if not paths:
        return
    if not shutil.which("ctags"):
        yield Finding("tools/lint.py", 1, "function-length", "ctags is missing; run ./dev setup --test")
        return
    run = subprocess.run(
        ["ctags", "--options=NONE", "--language-force=C", "--kinds-C=f", "--fields=+ne", "-L", "-", "-o", "-"],
        input="\n".join(paths), capture_output=True, text=True, check=True, cwd=root)
    for row in run.stdout.splitlines():
        name, path, *rest = row.split("\t")
        fields = dict(field.split(":", 1) for field in rest if re.match(r"(line|end):\d+$", field))
        if "line" not in fields or "end" not in fields:
            continue
        count = int(fields["end"]) - int(fields["line"]) + 1
        if count > FUNCTION_LINES_MAX:
            yield Finding(path, int(fields["line"]), "function-length",
                          f"{name} has {count} lines; at most {FUNCTION_LINES_MAX}")


def check_links(root: Path, every: list[Source]) -> Iterator[Finding]:
    for source in every:
        if source.suffix != ".md":
            continue
        fenced = False
        for number, line in enumerate(source.lines, 1):
            if line.lstrip().startswith("```"):
                fenced = not fenced
            for match in LINK.finditer("" if fenced else re.sub(r"`[^`]*`", "", line)):
                target = match.group(1).split("#")[0]
                if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
                    continue
                if not (root / source.path).parent.joinpath(target).exists():
                    yield Finding(source.path, number, "link",
                                  f"'{target}' is not there; links are relative to the page")


# --- Exceptions.

ALLOW_FILE = "tools/lint_allow.txt"


def allowed_entries(root: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, rule, file and reason of each entry."""
    path = root / ALLOW_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            rule, file, reason = (line.split(None, 2) + ["", "", ""])[:3]
            yield number, rule, file, reason


def without_allowed(root: Path, findings: list[Finding]) -> Iterator[Finding]:
    entries = list(allowed_entries(root))
    excused = {(rule, file) for _, rule, file, _ in entries}
    found = {(finding.rule, finding.path) for finding in findings}
    for number, rule, file, reason in entries:
        if not reason:
            yield Finding(ALLOW_FILE, number, "allow", "an exception needs a rule, a file and a reason")
        if (rule, file) not in found:
            yield Finding(ALLOW_FILE, number, "allow", f"'{rule}' no longer happens in {file}; take the entry out")
    yield from (finding for finding in findings if (finding.rule, finding.path) not in excused)


def lint(root: Path) -> list[Finding]:
    every = list(sources(root))
    findings = [Finding(source.path, *row) for source in every for rule in RULES for row in rule(source)]
    findings += check_circles(every)
    findings += check_listed(root, every)
    findings += check_function_lengths(root, every)
    findings += check_links(root, every)
    return sorted(without_allowed(root, findings))


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent)
    findings = lint(root)
    for finding in findings:
        print(f"{finding.path}:{finding.line}: {finding.rule}: {finding.text}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
