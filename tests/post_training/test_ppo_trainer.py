"""PPO with its four models: a step by hand, what must hold of every run, resuming, stopping."""

import copy
import math

import pytest
import torch

from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.post_training import (
    AdaptiveKL,
    FixedKL,
    PPOConfig,
    PPOTrainer,
    ValueModel,
    response_log_probabilities,
    response_values,
    sample_responses,
)
from llmlib.training import CheckpointError, CSVLog, DivergenceError, History

SIZES = {"vocab_size": 8, "context_length": 12, "dim": 16, "num_layers": 2, "num_heads": 2}
END = 7
PROMPTS = [[1, 2, 3], [4], [5, 6], [2, 2, 2, 2]]


def model(kind="llama", seed=0):
    torch.manual_seed(seed)
    made = Llama(LlamaConfig(**SIZES)) if kind == "llama" else GPT(GPTConfig(**SIZES))
    for weight in made.parameters():
        if weight.dim() == 2:
            weight.data.normal_(std=0.4)  # random, with opinions
    return made


def threes(prompts, responses):
    """Share of 3 among the tokens."""
    return torch.tensor([response.count(3) / len(response) for response in responses])


def trainer(policy=None, *, reward=threes, prompts=None, steps=3, **options):
    policy = model() if policy is None else policy
    names = ("kl", "stop_ids", "measures", "seed", "folder", "logs")
    own = {name: options.pop(name) for name in names if name in options}
    config = PPOConfig(**{"steps": steps, "max_new_tokens": 6, "minibatch_size": 4, **options})
    return PPOTrainer(
        policy,
        copy.deepcopy(policy),
        ValueModel(copy.deepcopy(policy)),
        reward,
        prompts or (lambda step: PROMPTS * 2),
        config,
        **{"stop_ids": [END], **own},
    )


# --- rollouts -----------------------------------------------------------------------------------


def test_a_response_ends_with_its_first_stop_token():
    torch.manual_seed(0)
    found = sample_responses(model(), PROMPTS * 8, max_new_tokens=8, stop_ids=[END])
    prompts, responses = found.lists()
    assert prompts == PROMPTS * 8
    assert {response.count(END) for response in responses} == {0, 1}
    for response in responses:
        assert END not in response[:-1]
        assert len(response) == 8 or response[-1] == END
    assert found.lengths.tolist() == [len(response) for response in responses]


def test_without_stop_tokens_every_response_is_full():
    found = sample_responses(model(), PROMPTS, max_new_tokens=5)
    assert found.response_mask.all()


