"""`.. library:: llmlib.nn`: the reference of one package, made from its source.

A section for every file, in the order in which the package's docstring names them, with the
file's docstring and every public name in it. Names that the package exports are documented
as what readers import (`llmlib.nn.causal_mask`), the others under their file.

Which names there are, and of what kind, is read from the source without importing it. Their
docstrings come from autodoc, with heavy libraries stood in for (`autodoc_mock_imports`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.nodes import make_id


@dataclass(frozen=True)
class Module:
    """One file of a package: its dotted name and its public names, each with its kind."""

    name: str
    kinds: dict[str, str]  # public name -> "class", "function" or "data"


def _listed(tree: ast.Module) -> list[str] | None:
    """The names in `__all__`, or None where there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return None


def _defined(tree: ast.Module) -> dict[str, str]:
    """Every name defined at the top of a file, with its kind."""
    kinds = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            kinds[node.name] = "class"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kinds[node.name] = "function"
        elif isinstance(node, ast.Assign):
            kinds |= {target.id: "data" for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kinds[node.target.id] = "data"
    return kinds


def package_exports(folder: Path) -> list[str]:
    """Return `__all__` of the package in `folder`.

    Raises
    ------
    ValueError
        The package has no `__all__`.
    """
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    exports = _listed(tree)
    if exports is None:
        raise ValueError(f"{folder}/__init__.py has no __all__: list there what readers import")
    return exports


def package_modules(folder: Path, package: str) -> list[Module]:
    """Return the files of a package, in the order in which its docstring names them."""
    init = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(init) or ""
    modules = []
    for path in sorted(folder.glob("*.py")):
        if path.stem == "__init__" or path.stem.startswith("_"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = _defined(tree)
        listed = _listed(tree)
        public = [name for name in kinds if not name.startswith("_")] if listed is None else listed
        name = f"{package}.{path.stem}"
        modules.append(Module(name, {n: kinds[n] for n in public if n in kinds}))
    return sorted(modules, key=lambda m: text.find(m.name) if m.name in text else len(text))


def module_rst(module: Module, package: str, exports: list[str]) -> list[str]:
    """Return the lines of reStructuredText that document one file."""
    lines = [f".. automodule:: {module.name}"]
    if module.name in (f"{package}.{name}" for name in exports):
        lines.append("   :no-index:")  # a function of the same name stands under that name
    lines.append("")
    for name, kind in module.kinds.items():
        # A constant has its docstring in a comment, which autodoc finds only where it is defined.
        owner = package if name in exports and kind != "data" else module.name
        lines.append(f".. auto{kind}:: {owner}.{name}")
        if kind == "class":
            lines.append("   :members:")
        if kind == "data":
            lines.append("   :no-value:")
        lines.append("")
    return lines


class Library(Directive):
    """The `library` directive; its argument is a package such as `llmlib.nn`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        env = self.state.document.settings.env
        folder = Path(env.srcdir).joinpath(*package.split("."))
        exports = package_exports(folder)
        env.note_dependency(str(folder / "__init__.py"))

        head = nodes.Element()
        self._parse([f".. automodule:: {package}", ""], head)
        out = list(head.children)
        for module in package_modules(folder, package):
            env.note_dependency(str(folder / f"{module.name.rpartition('.')[2]}.py"))
            section = nodes.section(ids=[make_id(env, self.state.document, "", module.name)])
            section += nodes.title("", "", nodes.literal("", module.name))
            self._parse(module_rst(module, package, exports), section)
            out.append(section)
        return out

    def _parse(self, lines: list[str], parent: nodes.Element) -> None:
        content = StringList(lines, source=f"<reference of {self.arguments[0]}>")
        self.state.nested_parse(content, 0, parent)


def setup(app: Sphinx) -> None:
    app.add_directive("library", Library)
