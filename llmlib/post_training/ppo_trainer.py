r"""Reinforcement learning from a reward, with PPO and its four models.

One step, for the prompts of its number:

1. The **policy** writes a response to each prompt.
2. The **reward model** gives each response a number. The **reference**, which the policy was at
   the beginning, says how likely it would have written it. Together they are the reward of each
   token, :math:`r_t = -\beta (\log \pi(y_t) - \log \pi_{\text{ref}}(y_t))`, plus the number at the
   last token.
3. The **value model** says what it expected before each token. From rewards and values come the
   advantages, which are scaled to mean 0 and variance 1.
4. Several times over, in small batches, the policy learns to make tokens with a high advantage
   likelier (:func:`~llmlib.post_training.ppo_clip_loss`), and the value model to expect what came
   (:func:`~llmlib.post_training.value_clip_loss`).

Nothing of a step is needed in the next one but the weights: the random numbers of step n are drawn
by a generator that is seeded with n. So a run that is resumed is the run that never stopped.

References
----------
1. Ouyang et al., *Training Language Models to Follow Instructions with Human Feedback*, 2022,
   arXiv:2203.02155.
2. Ziegler et al., *Fine-Tuning Language Models from Human Preferences*, 2019, arXiv:1909.08593.

**Differs from the papers in** a value model that shares nothing with the policy, with an optimizer
of its own; and a response that is cut at ``max_new_tokens`` counts as ended there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from llmlib.models import CausalLanguageModel
from llmlib.post_training.advantages import masked_mean
from llmlib.post_training.experience import Experience, judge_tokens
from llmlib.post_training.kl import FixedKL, KLControl, kl_estimates
from llmlib.post_training.log_probabilities import token_log_probabilities
from llmlib.post_training.ppo import clip_share, ppo_clip_loss, value_clip_loss
from llmlib.post_training.ppo_config import PPOConfig
from llmlib.post_training.ppo_guards import check_rollouts, check_update, fingerprint
from llmlib.post_training.rollouts import (
    Rollouts,
    response_logits,
    response_values,
    sample_responses,
)
from llmlib.post_training.value import ValueModel
from llmlib.training import (
    AdamW,
    DivergenceError,
    History,
    Log,
    clip_grad_norm,
    read_checkpoint,
    write_checkpoint,
)
from llmlib.training.guards import check_same_run

__all__ = ["PPOTrainer"]

#: Prompts and responses, as lists of tokens, to a number for each.
Judge = Callable[[list[list[int]], list[list[int]]], Tensor]


class PPOTrainer:
    """Train a policy to earn a reward without going far from its reference.

    Parameters
    ----------
    policy : CausalLanguageModel
        Trained in place.
    reference : CausalLanguageModel
        A copy of the policy as it was; it stays as it is.
    value : ValueModel
        Trained in place; shares no weights with the policy.
    reward : callable
        Takes prompts and responses, lists of token lists, and gives a tensor ``(B,)``: a reward
        model, or a rule.
    prompts : callable
        Takes the number of a step and gives its prompts, the same ones at every call.
    config : PPOConfig
        How to train.
    kl : KLControl
        What a nat of distance from the reference costs: :class:`~llmlib.post_training.FixedKL` or
        :class:`~llmlib.post_training.AdaptiveKL`.
    stop_ids : sequence of int
        Tokens that end a response.
    measures : dict of callables, optional
        What else to write down: by name, called as ``reward`` is, the mean goes into the history.
    seed : int
        Of the responses.
    folder : str or Path, optional
        Where checkpoints go when ``save_every`` is set.
    logs : sequence of Log
        Where each row of the history is written too.
    progress : bool
        Whether to show a bar.

    Attributes
    ----------
    step : int
        Steps done.
    history : History
        A row for each step. Of its texts: ``reward``, ``kl`` from the reference, in nats per
        text, and its price ``kl_coefficient``, ``entropy`` in nats per token, ``length``,
        ``ended`` (the share that wrote a stop token). Of the learning: ``loss``, ``value_loss``,
        ``grad_norm``, ``clip_share``, and ``step_kl``, in nats per token, how far the step went
        from the policy it began with.
    last : Experience or None
        What the last step learned from.

    Raises
    ------
    ValueError
        Policy and value model share weights, or the policy and its reference differ in kind.

    Examples
    --------
    A model of eight tokens is paid for every 3 that it writes:

    >>> import copy
    >>> from llmlib.models import GPT, GPTConfig
    >>> sizes = {"vocab_size": 8, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}
    >>> _ = torch.manual_seed(0)
    >>> policy = GPT(GPTConfig(**sizes))
    >>> trainer = PPOTrainer(
    ...     policy, copy.deepcopy(policy), ValueModel(copy.deepcopy(policy)),
    ...     reward=lambda prompts, responses: torch.tensor([1.0 * r.count(3) for r in responses]),
    ...     prompts=lambda step: [[0]] * 32,
    ...     config=PPOConfig(steps=15, max_new_tokens=4, lr=1e-2),
    ... )
    >>> history = trainer.fit()
    >>> history.column("reward")[0] < 1 < 2 < history.column("reward")[-1]
    True
    """

    def __init__(
        self,
        policy: CausalLanguageModel,
        reference: CausalLanguageModel,
        value: ValueModel,
        reward: Judge,
        prompts: Callable[[int], Sequence[Sequence[int]]],
        config: PPOConfig,
        *,
        kl: KLControl | None = None,
        stop_ids: Sequence[int] = (),
        measures: dict[str, Judge] | None = None,
        seed: int = 0,
        folder: str | Path | None = None,
        logs: Sequence[Log] = (),
        progress: bool = False,
    ) -> None:
        own = {id(parameter) for parameter in policy.parameters()}
        for name, other in (("value", value), ("reference", reference)):
            if any(id(parameter) in own for parameter in other.parameters()):
                raise ValueError(f"policy and {name} share weights: give a copy.deepcopy of one")
        if policy.config != reference.config:
            raise ValueError("policy and reference differ in their config: start from a copy")
        if config.save_every and folder is None:
            raise ValueError(f"save_every={config.save_every}, but there is no folder: give one")
        # Dropout stays off: the ratio of a token must be 1 before the first update.
        self.policy, self.reference, self.value = policy.eval(), reference.eval(), value.eval()
        self.reward, self.prompts, self.config = reward, prompts, config
        self.kl = FixedKL(0.05) if kl is None else kl
        self.stop_ids, self.measures, self.seed = tuple(stop_ids), dict(measures or {}), seed
        self.folder = None if folder is None else Path(folder)
        self.logs, self.progress = list(logs), progress
        self.optimizers = {
            "policy": AdamW(policy.parameters(), lr=config.lr, weight_decay=0.0),
            "value": AdamW(value.parameters(), lr=config.value_lr, weight_decay=0.0),
        }
        self.step, self.history = 0, History()
        self.last: Experience | None = None
        self._kl_at_start = asdict(self.kl)

    # --- the run ------------------------------------------------------------------------------

    def fit(self, until: int | None = None) -> History:
        """Train on from wherever the run stands.

        Parameters
        ----------
        until : int, optional
            Step to stop at; the last one of the config when left out.

        Returns
        -------
        History
            A row for each step.

        Raises
        ------
        DivergenceError
            A reward, a loss or a gradient is not finite, or the policy is farther from its
            reference than ``max_kl``.
        CheckpointError
            A checkpoint could not be written.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        for log in self.logs:
            log.rewrite(self.history)
        with tqdm(total=last, initial=self.step, disable=not self.progress, unit="step") as bar:
            while self.step < last:
                generator = self._generator()
                self.last = self.collect(generator)
                row = self._row(self.last) | self.learn(self.last, generator)
                self.kl.update(row["kl"])
                self.step += 1
                self.history.add(row)
                for log in self.logs:
                    log.write(row)
                if self.config.save_every and (
                    self.step % self.config.save_every == 0 or self.step == self.config.steps
                ):
                    self.save(self.folder)
                bar.set_postfix(reward=f"{row['reward']:.2f}", kl=f"{row['kl']:.1f}", refresh=False)
                bar.update()
        return self.history

    def collect(self, generator: torch.Generator) -> Experience:
        """Steps 1 to 3: let the policy write, and judge every token."""
        config, policy = self.config, self.policy
        rollouts = sample_responses(
            policy,
            self.prompts(self.step),
            max_new_tokens=config.max_new_tokens,
            stop_ids=self.stop_ids,
            temperature=config.temperature,
            generator=generator,
        )
        scores = self._judge(self.reward, rollouts)
        experience = judge_tokens(
            rollouts,
            scores,
            policy=policy,
            reference=self.reference,
            value=self.value,
            kl_coefficient=self.kl.coefficient,
            config=config,
        )
        kl = experience.kl.mean().item()
        self._guard(check_rollouts, scores, kl, self.kl.coefficient)
        return experience

    def learn(self, experience: Experience, generator: torch.Generator) -> dict[str, float]:
        """Step 4: several updates of policy and value model; return what to write down."""
        sums: dict[str, float] = {}
        updates, generator = 0, self._on_cpu(generator)
        for _ in range(self.config.epochs):
            order = torch.randperm(len(experience.rollouts), generator=generator)
            for rows in order.split(self.config.minibatch_size):
                row = self._update(experience, rows.to(experience.scores.device))
                self._guard(check_update, row)
                sums = {name: sums.get(name, 0.0) + value for name, value in row.items()}
                updates += 1
        return {name: total / updates for name, total in sums.items()}

    def _update(self, experience: Experience, rows: Tensor) -> dict[str, float]:
        """One update of both models from some of the texts."""
        config, rollouts = self.config, experience.rollouts.rows(rows)
        mask, old = rollouts.response_mask, experience.logps[rows]
        logits = response_logits(self.policy, rollouts, temperature=config.temperature)
        logps = token_log_probabilities(logits, rollouts.responses)
        judged = (logps, old, experience.advantages[rows], config.clip)
        loss = ppo_clip_loss(*judged, mask=mask)
        values = response_values(self.value, rollouts)
        value_loss = value_clip_loss(
            values, experience.values[rows], experience.returns[rows], config.value_clip, mask=mask
        )
        norms = {}
        for name, model, found in (
            ("policy", self.policy, loss),
            ("value", self.value, value_loss),
        ):
            self.optimizers[name].zero_grad(set_to_none=True)
            found.backward()
            norms[name] = float(clip_grad_norm(model.parameters(), config.clip_norm))
            finite = math.isfinite(norms[name])  # a broken update would spoil the weights
            if finite and not (name == "policy" and self.step < config.value_first):
                self.optimizers[name].step()
        moved = kl_estimates(old, logps.detach()).k3  # drawn from the old policy
        return {
            "loss": loss.item(),
            "value_loss": value_loss.item(),
            "grad_norm": norms["policy"],
            "value_grad_norm": norms["value"],
            "clip_share": clip_share(*judged, mask=mask).item(),
            "step_kl": masked_mean(moved, mask).item(),
        }

    def _row(self, experience: Experience) -> dict[str, float]:
        """What to write down about the texts of a step."""
        row = {"step": self.step, **experience.summary(self.stop_ids)}
        row["kl_coefficient"] = self.kl.coefficient
        for name, judge in self.measures.items():
            row[name] = self._judge(judge, experience.rollouts).mean().item()
        return row

    def _judge(self, judge: Judge, rollouts: Rollouts) -> Tensor:
        prompts, responses = rollouts.lists()
        scores = judge(prompts, responses)
        if scores.shape != (len(rollouts),):
            raise ValueError(
                f"the reward has shape {tuple(scores.shape)}, but there are {len(rollouts)} texts: "
                "give one number for each"
            )
        weight = self.policy.output_weight
        return scores.detach().to(weight.device, weight.dtype)

    def _generator(self) -> torch.Generator:
        """Random numbers of this step, whatever came before."""
        mixed = hashlib.blake2b(f"{self.seed}/{self.step}".encode(), digest_size=7).digest()
        device = self.policy.output_weight.device
        return torch.Generator(device).manual_seed(int.from_bytes(mixed, "big"))

    @staticmethod
    def _on_cpu(generator: torch.Generator) -> torch.Generator:
        if generator.device.type == "cpu":
            return generator
        return torch.Generator().manual_seed(generator.initial_seed())

    def _guard(self, check: Callable[..., None], *found: Any) -> None:
        """Stop a run that will not come back, and say where it stands."""
        try:
            check(*found, self.config)
        except DivergenceError as error:
            kept = f" The last checkpoint in {self.folder} is kept." if self.folder else ""
            raise DivergenceError(f"step {self.step}: {error}{kept}") from None

    @property
    def model(self) -> CausalLanguageModel:
        """What the run is for: the policy."""
        return self.policy

    def weights(self) -> dict[str, Tensor]:
        """Weights of the policy by name; a matrix that is used twice once."""
        return {name: parameter.detach() for name, parameter in self.policy.named_parameters()}

    # --- checkpoints --------------------------------------------------------------------------

    @property
    def _settings(self) -> dict[str, Any]:
        """What has to be alike for a run to go on."""
        return asdict(self.config) | {
            "seed": self.seed,
            "kl": self._kl_at_start,
            "stop_ids": list(self.stop_ids),
            "reference": fingerprint(self.reference),
        }

    def _parameters(self) -> dict[str, nn.Parameter]:
        """All that is trained, by name; a matrix that is used twice once."""
        models = {"policy": self.policy, "value": self.value}
        return {
            f"{name}.{key}": parameter
            for name, model in models.items()
            for key, parameter in model.named_parameters()
        }

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint into the folder ``path``; return where it is.

        A crash at any moment leaves the earlier ones whole.
        """
        states = {}
        for name, parameter in self._parameters().items():
            kept = self.optimizers[name.split(".")[0]].state.get(parameter, {})
            states |= {f"optimizer.{name}.{key}": value for key, value in kept.items()}
        state = {"config": self._settings, "history": self.history.rows}
        state["kl_coefficient"] = self.kl.coefficient
        return write_checkpoint(
            path,
            self.step,
            weights=dict(self._parameters()),
            tensors=states,
            state=state,
            keep=self.config.keep,
        )

    def resume(self, path: str | Path) -> PPOTrainer:
        """Go on from a checkpoint, or from the latest one of a folder.

        On a CPU what follows is what a run that never stopped would have done, bit for bit.

        Parameters
        ----------
        path : str or Path
            What :meth:`save` was given or returned.

        Returns
        -------
        PPOTrainer
            This one.

        Raises
        ------
        CheckpointError
            There is no checkpoint, or it is damaged.
        ValueError
            It belongs to other models, another reference or another config.
        """
        weights, tensors, state = read_checkpoint(path)
        check_same_run(self._settings, state["config"])
        parameters = self._parameters()
        strange = sorted(set(parameters) ^ set(weights)) or [
            name for name in weights if parameters[name].shape != weights[name].shape
        ]
        if strange:
            raise ValueError(
                f"the checkpoint in {path} is of other models; these tensors do not match: "
                f"{', '.join(strange[:5])}"
            )
        for name, parameter in parameters.items():
            with torch.no_grad():
                parameter.copy_(weights[name])
            start, optimizer = f"optimizer.{name}.", self.optimizers[name.split(".")[0]]
            found = {
                key.removeprefix(start): tensor
                for key, tensor in tensors.items()
                if key.startswith(start)
            }
            if found:
                optimizer.state[parameter] = {
                    key: tensor if key == "step" else tensor.to(parameter.device)
                    for key, tensor in found.items()
                }
        self.step = state["step"]
        self.history = History(state["history"])
        self.kl.coefficient = state["kl_coefficient"]
        return self