@pytest.mark.parametrize("kind", ["llama", "gpt"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_padded_texts_are_judged_as_if_alone(kind, temperature):
    policy = model(kind).double()
    value = ValueModel(copy.deepcopy(policy))
    torch.nn.init.normal_(value.head.weight)
    found = sample_responses(policy, PROMPTS, max_new_tokens=8, stop_ids=[END])
    logps, entropy = response_log_probabilities(policy, found, temperature=temperature)
    values = response_values(value, found)
    for row, (prompt, response) in enumerate(zip(*found.lists(), strict=True)):
        text, size = torch.tensor([prompt + response]), len(response)
        logits = policy(text)[0, len(prompt) - 1 : -1] / temperature
        alone = torch.distributions.Categorical(logits=logits)
        torch.testing.assert_close(logps[row, :size], alone.log_prob(torch.tensor(response)))
        torch.testing.assert_close(entropy[row, :size], alone.entropy())
        expected = value(text)[0, len(prompt) - 1 : -1]
        torch.testing.assert_close(values[row, :size], expected)


def test_tokens_are_drawn_as_often_as_their_probability_says():
    policy = model()
    torch.manual_seed(0)
    found = sample_responses(policy, [[1, 2]] * 4000, max_new_tokens=1)
    counts = torch.bincount(found.responses[:, 0], minlength=8) / 4000
    with torch.no_grad():
        expected = policy(torch.tensor([[1, 2]]))[0, -1].softmax(0)
    torch.testing.assert_close(counts, expected, atol=0.03, rtol=0)


# --- a step, written again ----------------------------------------------------------------------


def step_by_hand(policy, reference, value, texts, *, beta, lam, clip, epochs, lr, value_lr):
    """Texts one by one, without padding, cache or batches; PyTorch's own optimizer."""

    def judge(model, prompt, response):
        logits = model(torch.tensor([prompt + response]))[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1)[range(len(response)), response]

    def expect(prompt, response):
        return value(torch.tensor([prompt + response]))[0, len(prompt) - 1 : -1]

    rows = []
    for prompt, response in texts:
        old, ref = judge(policy, prompt, response).detach(), judge(reference, prompt, response)
        rewards = -beta * (old - ref.detach())
        rewards[-1] += response.count(3) / len(response)
        values = expect(prompt, response).detach()
        advantages, following = [], 0.0
        for t in reversed(range(len(response))):
            after = values[t + 1].item() if t + 1 < len(response) else 0.0
            delta = rewards[t].item() + after - values[t].item()
            following = delta + lam * following
            advantages.insert(0, following)
        rows.append((prompt, response, old, values, torch.tensor(advantages).double()))
    every = torch.cat([row[4] for row in rows])
    mean, deviation = every.mean(), every.std(unbiased=False)
    for _ in range(epochs):
        losses, errors = [], []
        for prompt, response, old, values, advantages in rows:
            white = (advantages - mean) / deviation
            ratios = (judge(policy, prompt, response) - old).exp()
            for ratio, advantage in zip(ratios, white, strict=True):
                held = ratio.clamp(1 - clip, 1 + clip)
                losses.append(-min(ratio * advantage, held * advantage, key=lambda x: x.item()))
            errors += list(0.5 * (expect(prompt, response) - (advantages + values)) ** 2)
        for made, model, rate in ((losses, policy, lr), (errors, value, value_lr)):
            model.optimizer = getattr(model, "optimizer", None) or torch.optim.AdamW(
                model.parameters(), lr=rate, weight_decay=0.0, eps=1e-8
            )
            model.optimizer.zero_grad()
            torch.stack(made).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            model.optimizer.step()


@pytest.mark.parametrize("clip", [0.02, math.inf])
def test_steps_are_those_written_by_hand(clip):
    policy, reference = model().double(), model(seed=1).double()
    value = ValueModel(model(seed=2).double())
    torch.nn.init.normal_(value.head.weight)
    by_hand = [copy.deepcopy(each) for each in (policy, reference, value)]
    options = {"lam": 0.9, "clip": clip, "epochs": 3, "lr": 3e-3, "value_lr": 1e-3}
    config = PPOConfig(steps=2, max_new_tokens=6, minibatch_size=8, **options)
    prompts = {0: PROMPTS, 1: [*PROMPTS[::-1], [1]]}
    ours = PPOTrainer(
        policy, reference, value, threes, prompts.get, config, kl=FixedKL(0.1), stop_ids=[END]
    )
    shares = []
    for until in (1, 2):
        ours.fit(until)
        texts = list(zip(*ours.last.rollouts.lists(), strict=True))
        step_by_hand(*by_hand, texts, beta=0.1, **options)
        for one, two in ((policy, by_hand[0]), (value, by_hand[2])):
            torch.testing.assert_close(list(one.parameters()), list(two.parameters()))
        shares.append(ours.history.rows[-1]["clip_share"])
    assert (max(shares) > 0.1) == (clip < 1)  # the clip was at work, or could not be


# --- what holds of every run --------------------------------------------------------------------


def test_the_first_step_begins_at_the_reference():
    run = trainer(epochs=1, minibatch_size=8, steps=1)
    row = run.fit().rows[0]
    assert row["kl"] == 0.0
    assert row["step_kl"] == pytest.approx(0.0, abs=1e-6)
    assert row["clip_share"] == 0.0
    assert row["loss"] == pytest.approx(0.0, abs=1e-5)  # ratios 1, advantages whitened
    assert set(row) == {
        *("step", "reward", "kl", "kl_coefficient", "entropy", "length", "ended"),
        *("loss", "value_loss", "grad_norm", "value_grad_norm", "clip_share", "step_kl"),
    }


@pytest.mark.parametrize("kind", ["llama", "gpt"])
def test_it_earns_the_reward(kind):
    run = trainer(model(kind), steps=25, lr=5e-3, value_lr=5e-3, kl=FixedKL(0.0), epochs=3)
    rewards = run.fit().column("reward")
    assert sum(rewards[:3]) / 3 < 0.3
    assert sum(rewards[-3:]) / 3 > 0.7
    assert run.history.column("entropy")[-1] < run.history.column("entropy")[0] / 2


def test_a_reward_with_nothing_to_learn_teaches_nothing():
    run = trainer(
        steps=3, kl=FixedKL(0.0), lam=1.0, value_lr=1e-9, epochs=1, minibatch_size=8,
        reward=lambda prompts, responses: torch.ones(len(responses)),
    )  # fmt: skip
    before = copy.deepcopy(run.policy.state_dict())
    run.fit()
    for name, weight in run.policy.state_dict().items():
        torch.testing.assert_close(weight, before[name], atol=1e-3, rtol=0)
    assert run.history.column("grad_norm")[0] < 1e-3


def test_the_price_of_kl_holds_the_policy():
    free, held = (
        trainer(steps=20, lr=5e-3, kl=FixedKL(price)).fit().rows[-1] for price in (0.0, 1.0)
    )
    assert held["kl"] < free["kl"] / 3
    assert held["reward"] < free["reward"]


def test_the_reference_stays_and_the_value_model_learns_first():
    run = trainer(steps=6, value_first=3, value_lr=3e-2, epochs=4)
    policy, reference = (copy.deepcopy(part.state_dict()) for part in (run.policy, run.reference))
    history = run.fit(3)
    assert all(torch.equal(weight, policy[n]) for n, weight in run.policy.state_dict().items())
    assert history.column("value_loss")[-1] < history.column("value_loss")[0] / 2
    run.fit()
    assert not all(torch.equal(w, policy[name]) for name, w in run.policy.state_dict().items())
    assert all(torch.equal(w, reference[name]) for name, w in run.reference.state_dict().items())


def test_other_measures_are_written_down():
    lengths = {"twice": lambda prompts, responses: torch.tensor([2.0 * len(r) for r in responses])}
    row = trainer(measures=lengths, steps=1).fit().rows[0]
    assert row["twice"] == pytest.approx(2 * row["length"])


# --- resuming -----------------------------------------------------------------------------------


def adaptive(folder=None, **options):
    # 6 texts do not divide into parts of 4: the last part of an epoch is smaller
    prompts = lambda step: PROMPTS[step % 2 :] + PROMPTS[:2]  # noqa: E731
    return trainer(
        steps=6, lr=3e-3, kl=AdaptiveKL(0.1, target=0.5), folder=folder, prompts=prompts, **options
    )


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path):
    whole = adaptive()
    whole.fit()
    adaptive(tmp_path, save_every=2).fit(4)
    torch.manual_seed(99)  # whatever happened in between
    resumed = adaptive(tmp_path, save_every=2).resume(tmp_path)
    assert resumed.step == 4
    resumed.fit()
    assert resumed.history.rows == whole.history.rows
    for one, two in ((whole.policy, resumed.policy), (whole.value, resumed.value)):
        for name, weight in one.state_dict().items():
            assert torch.equal(weight, two.state_dict()[name]), name


def test_a_run_killed_within_a_step_loses_that_step_only(tmp_path):
    calls = []

    def killed(prompts, responses):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return threes(prompts, responses)

    log = tmp_path / "log.csv"
    with pytest.raises(KeyboardInterrupt):
        adaptive(tmp_path, save_every=1, reward=killed, logs=[CSVLog(log, ["step", "kl"])]).fit()
    resumed = adaptive(tmp_path, save_every=1, logs=[CSVLog(log, ["step", "kl"])])
    resumed.resume(tmp_path).fit()
    whole = adaptive(save_every=0).fit()
    assert resumed.history.rows == whole.rows
    assert History.load(log).column("kl") == whole.column("kl")
    assert History.load(log).steps("kl") == list(range(6))


def test_another_run_cannot_go_on(tmp_path):
    trainer(folder=tmp_path, save_every=1).fit(1)
    for message, options in (
        ("lr was 0.0001, now 0.1", {"lr": 0.1}),
        ("kl was", {"kl": FixedKL(0.9)}),
        ("reference was", {"policy": model(seed=5)}),
        ("seed was 0, now 1", {"seed": 1}),
    ):
        with pytest.raises(ValueError, match=message):
            trainer(folder=tmp_path, **options).resume(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        trainer().resume(tmp_path / "nothing")


def test_another_value_model_cannot_go_on(tmp_path):
    trainer(folder=tmp_path, save_every=1).fit(1)
    run = trainer(folder=tmp_path)
    body = GPT(GPTConfig(**SIZES))
    other = PPOTrainer(
        run.policy, run.reference, ValueModel(body), threes, run.prompts, run.config, stop_ids=[END]
    )
    with pytest.raises(ValueError, match=r"of other models.*value\.body"):
        other.resume(tmp_path)


# --- stopping -----------------------------------------------------------------------------------


def test_a_reward_that_is_no_number_stops_the_run():
    def broken(prompts, responses):
        scores = threes(prompts, responses)
        scores[2] = math.nan
        return scores

    with pytest.raises(DivergenceError, match=r"step 0: the reward of text 2 is nan.*reward model"):
        trainer(reward=broken).fit()


def test_a_policy_that_runs_away_is_stopped(tmp_path):
    run = trainer(steps=40, lr=0.3, max_kl=4.0, kl=FixedKL(0.0), folder=tmp_path, save_every=1)
    with pytest.raises(DivergenceError) as stopped:
        run.fit()
    message = str(stopped.value)
    for part in ("nats per text", "max_kl=4", "larger KL coefficient", "lower lr (now 0.3)"):
        assert part in message
    assert f"checkpoint in {tmp_path} is kept" in message


def test_a_broken_gradient_does_not_reach_the_weights():
    run = trainer(reward=lambda prompts, responses: torch.full((len(responses),), 1e30))
    with pytest.raises(DivergenceError, match=r"value_loss is inf.*lower value_lr"):
        run.fit()
    for part in (run.policy, run.value):
        assert all(weight.isfinite().all() for weight in part.parameters())


def test_what_cannot_work_is_refused():
    policy = model()
    arguments = (threes, lambda step: PROMPTS, PPOConfig(steps=1, max_new_tokens=4))
    with pytest.raises(ValueError, match="policy and value share weights"):
        PPOTrainer(policy, copy.deepcopy(policy), ValueModel(policy), *arguments)
    with pytest.raises(ValueError, match="policy and reference share weights"):
        PPOTrainer(policy, policy, ValueModel(model()), *arguments)
    with pytest.raises(ValueError, match="differ in their config"):
        PPOTrainer(policy, model("gpt"), ValueModel(model()), *arguments)
    with pytest.raises(ValueError, match="there is no folder"):
        trainer(save_every=1)
    with pytest.raises(ValueError, match=r"shape \(1,\), but there are 8 texts"):
        trainer(reward=lambda prompts, responses: torch.zeros(1)).fit()
    for options in ({"steps": 0}, {"clip": 0.0}, {"temperature": 0.0}, {"epochs": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            PPOConfig(**{"steps": 1, "max_new_tokens": 1} | options)
