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
    kinds: dict[str, str]  # public name -> "class", "function", "data" or "undescribed data"


def _listed(tree: ast.Module) -> list[str] | None:
    """The names in `__all__`, or None where there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return None


def _defined(source: str) -> dict[str, str]:
    """Every name defined at the top of a file, with its kind."""
    lines = source.splitlines()
    kinds = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            kinds[node.name] = "class"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kinds[node.name] = "function"
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            described = lines[node.lineno - 2].startswith("#:") if node.lineno > 1 else False
            kind = "data" if described else "undescribed data"
            kinds |= {target.id: kind for target in targets if isinstance(target, ast.Name)}
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
    """Return the files of a package and of the folders in it, as its docstring orders them."""
    init = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    text = ast.get_docstring(init) or ""
    modules = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not parts or any(part.startswith("_") for part in parts):
            continue
        source = path.read_text(encoding="utf-8")
        kinds = _defined(source)
        listed = _listed(ast.parse(source))
        public = [name for name in kinds if not name.startswith("_")] if listed is None else listed
        name = ".".join([package, *parts])
        modules.append(Module(name, {n: kinds[n] for n in public if n in kinds}))
    return sorted(modules, key=lambda module: _place(module.name, package, text))


def _place(name: str, package: str, text: str) -> int:
    """Where a docstring first names a file, or the folder that it stands in."""
    while name != package:
        if name in text:
            return text.index(name)
        name = name.rpartition(".")[0]
    return len(text)


def module_rst(module: Module, package: str, exports: list[str]) -> list[str]:
    """Return the lines of reStructuredText that document one file."""
    lines = [f".. automodule:: {module.name}"]
    if module.name in (f"{package}.{name}" for name in exports):
        lines.append("   :no-index:")  # a function of the same name stands under that name
    lines.append("")
    for name, kind in module.kinds.items():
        if kind == "undescribed data":  # autodoc would show the docstring of its type
            lines += [f".. py:data:: {module.name}.{name}", ""]
            continue
        # A constant has its docstring in a comment, which autodoc finds only where it is defined.
        owner = package if name in exports and kind != "data" else module.name
        lines.append(f".. auto{kind}:: {owner}.{name}")
        lines.append("   :members:" if kind == "class" else "   :no-value:" * (kind == "data"))
        lines.append("")
    return lines


class Library(Directive):
    """The `library` directive; its argument is a package such as `llmlib.nn`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        env = self.state.document.settings.env
        folder = Path(env.srcdir).joinpath(*package.split("."))
        try:
            exports = package_exports(folder)
        except (FileNotFoundError, ValueError) as error:
            raise self.error(f"the reference of {package} cannot be made: {error}") from None
        env.note_dependency(str(Path(*package.split("."), "__init__.py")))

        head = nodes.Element()
        self._parse([f".. automodule:: {package}", ""], head)
        out = list(head.children)
        for module in package_modules(folder, package):
            path = Path(*module.name.split("."))
            is_folder = (Path(env.srcdir) / path).is_dir()
            env.note_dependency(str(path / "__init__.py") if is_folder else f"{path}.py")
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
