"""The training loop.

A step takes the batch of its number, splits it into parts that fit the memory, adds up their
gradients, clips the sum, and lets the optimizer update the weights at the learning rate of the
schedule. Everything else here keeps a long run safe: what is checked before the first step, what
stops a run that diverges, what is written so that a killed run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from llmlib.training.batches import Batch, BatchSource, TokenBatches
from llmlib.training.checkpoint import read_checkpoint, write_checkpoint
from llmlib.training.config import TrainConfig
from llmlib.training.gradients import checkpoint_activations, clip_grad_norm
from llmlib.training.guards import (
    DivergenceError,
    check_batch,
    check_progress,
    check_same_run,
)
from llmlib.training.history import History
from llmlib.training.loss import cross_entropy
from llmlib.training.optimizer import AdamW, parameter_groups
from llmlib.training.schedule import cosine_schedule

__all__ = ["Log", "Trainer"]


class Log(Protocol):
    """Somewhere to write rows, for example :class:`~llmlib.training.CSVLog`."""

    def rewrite(self, history: History) -> None:
        """Begin with these rows."""

    def write(self, row: dict[str, float]) -> None:
        """Add a row."""


class Trainer:
    """Train a model that has ``loss(ids, targets, mask)``.

    Parameters
    ----------
    model : torch.nn.Module
        For example a :class:`~llmlib.models.GPT` or a :class:`~llmlib.models.Llama`.
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

    Attributes
    ----------
    step : int
        Updates done.
    history : History
        ``step``, ``loss``, ``lr``, ``grad_norm`` and ``tokens`` of each update, ``eval_loss`` where
        measured.
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
        self.logs, self.sample, self.progress = list(logs), sample, progress
        self.device = next(model.parameters()).device
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
                    row["eval_loss"] = self.evaluate()
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
        self.model.train()
        lr = cosine_schedule(self.step, **config.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        batch = self.train_data.batch(self.step)
        loss = self._gradients(batch)
        norm = float(clip_grad_norm(self.model.parameters(), config.clip_norm))
        self._check_progress(loss, norm, lr)
        self.optimizer.step()
        tokens = self.history.rows[-1]["tokens"] if len(self.history) else 0
        return {
            "step": self.step,
            "loss": loss,
            "lr": lr,
            "grad_norm": norm,
            "tokens": int(tokens + batch.ids.numel()),
        }

    def _gradients(self, batch: Batch) -> float:
        """Add up the gradients of the parts; return the loss of the whole batch."""
        size, parts = len(batch.ids), self.config.accumulation
        if size % parts:
            raise ValueError(
                f"accumulation={parts} does not divide a batch of {size}: choose a divisor"
            )
        batch = batch.to(self.device)
        whole, total = batch.counted.clamp(min=1e-9), 0.0
        for start in range(0, size, size // parts):
            part = batch.rows(start, start + size // parts)
            # The mean of a part, weighted with its share of what counts: the mean of the whole.
            loss = self.loss(part) * (part.counted / whole)
            loss.backward()
            total += loss.item()
        return total

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch, in nats per token."""
        with self._autocast():
            # Only models that read left to right know documents.
            options = {} if batch.documents is None else {"documents": batch.documents}
            if batch.weights is None:
                return self.model.loss(batch.ids, batch.targets, batch.mask, **options)
            logits = self.model(batch.ids, batch.mask, **options).float()  # (B, T, V)
        return cross_entropy(logits, batch.targets, weights=batch.weights)

    def evaluate(self) -> float:
        """Mean loss over the first ``eval_batches`` of ``eval_data``, in nats per token.

        The state of the random generators is as before.
        """
        if self.eval_data is None:
            raise ValueError("there is no eval_data: give it to Trainer")
        self.model.eval()
        total = counted = 0.0
        with torch.no_grad():
            for number in range(self.config.eval_batches):
                batch = self.eval_data.batch(number).to(self.device)
                share = float(batch.counted)
                total += float(self.loss(batch)) * share
                counted += share
        return total / max(counted, 1e-9)

    def _write_sample(self, bar: tqdm) -> None:
        kept = torch.get_rng_state()  # a sample must not change the run
        self.model.eval()
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

    def _autocast(self):
        precision, kind = self.config.precision, self.device.type
        if precision == "auto":
            has_it = kind == "cuda" and torch.cuda.is_bf16_supported()
            precision = "bfloat16" if has_it else "float32"
        if precision == "float32":
            return nullcontext()
        return torch.autocast(kind, dtype=torch.bfloat16)

    # --- checkpoints --------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint into the folder ``path``; return where it is.

        A crash at any moment leaves the earlier ones whole.
        """
        states, settings = {}, {}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                states[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
        states["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            states["random.cuda"] = torch.cuda.get_rng_state(self.device)
        settings["config"] = self._settings
        settings["history"], settings["samples"] = self.history.rows, self.samples
        return write_checkpoint(
            path,
            self.step,
            weights=_weights(self.model),
            tensors=states,
            state=settings,
            keep=self.config.keep,
        )

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
        expected = _weights(self.model)
        strange = sorted(set(expected) ^ set(weights)) or [
            name for name in expected if expected[name].shape != weights[name].shape
        ]
        if strange:
            raise ValueError(
                f"the checkpoint in {path} is of another model; these tensors do not match: "
                f"{', '.join(strange[:5])}"
            )
        self.model.load_state_dict(weights, strict=False)  # a tied matrix is stored once
        for name, parameter in self.model.named_parameters():
            start = f"optimizer.{name}."
            found = {
                key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)
            }
            if found:
                self.optimizer.state[parameter] = {
                    key: t if key == "step" else t.to(parameter.device) for key, t in found.items()
                }
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
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


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """State of the model, a tensor that has two names once."""
    seen: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        seen.setdefault(id(tensor), name)
    named = model.state_dict()
    return {name: named[name] for name in seen.values()}
