"""Floor 5: models that act.

==================================  ============================================================
file                                what is in it
==================================  ============================================================
:mod:`llmlib.agents.agent`          the loop: model, call, result, until there is an answer
:mod:`llmlib.agents.protocols`      how a call is written: function calls, ReAct
:mod:`llmlib.agents.tool`           tools from typed functions
:mod:`llmlib.agents.toolbox`        the calculator, the search and the interpreter of the book
:mod:`llmlib.agents.calculator`     arithmetic without running code
:mod:`llmlib.agents.local`          a model in this process
:mod:`llmlib.agents.grounded`       arguments and answers that come from what was said
:mod:`llmlib.agents.endpoint`       a model behind an OpenAI-compatible endpoint
:mod:`llmlib.agents.quoted`         answers that quote a passage
:mod:`llmlib.agents.evaluate`       how many tasks are solved
:mod:`llmlib.agents.evaluate_rag`   how many questions are answered from passages
:mod:`llmlib.agents.sandbox`        running programs that nobody has read
:mod:`llmlib.agents.confine`        what the kernel enforces there
==================================  ============================================================
"""

from llmlib.agents.agent import Agent, ContextFullError, Run, Step
from llmlib.agents.calculator import calculate
from llmlib.agents.endpoint import EndpointModel
from llmlib.agents.evaluate import TaskScores, evaluate_tasks, wilson_interval
from llmlib.agents.evaluate_rag import companion_readers, evaluate_rag
from llmlib.agents.grounded import GroundedTurns, spans
from llmlib.agents.local import LocalModel, calls_or_text
from llmlib.agents.protocols import Answer, Call, FunctionCalls, Malformed, ReAct, call_schema
from llmlib.agents.quoted import QuotedAnswers
from llmlib.agents.sandbox import Confinement, PythonResult, SandboxError, confinement, run_python
from llmlib.agents.tool import Tool, ToolError, argument_errors
from llmlib.agents.toolbox import (
    calculator_tool,
    encyclopaedia,
    island_tools,
    python_tool,
    search_tool,
)

__all__ = [
    "Agent",
    "Answer",
    "Call",
    "Confinement",
    "ContextFullError",
    "EndpointModel",
    "FunctionCalls",
    "GroundedTurns",
    "LocalModel",
    "Malformed",
    "PythonResult",
    "QuotedAnswers",
    "ReAct",
    "Run",
    "SandboxError",
    "Step",
    "TaskScores",
    "Tool",
    "ToolError",
    "argument_errors",
    "calculate",
    "calculator_tool",
    "call_schema",
    "calls_or_text",
    "companion_readers",
    "confinement",
    "encyclopaedia",
    "evaluate_rag",
    "evaluate_tasks",
    "island_tools",
    "python_tool",
    "run_python",
    "search_tool",
    "spans",
    "wilson_interval",
]
