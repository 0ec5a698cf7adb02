"""Let docstrings name a thing by where it is defined, or by its last part.

The reference documents `llmlib.nn.causal_mask`: the name that readers import. A docstring says
`causal_mask`, or `llmlib.nn.attention.causal_mask`. Both find it, as long as only one
documented thing has that name.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode


def documented_as(target: str, documented: list[str]) -> str | None:
    """Return the one documented name that `target` means, or None.

    >>> documented_as("llmlib.nn.attention.causal_mask", ["llmlib.nn.causal_mask"])
    'llmlib.nn.causal_mask'
    >>> documented_as("fit", ["llmlib.a.A.fit", "llmlib.b.B.fit"]) is None
    True
    """
    package, _, last = target.rpartition(".")
    names = [name for name in documented if name.rpartition(".")[2] == last]
    if package.startswith("llmlib"):
        names = [name for name in names if package.startswith(name.rpartition(".")[0])]
    return names[0] if len(names) == 1 else None


def _resolve(app: Sphinx, env: BuildEnvironment, node, content: nodes.Element):
    if node.get("refdomain") != "py" or node["reftarget"] == "":
        return None
    objects = env.domains["py"].objects
    name = documented_as(node["reftarget"], list(objects))
    if name is None:
        return None
    entry = objects[name]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, name)


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", _resolve)
