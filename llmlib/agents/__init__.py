"""Floor 5: models that act.

==============================  ================================================================
file                            what is in it
==============================  ================================================================
:mod:`llmlib.agents.sandbox`    running programs that nobody has read
:mod:`llmlib.agents.confine`    what the kernel enforces there
==============================  ================================================================
"""

from llmlib.agents.sandbox import Confinement, PythonResult, SandboxError, confinement, run_python

__all__ = [
    "Confinement",
    "PythonResult",
    "SandboxError",
    "confinement",
    "run_python",
]
