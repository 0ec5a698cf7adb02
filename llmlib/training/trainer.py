"""The training loop.

A step takes the batch of its number, splits it into parts that fit the memory, adds up their
gradients, clips the sum, and lets the optimizer update the weights at the learning rate of the
schedule. Everything else here keeps a long run safe: what is checked before the first step, what
stops a run that diverges, what is written so that a killed run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from llmlib.training.batches import AnyBatch, BatchSource, TokenBatches
from llmlib.training.checkpoint import read_checkpoint, write_checkpoint
from llmlib.training.config import TrainConfig
from llmlib.training.gradients import checkpoint_activations
from llmlib.training.guards import (
    DivergenceError,
    check_batch,
    check_progress,
    check_same_run,
)
from llmlib.training.history import History
from llmlib.training.loss import BatchLoss
from llmlib.training.means import Means, split_found
from llmlib.training.monitor import Monitor
from llmlib.training.optimizer import AdamW, parameter_groups
from llmlib.training.parallel import OneProcess
from llmlib.training.random_state import random_states, set_random_states
from llmlib.training.schedule import cosine_schedule

__all__ = ["Log", "Trainer"]


class Log(Protocol):
    """Somewhere to write rows, for example :class:`~llmlib.training.CSVLog`."""

    def rewrite(self, history: History) -> None:
        """Begin with these rows."""

    def write(self, row: dict[str, float]) -> None:
        """Add a row."""


class Trainer:
    """Train a model on batches of known number.

    Parameters
    ----------
    model : torch.nn.Module
        For example a :class:`~llmlib.models.GPT` or a :class:`~llmlib.models.Llama`. It has
        ``config.vocab_size`` and ``config.context_length``.
    config : TrainConfig
        How to train.
    train_data, eval_data : Tensor, sequence of int or BatchSource
        Token ids of all texts joined, cut into blocks of the model's context; or a source of
        batches. ``eval_data`` may be left out.
    seed : int
        Of the order of the blocks, when the data is tokens.
    folder : str or Path, optional
        Where checkpoints go when ``save_every`` is set.
    logs : sequence of Log
        Where each row of the history is written too.
    sample : callable, optional
        Takes the model and returns a text, called every ``sample_every`` steps.
    progress : bool
        Whether to show a bar with the loss and the time left.
    loss : callable
        Takes the model and the ``precision`` of the config, gives a module. That module takes a
        batch and gives its mean loss, or this and a dictionary of other means to log, numbers by
        name. :class:`~llmlib.training.BatchLoss`, the cross-entropy of the next token, when left
        out; it needs a model that has ``loss(ids, targets, mask)``.
    monitors : sequence of Monitor
        What is measured around each update, for example :class:`~llmlib.training.UpdateRatio`.
    parallel : OneProcess, optional
        The processes that share the work, for example :class:`~llmlib.training.DataParallel`. Each
        makes the same Trainer and calls the same methods. Rank 0 writes logs and checkpoints,
        which any number of processes can resume.

    Attributes
    ----------
    loss : torch.nn.Module
        Takes a batch, gives its mean loss; of a language model in nats per token.
    step : int
        Updates done.
    history : History
        ``step``, ``loss``, ``lr``, ``grad_norm`` and ``tokens`` of each update, what the loss gives
        besides, and what the monitors measure; ``eval_loss`` and the others, each with ``eval_``
        before its name, where measured.
    samples : list of (int, str)
        Step and text.

    Raises
    ------
    ValueError
        The data does not fit the model.

    Examples
    --------
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> _ = torch.manual_seed(0)
    >>> counting = torch.arange(200) % 8
    >>> config = TrainConfig(steps=60, batch_size=4, max_lr=1e-2)
    >>> history = Trainer(GPT(GPTConfig(**sizes)), config, counting).fit()
    >>> history.column("loss")[0] > 2 > 0.1 > history.column("loss")[-1]
    True
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        train_data: Tensor | Sequence[int] | BatchSource,
        eval_data: Tensor | Sequence[int] | BatchSource | None = None,
        *,
        seed: int = 0,
        folder: str | Path | None = None,
        logs: Sequence[Log] = (),
        sample: Callable[[nn.Module], str] | None = None,
        progress: bool = False,
        loss: Callable[[nn.Module, str], nn.Module] = BatchLoss,
        monitors: Sequence[Monitor] = (),
        parallel: OneProcess | None = None,
    ) -> None:
        if config.save_every and folder is None:
            raise ValueError(f"save_every={config.save_every}, but there is no folder: give one")
        if config.sample_every and sample is None:
            raise ValueError(
                f"sample_every={config.sample_every}, but there is no sample: give one"
            )
        self.model, self.config, self.seed = model, config, seed
        self.train_data = self._source(train_data)
        self.eval_data = None if eval_data is None else self._source(eval_data)
        self.folder = None if folder is None else Path(folder)
        self.parallel = OneProcess() if parallel is None else parallel
        self._first = self.parallel.rank == 0
        self.logs, self.sample = list(logs) if self._first else [], sample
        self.progress, self.monitors = progress and self._first, list(monitors)
        self.device = next(model.parameters()).device
        self.loss = self.parallel.share_model(loss(model, config.precision))
        groups = parameter_groups(model, config.weight_decay)
        self.optimizer: torch.optim.Optimizer = AdamW(groups, lr=config.max_lr, betas=config.betas)
        self.step, self.history, self.samples = 0, History(), list[tuple[int, str]]()
        if config.recompute:
            checkpoint_activations(model.blocks)

    # --- the run ------------------------------------------------------------------------------

    def fit(self, until: int | None = None) -> History:
        """Train on from wherever the run stands.

        Parameters
        ----------
        until : int, optional
            Step to stop at; the last one of the config when left out. The schedule is the
            config's in any case.

        Returns
        -------
        History
            A row for each step.

        Raises
        ------
        DivergenceError
            The loss or its gradient is not finite, or the loss is far above where it began.
        CheckpointError
            A checkpoint could not be written.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        check_batch(self.train_data.batch(self.step), self.model.config)
        for log in self.logs:
            log.rewrite(self.history)
        bar = tqdm(total=last, initial=self.step, disable=not self.progress, unit="step")
        with bar:
            while self.step < last:
                row = self._update()
                self.step += 1
                if self._due(self.config.eval_every) and self.eval_data is not None:
                    row |= self.measure()
                self.history.add(row)
                for log in self.logs:
                    log.write(row)
                if self._due(self.config.sample_every):
                    self._write_sample(bar)
                if self._due(self.config.save_every):
                    self.save(self.folder)
                bar.set_postfix(loss=f"{row['loss']:.3f}", refresh=False)
                bar.update()
        return self.history

    def _update(self) -> dict[str, float]:
        """One step: gradients of all parts, clipping, update."""
        config = self.config
        self.loss.train()
        lr = cosine_schedule(self.step, **config.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        batch = self.train_data.batch(self.step)
        loss, others = self._gradients(batch)
        norm = self.parallel.clip_grad_norm(self.model.parameters(), config.clip_norm)
        self._check_progress(loss, norm, lr)
        for monitor in self.monitors:
            monitor.before_update(self.model)
        self.optimizer.step()
        tokens = self.history.rows[-1]["tokens"] if len(self.history) else 0
        row = {
            "step": self.step,
            "loss": loss,
            "lr": lr,
            "grad_norm": norm,
            "tokens": int(tokens + sum(text.ids.numel() for text in batch.texts)),
            **others,
        }
        for monitor in self.monitors:
            row |= monitor.after_update(self.model, row)
        return row

    def _gradients(self, batch: AnyBatch) -> tuple[float, dict[str, float]]:
        """Add up the gradients of the parts; return loss and other means of the whole batch."""
        whole, total = batch.counted.clamp(min=1e-9), Means()
        parts = self._parts(batch, self.config.accumulation)
        for number, part in enumerate(parts):
            part = part.to(self.device)
            with self.parallel.backward(last=number + 1 == len(parts)):
                # The mean of a part, weighted with its share of what counts in the batch of all
                # ranks: the sum of these is the mean of the whole.
                found, others = split_found(self.loss(part))
                loss = found * (part.counted / whole)
                self.parallel.summed(loss).backward()
            total.add(loss.item(), others, float(part.counted / whole))
        return total.over_ranks(self.parallel)

    def _parts(self, batch: AnyBatch, count: int) -> list[AnyBatch]:
        """The rows of this rank, in parts; ranks may differ by a row in each."""
        size, ranks = len(batch.texts[0].ids), self.parallel.world_size
        if size % count or size < count * ranks:
            raise ValueError(
                f"accumulation={count} on {ranks} rank{'s' * (ranks > 1)} does not divide a batch "
                f"of {size}: choose a divisor, and a row for each part of a rank"
            )
        first = self.parallel.rank * count
        bounds = [size * (first + i) // (count * ranks) for i in range(count + 1)]
        return [batch.rows(start, stop) for start, stop in pairwise(bounds)]

    def evaluate(self) -> float:
        """Mean loss over the first ``eval_batches`` of ``eval_data``.

        Of a language model it is in nats per token. The state of the random generators is as
        before.
        """
        return self.measure()["eval_loss"]

    def measure(self) -> dict[str, float]:
        """``eval_loss``, and what the loss gives besides, over the same batches."""
        if self.eval_data is None:
            raise ValueError("there is no eval_data: give it to Trainer")
        self.loss.eval()
        total, counted = Means(), 0.0
        with torch.no_grad():
            for number in range(self.config.eval_batches):
                batch = self._parts(self.eval_data.batch(number), 1)[0].to(self.device)
                share = float(batch.counted)
                loss, others = split_found(self.loss(batch))
                total.add(float(loss) * share, others, share)
                counted += share
        loss, others = total.over_ranks(self.parallel)
        counted = max(self.parallel.sum([counted])[0], 1e-9)
        return {f"eval_{name}": value / counted for name, value in {"loss": loss, **others}.items()}

    def _write_sample(self, bar: tqdm) -> None:
        self.model.eval()
        kept = torch.get_rng_state()  # a sample must not change the run
        torch.set_rng_state(self.parallel.from_first(kept))  # every rank writes the same text
        with self.parallel.whole_model():
            text = self.sample(self.model)
        torch.set_rng_state(kept)
        self.samples.append((self.step, text))
        if self.progress:
            bar.write(f"step {self.step}: {text}")

    def _check_progress(self, loss: float, norm: float, lr: float) -> None:
        first = self.history.rows[0]["loss"] if len(self.history) else loss
        try:
            check_progress(loss, norm, first)
        except DivergenceError as error:
            kept = f" The last checkpoint in {self.folder} is kept." if self.folder else ""
            raise DivergenceError(
                f"step {self.step} at learning rate {lr:.3g}: {error}{kept}"
            ) from None

    @property
    def _settings(self) -> dict[str, Any]:
        return asdict(self.config) | {"seed": self.seed}

    def _due(self, every: int) -> bool:
        return bool(every) and (self.step % every == 0 or self.step == self.config.steps)

    # --- checkpoints --------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint into the folder ``path``; return where it is.

        A crash at any moment leaves the earlier ones whole.
        """
        states, whole = {}, self.parallel.gather
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                states[f"optimizer.{name}.{key}"] = whole(torch.as_tensor(value))
        states |= random_states(self.parallel, self.device)
        settings = {"config": self._settings, "history": self.history.rows}
        settings["samples"] = self.samples
        weights, written = self.weights(), None
        if self._first:
            written = write_checkpoint(
                path,
                self.step,
                weights=weights,
                tensors=states,
                state=settings,
                keep=self.config.keep,
            )
        return self.parallel.from_first(written)

    def weights(self) -> dict[str, Tensor]:
        """Weights of the model by name, whole on every rank; a tensor that has two names once."""
        named = self.model.state_dict()
        return {name: self.parallel.gather(named[name]) for name in self._names()}

    def _names(self) -> list[str]:
        seen: dict[int, str] = {}
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            seen.setdefault(id(tensor), name)
        return list(seen.values())

    def resume(self, path: str | Path) -> Trainer:
        """Go on from a checkpoint, or from the latest one of a folder.

        On a CPU the losses that follow are those of a run that never stopped, bit for bit.

        Parameters
        ----------
        path : str or Path
            What :meth:`save` was given or returned.

        Returns
        -------
        Trainer
            This one.

        Raises
        ------
        CheckpointError
            There is no checkpoint, or it is damaged.
        ValueError
            It belongs to another model or another config.
        """
        weights, tensors, state = read_checkpoint(path)
        check_same_run(self._settings, state["config"])
        expected = self.model.state_dict()
        strange = sorted(set(self._names()) ^ set(weights)) or [
            name for name in self._names() if expected[name].shape != weights[name].shape
        ]
        if strange:
            raise ValueError(
                f"the checkpoint in {path} is of another model; these tensors do not match: "
                f"{', '.join(strange[:5])}"
            )
        part = self.parallel.shard
        parts = {name: part(weight, expected[name]) for name, weight in weights.items()}
        self.model.load_state_dict(parts, strict=False)  # a tied matrix is stored once
        for name, parameter in self.model.named_parameters():
            start = f"optimizer.{name}."
            found = {
                key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)
            }
            if found:
                self.optimizer.state[parameter] = {
                    key: t if key == "step" else part(t.to(parameter.device), parameter)
                    for key, t in found.items()
                }
        set_random_states(tensors, self.parallel, self.device)
        self.step = state["step"]
        self.history = History(state["history"])
        self.samples = [(step, text) for step, text in state["samples"]]
        return self

    def _source(self, data: Tensor | Sequence[int] | BatchSource) -> BatchSource:
        if isinstance(data, Tensor | Sequence | range):
            return TokenBatches(
                data,
                context_length=self.model.config.context_length,
                batch_size=self.config.batch_size,
                seed=self.seed,
            )
        return data
