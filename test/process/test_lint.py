# SPDX-License-Identifier: Apache-2.0
"""The lint finds what it is there to find: each test makes a small tree with one thing wrong in it."""
import subprocess
import sys
from pathlib import Path

import pytest

LINT = Path(__file__).resolve().parents[2] / "tools" / "lint.py"
NAP = "sle" "ep(1)"  # in two parts, or the lint would find it here
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"


def findings(root: Path, files: dict[str, str]) -> list[str]:
    """Writes the files, runs the lint, and returns `file:line: rule` of each finding."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    run = subprocess.run([sys.executable, LINT, root], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert run.returncode == (1 if run.stdout else 0)
    return [": ".join(line.split(": ")[:2]) for line in run.stdout.splitlines()]


def test_clean_tree_has_no_findings(tmp_path):
    assert findings(tmp_path, {
        "src/meson.build": "# SPDX-License-Identifier: Apache-2.0\nfiles('count/keyspace.c')\n",
        "src/base/err.h": SPDX + "enum err { ERR_OK };\n",
        "src/count/keyspace.h": SPDX + '#include "base/err.h"\n#include <stdint.h>\nMUST_USE enum err add(int);\n',
        "src/count/keyspace.c": SPDX + '#include "count/keyspace.h"\n/* malloc() and strcpy() in words */\n',
        "src/server/worker.h": SPDX + '#include "node/node.h"\n#include "cluster/link.h"\n#include <unistd.h>\n',
        "README.md": "[the design](docs/A.md#top), [a site](https://example.org), [here](#below), `[x](gone.md)`\n",
        "docs/A.md": "[back](../README.md)\n",
    }) == []


@pytest.mark.parametrize("path, line, rule", [
    ("src/base/a.h", '#include "count/keyspace.h"', "layers"),
    ("src/count/a.h", '#include "node/node.h"', "layers"),
    ("src/resp/a.h", '#include "http/http.h"', "layers"),
    ("src/http/a.h", '#include "resp/session.h"', "layers"),
    ("src/server/a.h", '#include "count/keyspace.h"', "layers"),
    ("src/server/a.h", '#include "cluster/membership.h"', "layers"),
    ("src/server/a.h", '#include "cli/verbs.h"', "layers"),
    ("src/misc/a.h", "", "layers"),
    ("src/journal/a.h", "#include <unistd.h>", "core-headers"),
    ("src/node/a.h", "#  include <time.h>", "core-headers"),
    ("src/count/a.h", "#include <threads.h>", "core-headers"),
    ("src/count/a.c", "static void f(void) { char *p = malloc(1); }", "banned-call"),
    ("src/node/a.c", "static void f(void *p) { free(p); }", "banned-call"),
    ("src/node/a.c", "static char *f(void) { return getenv(0); }", "banned-call"),
    ("src/server/a.c", "static void f(char *p) { strcpy(p, p); }", "banned-call"),
    ("src/server/a.c", "static int f(char *p) { return atoi (p); }", "banned-call"),
    ("src/cli/a.c", "static void f(int a) { assert(a); }", "banned-call"),
    ("src/node/a.h", "enum err node_step(struct node *n);", "must-use"),
    ("src/node/a.h", "static inline enum err\nnode_step(struct node *n) { return 0; }", "must-use"),
    ("test/process/a.py", "time." + NAP, "sleep"),
    ("test/process/a.py", "from time import sleep; " + NAP, "sleep"),
    ("test/unit/a.c", "static void f(void) { u" + NAP + "; }", "sleep"),
    ("src/cli/a.c", "int a; /* TO" "DO: more */", "unfinished"),
    ("src/cli/a.c", "int a;\t/* tab */", "tab"),
    ("src/cli/a.c", "int a; ", "trailing-space"),
    ("src/cli/a.c", "/* " + "x" * 120 + " */", "line-length"),
])
def test_line_against_the_rules_is_found(tmp_path, path, line, rule):
    comment = "# SPDX-License-Identifier: Apache-2.0\n" if path.endswith(".py") else SPDX
    found = findings(tmp_path, {path: comment + line + "\n"})
    assert [entry.split(": ")[1] for entry in found] == [rule]
    assert found[0].startswith(path + ":")


def test_finding_names_the_line(tmp_path):
    text = SPDX + "/* two\nlines */\nstatic void f(char *p)\n{\n    strcat(p, p);\n}\n"
    assert findings(tmp_path, {"src/cli/a.c": text}) == ["src/cli/a.c:6: banned-call"]


def test_headers_in_a_circle_are_found(tmp_path):
    assert findings(tmp_path, {
        "src/count/a.h": SPDX + '#include "count/b.h"\n',
        "src/count/b.h": SPDX + '\n#include "count/c.h"\n',
        "src/count/c.h": SPDX + '\n\n#include "count/a.h"\n',
    }) == ["src/count/c.h:4: circle"]


@pytest.mark.parametrize("statements, expected", [(67, []), (68, ["src/cli/a.c:2: function-length"])])
def test_function_has_at_most_70_lines(tmp_path, statements, expected):
    text = SPDX + "static void f(int a)\n{\n" + "    a++;\n" * statements + "}\n"
    assert findings(tmp_path, {"src/cli/a.c": text}) == expected


@pytest.mark.parametrize("name, lines, expected", [
    ("a.h", 149, []), ("a.h", 150, ["src/cli/a.h:150: file-length"]),
    ("a.c", 1000, []), ("a.c", 1001, ["src/cli/a.c:1001: file-length"]),
])
def test_file_has_a_limited_length(tmp_path, name, lines, expected):
    assert findings(tmp_path, {"src/cli/" + name: SPDX + "int a;\n" * (lines - 1)}) == expected


def test_missing_licence_line_is_found(tmp_path):
    assert findings(tmp_path, {"src/cli/a.c": "int a;\n", "tools/a.py": "#!/usr/bin/env python3\n\n\n"}) == [
        "src/cli/a.c:1: spdx", "tools/a.py:1: spdx"]


def test_source_that_is_not_built_is_found(tmp_path):
    assert findings(tmp_path, {
        "src/meson.build": "# SPDX-License-Identifier: Apache-2.0\nfiles('cli/a.c')\n",
        "src/cli/a.c": SPDX,
        "src/cli/b.c": SPDX,
    }) == ["src/cli/b.c:1: unlisted"]


def test_link_to_nowhere_is_found(tmp_path):
    page = "# Page\n\nSee [the plan](plan.md) and ![a picture](a.png).\n\n```text\n[x](gone.md)\n```\n"
    assert findings(tmp_path, {"docs/page.md": page, "docs/plan.md": "\n"}) == ["docs/page.md:3: link"]


def test_exception_excuses_its_rule_in_its_file_only(tmp_path):
    assert findings(tmp_path, {
        "tools/lint_allow.txt": "# notes\nsleep test/a.py the kernel offers no event for this\n",
        "test/a.py": "# SPDX-License-Identifier: Apache-2.0\ntime." + NAP + "\n",
        "test/b.py": "# SPDX-License-Identifier: Apache-2.0\ntime." + NAP + "\n",
    }) == ["test/b.py:2: sleep"]


def test_exception_that_is_not_needed_or_has_no_reason_is_found(tmp_path):
    assert findings(tmp_path, {
        "tools/lint_allow.txt": "sleep test/a.py it was needed once\nsleep test/b.py\n",
        "test/a.py": "# SPDX-License-Identifier: Apache-2.0\n",
        "test/b.py": "# SPDX-License-Identifier: Apache-2.0\ntime." + NAP + "\n",
    }) == ["tools/lint_allow.txt:1: allow", "tools/lint_allow.txt:2: allow"]
