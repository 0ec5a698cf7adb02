r"""The same run under DeepSpeed, an engine with ZeRO of its own.

DeepSpeed reads its settings from JSON. :func:`deepspeed_config` writes them for a
:class:`~llmlib.training.TrainConfig`. It is an option: this library does not depend on it, and the
book does not run it, because the first use compiles C++ code for a minute. A script for it::

    import deepspeed, torch
    from torch.optim.lr_scheduler import LambdaLR
    from llmlib.training import BatchLoss, cosine_schedule, deepspeed_config, parameter_groups

    def train(model, config, source, rows):           # rows: of one rank in one part
        groups = parameter_groups(model, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.max_lr, betas=config.betas)
        share = lambda step: cosine_schedule(step, **config.schedule) / config.max_lr
        engine, *_ = deepspeed.initialize(
            model=BatchLoss(model, config.precision),
            optimizer=optimizer,
            lr_scheduler=LambdaLR(optimizer, share),
            config=deepspeed_config(config, stage=2, world_size=torch.distributed.get_world_size()),
        )
        for step in range(config.steps):
            batch = source.batch(step)
            for part in range(config.accumulation):
                first = (torch.distributed.get_rank() * config.accumulation + part) * rows
                engine.backward(engine(batch.rows(first, first + rows)))
                engine.step()                         # updates after the last part

    # pip install deepspeed
    # DS_ACCELERATOR=cpu torchrun --nproc-per-node 2 script.py      (without DS_ACCELERATOR on GPUs)

DeepSpeed takes the plain mean over ranks and parts, so this is the run of
:class:`~llmlib.training.Trainer` where every row has the same number of targets.

If the first compilation is killed, a file ``lock`` stays in PyTorch's folder for extensions, and
every later start waits for it: delete the file.

References
----------
1. Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*, SC
   2020, arXiv:1910.02054.
"""

from __future__ import annotations

from typing import Any

from llmlib.training.config import TrainConfig

__all__ = ["deepspeed_config"]


def deepspeed_config(
    config: TrainConfig, *, stage: int = 2, world_size: int = 1, offload: bool = False
) -> dict[str, Any]:
    """Settings of DeepSpeed that mean what a config means.

    Optimizer, schedule and precision are not in them: DeepSpeed takes an optimizer and a schedule
    of PyTorch, and :class:`~llmlib.training.BatchLoss` knows the precision. DeepSpeed's own cosine
    differs, and its own half precision also rounds the weights.

    Parameters
    ----------
    config : TrainConfig
        How to train; its ``batch_size`` is that of all ranks together.
    stage : int
        Of ZeRO, 0 to 3.
    world_size : int
        Ranks.
    offload : bool
        Whether the states of the optimizer stay in the memory of the processor.

    Returns
    -------
    dict
        For ``deepspeed.initialize(config=...)``, or to be written as JSON.

    Raises
    ------
    ValueError
        The batch cannot be divided, or the stage is not known, or does not fit ``offload``.

    Examples
    --------
    >>> config = TrainConfig(steps=9, batch_size=16, accumulation=2)
    >>> settings = deepspeed_config(config, world_size=2)
    >>> settings["train_micro_batch_size_per_gpu"], settings["zero_optimization"]["stage"]
    (4, 2)
    """
    parts = config.accumulation * world_size
    if world_size < 1 or config.batch_size % parts:
        raise ValueError(
            f"batch_size={config.batch_size} cannot be divided among {world_size} ranks with "
            f"accumulation={config.accumulation}: choose a multiple of {parts}"
        )
    if stage not in range(4) or (offload and stage == 0):
        raise ValueError(f"stage={stage}, offload={offload}: stages are 0 to 3, to offload from 1")
    settings: dict[str, Any] = {
        "train_batch_size": config.batch_size,
        "train_micro_batch_size_per_gpu": config.batch_size // parts,
        "gradient_accumulation_steps": config.accumulation,
        "gradient_clipping": config.clip_norm,
        "zero_optimization": {"stage": stage},
    }
    if offload:
        settings["zero_optimization"]["offload_optimizer"] = {"device": "cpu"}
        settings["zero_force_ds_cpu_optimizer"] = False  # keep the optimizer that is given
    return settings
