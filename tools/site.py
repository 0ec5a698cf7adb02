"""Build the site: `jupyter-book build .` with warnings as errors, said in a few lines.

python -m tools.site
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "_build" / "site.log"


def main() -> int:
    print("Building the site ...", flush=True)
    LOG.parent.mkdir(exist_ok=True)
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        *("build", ".", "-W", "--keep-going", "-n"),
    ]
    with LOG.open("w") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if done.returncode == 0:
        print("The site is in _build/html.")
        return 0
    problems = warnings(LOG.read_text(errors="replace"))
    for problem in problems:
        print(problem, file=sys.stderr)
    count = f"{len(problems)} warning(s)" if problems else "an error"
    print(f"error: the site did not build ({count}): see _build/site.log", file=sys.stderr)
    return 1


def warnings(log: str) -> list[str]:
    """The lines of a build log that name a problem, without colour codes or absolute folders."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log).replace(f"{ROOT}/", "")
    pattern = re.compile(r"WARNING|ERROR|CRITICAL|Error:")
    return [line for line in plain.splitlines() if pattern.search(line)]


if __name__ == "__main__":
    sys.exit(main())
