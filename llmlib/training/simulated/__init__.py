"""Many devices by hand: ranks as entries of a list, every message in a log.

====================================================  =======================================
file                                                  what is in it
====================================================  =======================================
:mod:`llmlib.training.simulated.all_reduce`           sums over ranks: ring, star, tree
:mod:`llmlib.training.simulated.data_parallel`        one step of many replicas; late gradients
:mod:`llmlib.training.simulated.zero`                 who keeps what: ZeRO 1, 2 and 3
:mod:`llmlib.training.simulated.pipeline`             layers on ranks; GPipe and 1F1B
:mod:`llmlib.training.simulated.split_linear`         columns and rows of matrices on ranks
:mod:`llmlib.training.simulated.compression`          smaller messages, and what they leave out
====================================================  =======================================

What the engines do for real is in :mod:`llmlib.training.parallel` and
:mod:`llmlib.training.tensor_parallel`.
"""

from .all_reduce import (
    Message,
    exchange_seconds,
    numbers_sent,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    star_all_reduce,
    tree_all_reduce,
)
from .compression import ErrorFeedback, Int8, Packet, Signs, TopK
from .data_parallel import data_parallel_step, delayed_descent, highest_stable_rate
from .pipeline import (
    bubble_share,
    gpipe_order,
    one_forward_one_backward_order,
    run_pipeline,
    timetable,
    waiting_activations,
)
from .split_linear import column_parallel, row_parallel, split_feed_forward
from .zero import ZeroRanks, zero_bytes

__all__ = [
    "ErrorFeedback",
    "Int8",
    "Message",
    "Packet",
    "Signs",
    "TopK",
    "ZeroRanks",
    "bubble_share",
    "column_parallel",
    "data_parallel_step",
    "delayed_descent",
    "exchange_seconds",
    "gpipe_order",
    "highest_stable_rate",
    "numbers_sent",
    "one_forward_one_backward_order",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
    "row_parallel",
    "run_pipeline",
    "split_feed_forward",
    "star_all_reduce",
    "timetable",
    "tree_all_reduce",
    "waiting_activations",
    "zero_bytes",
]
