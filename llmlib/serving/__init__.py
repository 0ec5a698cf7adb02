"""Floor 4: answering many people at once.

================================  ======================================================
file                              what is in it
================================  ======================================================
:mod:`llmlib.serving.blocks`      blocks of memory: who holds them, what stands in them
:mod:`llmlib.serving.paged`       the paged key-value cache
:mod:`llmlib.serving.scheduler`   who runs, who waits, who has to go back
:mod:`llmlib.serving.engine`      a model that serves: continuous batching
:mod:`llmlib.serving.server`      the protocol of OpenAI's chat completions
================================  ======================================================
"""

from llmlib.serving.blocks import BlockPool, OutOfBlocksError
from llmlib.serving.engine import Engine, Step
from llmlib.serving.paged import BlockTable, PagedBatch, PagedCache
from llmlib.serving.scheduler import Scheduler, Sequence, best_token
from llmlib.serving.server import chat_server, serve

__all__ = [
    "BlockPool",
    "BlockTable",
    "Engine",
    "OutOfBlocksError",
    "PagedBatch",
    "PagedCache",
    "Scheduler",
    "Sequence",
    "Step",
    "best_token",
    "chat_server",
    "serve",
]
