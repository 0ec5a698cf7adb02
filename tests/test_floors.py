"""Imports inside the library point downwards: never up, never across one floor.

A package takes what it needs from its own floor as an argument. So every package can be read,
tested and replaced knowing only the floors below it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "llmlib"
FLOORS = {
    5: {"companion", "agents", "checks"},
    4: {"post_training", "serving", "retrieval"},
    3: {"training", "generation", "compression", "interop"},
    2: {"models", "evaluation"},
    1: {"nn", "text", "tokenizers", "data", "autograd", "viz"},
}
FLOOR_OF = {package: floor for floor, packages in FLOORS.items() for package in packages}


def imported(tree: ast.AST, module: list[str]) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import from ``llmlib``, relative ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = module[: len(module) - node.level] if node.level else []
            base = [*start, *(node.module.split(".") if node.module else [])]
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "llmlib" and len(parts) > 1:
                yield node.lineno, parts[1]


def breaches(root: Path, floor_of: dict[str, int] = FLOOR_OF) -> list[str]:
    """One line for every import that points up or sideways, and for every unknown package."""
    found = []
    for file in sorted(root.rglob("*.py")):
        inside = file.relative_to(root)
        if len(inside.parts) == 1:
            if inside.name != "__init__.py":
                found.append(f"{inside}: a module outside any package: put it on a floor")
            package, own = "llmlib", 0  # the root may import nothing: `import llmlib` is cheap
        else:
            package = inside.parts[0]
            own = floor_of.get(package)
        if own is None:
            found.append(f"{inside}: package {package!r} is on no floor: add it to FLOORS")
            continue
        module = ["llmlib", *inside.with_suffix("").parts]
        for line, other in imported(ast.parse(file.read_text(encoding="utf-8")), module):
            if other != package and floor_of.get(other, 99) >= own:
                where = f"floor {floor_of[other]}" if other in floor_of else "no floor"
                found.append(f"{inside}:{line}: {package} (floor {own}) imports {other} ({where})")
    return found


def test_imports_of_the_library_point_downwards():
    assert breaches(ROOT) == []


def test_the_library_was_read():
    read = {file.relative_to(ROOT).parts[0] for file in ROOT.rglob("*.py")}
    assert {"nn", "viz", "checks"} <= read


@pytest.mark.parametrize(
    ("file", "code", "expected"),
    [
        ("nn/a.py", "from llmlib.models.gpt import GPT", "nn/a.py:1: nn (floor 1) imports models"),
        ("nn/a.py", "import llmlib.viz", "nn/a.py:1: nn (floor 1) imports viz (floor 1)"),
        ("nn/a.py", "import torch\nfrom llmlib import viz", "nn/a.py:2: nn (floor 1) imports viz"),
        ("nn/a.py", "from ..models import gpt", "nn/a.py:1: nn (floor 1) imports models"),
        ("nn/a.py", "from .. import models", "nn/a.py:1: nn (floor 1) imports models"),
        ("nn/__init__.py", "from ..viz import show", "nn/__init__.py:1: nn (floor 1) imports viz"),
        ("nn/deep/a.py", "from ...data import x", "nn/deep/a.py:1: nn (floor 1) imports data"),
        ("models/a.py", "def f():\n    from llmlib.training import x", "models/a.py:2: models"),
        ("nn/a.py", "from llmlib.cellar import x", "imports cellar (no floor)"),
        ("__init__.py", "from llmlib.nn import x", "__init__.py:1: llmlib (floor 0) imports nn"),
        ("cellar/a.py", "", "package 'cellar' is on no floor"),
        ("helpers.py", "", "a module outside any package"),
    ],
)
def test_a_breach_is_found(tmp_path, file, code, expected):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    (found,) = breaches(tmp_path)
    assert expected in found


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("models/a.py", "from llmlib.nn import MultiHeadAttention"),
        ("models/a.py", "from ..nn.attention import causal_mask"),
        ("models/a.py", "from .gpt import GPT\nfrom . import gpt\nfrom llmlib.models import gpt"),
        ("nn/a.py", "import torch\nfrom pathlib import Path\nimport llmlib"),
        ("nn/deep/a.py", "from .b import x\nfrom ..attention import y"),
        ("checks/a.py", "from llmlib import training, nn"),
        ("__init__.py", '"""The library."""'),
    ],
)
def test_what_is_allowed_is_not_reported(tmp_path, file, code):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8")
    assert breaches(tmp_path) == []


def test_no_package_is_on_two_floors():
    assert len(FLOOR_OF) == sum(len(packages) for packages in FLOORS.values())
