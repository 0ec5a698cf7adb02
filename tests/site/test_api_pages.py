"""The reference has every public name of `llmlib`, read from the source without importing it."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from book_ext.library import Module, module_rst, package_exports, package_modules  # noqa: E402

PACKAGES = sorted(
    path.parent.name
    for path in (ROOT / "llmlib").glob("*/__init__.py")
    if "__all__" in path.read_text(encoding="utf-8")
)
TOC = (ROOT / "_toc.yml").read_text(encoding="utf-8")


def documented(name):
    """Every name that the page of a package asks autodoc for."""
    folder, package = ROOT / "llmlib" / name, f"llmlib.{name}"
    exports = package_exports(folder)
    lines = [
        line
        for module in package_modules(folder, package)
        for line in module_rst(module, package, exports)
    ]
    return {
        found[1]
        for line in lines
        if (found := re.match(r"\.\. (?:autoclass|autofunction|autodata|py:data):: (\S+)", line))
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_package_has_a_page(name):
    page = ROOT / "book" / "api" / f"{name}.md"
    assert page.exists(), f"write book/api/{name}.md like book/api/nn.md"
    assert f".. library:: llmlib.{name}\n" in page.read_text(encoding="utf-8")
    assert f"file: book/api/{name}\n" in TOC, f"add book/api/{name} to _toc.yml"


@pytest.mark.parametrize("name", PACKAGES)
def test_page_has_every_public_name(name):
    tree = ast.parse((ROOT / "llmlib" / name / "__init__.py").read_text(encoding="utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"
    )
    shown = {full.rpartition(".")[2] for full in documented(name)}
    assert not set(listed) - shown


def test_pages_that_stand_in_the_contents_exist():
    pages = re.findall(r"file: (book/api/\w+)", TOC)
    assert [page for page in pages if not (ROOT / f"{page}.md").exists()] == []


def test_heavy_libraries_are_not_needed():
    """What a package imports at its top is in the standard library, installed with the site's
    requirements, or stood in for."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    mocked = set(config["sphinx"]["config"]["autodoc_mock_imports"])
    there = set(sys.stdlib_module_names) | {"llmlib", "plotly"} | mocked
    for path in (ROOT / "llmlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                tops = {node.module.partition(".")[0]}
            else:
                continue
            missing = tops - there
            assert not missing, f"{path.relative_to(ROOT)}: add {missing} to autodoc_mock_imports"


# --- the test of the test ---------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    (tmp_path / "__init__.py").write_text(
        '"""Two files: :mod:`lib.second`, then :mod:`lib.first`."""\n__all__ = ["Shown", "first"]\n'
    )
    (tmp_path / "first.py").write_text(
        "def first(): ...\ndef _hidden(): ...\n#: Most.\nLIMIT = 3\nN = 2\n"
    )
    (tmp_path / "second.py").write_text('__all__ = ["Shown"]\nclass Shown: ...\nclass Own: ...\n')
    return tmp_path


def test_files_come_in_the_order_of_the_docstring(package):
    assert package_modules(package, "lib") == [
        Module("lib.second", {"Shown": "class"}),
        Module("lib.first", {"first": "function", "LIMIT": "data", "N": "undescribed data"}),
    ]


def test_a_name_stands_where_readers_import_it(package):
    second, first = package_modules(package, "lib")
    exports = package_exports(package)
    assert ".. autoclass:: lib.Shown" in module_rst(second, "lib", exports)
    lines = module_rst(first, "lib", exports)
    assert ".. autofunction:: lib.first" in lines
    assert ".. autodata:: lib.first.LIMIT" in lines
    assert ".. py:data:: lib.first.N" in lines
    assert lines[1] == "   :no-index:"  # the file has the name of the function in it


def test_a_package_without_exports_is_refused(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    with pytest.raises(ValueError, match="has no __all__"):
        package_exports(tmp_path)
