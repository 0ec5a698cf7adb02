"""Floor 3: training.

=========================================  ===============================================
file                                       what is in it
=========================================  ===============================================
:mod:`llmlib.training.trainer`             the loop
:mod:`llmlib.training.config`              its settings
:mod:`llmlib.training.guards`              what is checked before and during a run
:mod:`llmlib.training.batches`             data as numbered batches
:mod:`llmlib.training.prefetch`            batches made ahead by other processes
:mod:`llmlib.training.optimizer`           AdamW and which weights decay
:mod:`llmlib.training.optimizer_8bit`      AdamW with a state of bytes
:mod:`llmlib.training.schedule`            the learning rate over a run
:mod:`llmlib.training.rate_test`           finding a learning rate
:mod:`llmlib.training.gradients`           clipping, and activations computed again
:mod:`llmlib.training.loss`                cross-entropy that can ignore and weigh targets
:mod:`llmlib.training.means`               what a loss gives besides its value
:mod:`llmlib.training.checkpoint`          checkpoints that a crash cannot spoil
:mod:`llmlib.training.history`             what a run wrote down
:mod:`llmlib.training.monitor`             what to watch: updates, speed, spikes
:mod:`llmlib.training.random_state`        states of random generators, kept with a run
:mod:`llmlib.training.launch`              several processes from a notebook cell
:mod:`llmlib.training.captured`            a step recorded once and played back, on a GPU
:mod:`llmlib.training.parallel`            one run on several processes: DDP and FSDP2
:mod:`llmlib.training.sharded_checkpoint`  checkpoints that each rank writes its part of
:mod:`llmlib.training.tensor_parallel`     layers cut among ranks
:mod:`llmlib.training.deepspeed_config`    the same run under DeepSpeed
:mod:`llmlib.training.simulated`           all of this by hand, with every message seen
=========================================  ===============================================
"""

from llmlib.training.batches import AnyBatch, Batch, BatchSource, TokenBatches
from llmlib.training.checkpoint import (
    CheckpointError,
    latest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from llmlib.training.config import TrainConfig
from llmlib.training.deepspeed_config import deepspeed_config
from llmlib.training.gradients import checkpoint_activations, clip_grad_norm
from llmlib.training.guards import DivergenceError
from llmlib.training.history import CSVLog, History, TensorBoardLog
from llmlib.training.launch import RankError, run_ranks
from llmlib.training.loss import BatchLoss, cross_entropy
from llmlib.training.monitor import (
    Monitor,
    Throughput,
    UpdateRatio,
    find_spikes,
    running_mean,
)
from llmlib.training.optimizer import AdamW, parameter_groups
from llmlib.training.optimizer_8bit import (
    AdamW8bit,
    dequantize_blocks,
    dynamic_table,
    quantize_blocks,
)
from llmlib.training.parallel import (
    CapturedGraphs,
    DataParallel,
    OneProcess,
    ShardedDataParallel,
    parallel_from_environment,
)
from llmlib.training.prefetch import PrefetchedBatches
from llmlib.training.rate_test import RateTest, lr_range_test
from llmlib.training.schedule import cosine_schedule
from llmlib.training.sharded_checkpoint import read_shards, write_shards
from llmlib.training.simulated import (
    ErrorFeedback,
    Int8,
    Message,
    Packet,
    Signs,
    TopK,
    ZeroRanks,
    bubble_share,
    column_parallel,
    data_parallel_step,
    delayed_descent,
    exchange_seconds,
    gpipe_order,
    highest_stable_rate,
    numbers_sent,
    one_forward_one_backward_order,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
    row_parallel,
    run_pipeline,
    split_feed_forward,
    star_all_reduce,
    timetable,
    tree_all_reduce,
    waiting_activations,
    zero_bytes,
)
from llmlib.training.tensor_parallel import split_layers, split_plan
from llmlib.training.trainer import Log, Trainer

__all__ = [
    "AdamW",
    "AdamW8bit",
    "AnyBatch",
    "Batch",
    "BatchLoss",
    "BatchSource",
    "CSVLog",
    "CapturedGraphs",
    "CheckpointError",
    "DataParallel",
    "DivergenceError",
    "ErrorFeedback",
    "History",
    "Int8",
    "Log",
    "Message",
    "Monitor",
    "OneProcess",
    "Packet",
    "PrefetchedBatches",
    "RankError",
    "RateTest",
    "ShardedDataParallel",
    "Signs",
    "TensorBoardLog",
    "Throughput",
    "TokenBatches",
    "TopK",
    "TrainConfig",
    "Trainer",
    "UpdateRatio",
    "ZeroRanks",
    "bubble_share",
    "checkpoint_activations",
    "clip_grad_norm",
    "column_parallel",
    "cosine_schedule",
    "cross_entropy",
    "data_parallel_step",
    "deepspeed_config",
    "delayed_descent",
    "dequantize_blocks",
    "dynamic_table",
    "exchange_seconds",
    "find_spikes",
    "gpipe_order",
    "highest_stable_rate",
    "latest_checkpoint",
    "lr_range_test",
    "numbers_sent",
    "one_forward_one_backward_order",
    "parallel_from_environment",
    "parameter_groups",
    "quantize_blocks",
    "read_checkpoint",
    "read_shards",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
    "row_parallel",
    "run_pipeline",
    "run_ranks",
    "running_mean",
    "split_feed_forward",
    "split_layers",
    "split_plan",
    "star_all_reduce",
    "timetable",
    "tree_all_reduce",
    "waiting_activations",
    "write_checkpoint",
    "write_shards",
    "zero_bytes",
]
