"""The reward stage: made, resumed, opened, measured."""

import json

import pytest
import torch

from llmlib.companion import (
    evaluate_reward,
    load,
    load_reward,
    pair_rewards,
    read_recipe,
    train,
)
from llmlib.companion.__main__ import main
from llmlib.companion.recipe import RECIPES
from llmlib.data import preference_pairs
from llmlib.post_training import RewardModel
from llmlib.training import History

RECIPE = """
stage = "tiny-reward"
method = "reward"
start = "{start}"
seed = 0
[data]
pairs = 4
[training]
steps = 6
max_lr = 3e-3
eval_every = 3
eval_batches = 1
save_every = 2
"""


@pytest.fixture(scope="module")
def start(recipe_path, tmp_path_factory):
    """A base stage with room for the longest story: two steps of training."""
    folder = tmp_path_factory.mktemp("start")
    wide = folder / "wide.toml"
    text = recipe_path.read_text().replace("context_length = 384", "context_length = 512")
    wide.write_text(text.replace("steps = 20", "steps = 2").replace("warmup_steps = 3", ""))
    train(wide, folder / "wide")
    return folder / "wide"


@pytest.fixture(scope="module")
def reward_recipe(start, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny-reward.toml"
    path.write_text(RECIPE.format(start=start))
    return path


@pytest.fixture(scope="module")
def judged(reward_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "tiny-reward"
    return folder, train(reward_recipe, folder)


def test_it_begins_with_the_decoder_of_the_stage_before(reward_recipe, start, tmp_path):
    run = train(reward_recipe, tmp_path / "new", until=0)
    before = dict(load(start)[0].named_parameters())
    for name, parameter in run.model.body.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_it_stops_and_goes_on_with_equal_losses(reward_recipe, judged, tmp_path):
    folder = tmp_path / "stopped"
    train(reward_recipe, folder, until=3)
    assert not (folder / "config.json").exists()
    assert train(reward_recipe, folder).history.rows == judged[1].history.rows


def test_the_log_holds_accuracy_and_margin(judged):
    log = History.load(judged[0] / "log.csv")
    assert log.column("accuracy") == judged[1].history.column("accuracy")
    assert log.steps("eval_margin") == [2, 5]


def test_the_file_is_the_trained_model_with_stories_around_zero(judged):
    model, tokenizer = load_reward(judged[0])
    pairs = [p for p in preference_pairs(400, split="validation") if p.kind == "both follow"]
    sides = pair_rewards(model, tokenizer, pairs)
    assert torch.cat(sides).mean().item() == pytest.approx(0, abs=1e-3)
    trained = pair_rewards(judged[1].model.eval(), tokenizer, pairs[:20])
    for found, expected in zip(sides, trained, strict=True):
        expected = expected - model.offset
        torch.testing.assert_close(found[:20], expected, atol=2e-2, rtol=2e-2)  # half precision
    with pytest.raises(ValueError, match="SequenceClassification"):
        load(judged[0])


class Perfect(torch.nn.Module):
    """Knows the utilities."""

    def __init__(self, pairs):
        super().__init__()
        self.rewards = iter([pair.utilities for pair in pairs])
        self.head = torch.nn.Linear(1, 1)

    def forward(self, ids, mask):
        rows = torch.tensor([next(self.rewards) for _ in range(len(ids) // 2)])
        return torch.cat((rows[:, 0], rows[:, 1]))


def test_a_model_that_knows_the_utility_is_as_good_as_the_judge(judged):
    _, tokenizer = load_reward(judged[0])
    pairs = list(preference_pairs(300, split="test"))
    scores = evaluate_reward(Perfect(pairs), tokenizer, pairs=300)
    assert scores.true_accuracy == 1
    assert set(scores.by_kind.values()) == {1.0}
    assert scores.accuracy == pytest.approx(scores.judge)
    assert 0.9 < scores.judge < 1
    assert scores.rank_correlation == pytest.approx(1)
    assert scores.calibration_error < 0.05


def test_a_model_without_opinion_is_right_in_half_of_the_pairs(judged):
    model, tokenizer = load_reward(judged[0])
    scores = evaluate_reward(RewardModel(model.body), tokenizer, pairs=40)
    assert scores.accuracy == scores.true_accuracy == 0.5
    assert scores.loss == pytest.approx(0.6931, abs=1e-4)


def test_the_command_measures_it_and_writes_a_card(judged, capsys):
    main(["evaluate", str(judged[0]), "--save"])
    assert "agrees with the judge" in capsys.readouterr().out
    saved = json.loads((judged[0] / "evaluation.json").read_text())
    assert saved["pairs"] == 1000
    card = (judged[0] / "README.md").read_text()
    assert f"{saved['accuracy']:.1%}" in card


def test_the_recipe_of_the_book_is_one():
    recipe = read_recipe(RECIPES / "reward.toml")
    assert recipe.method == "reward"
    assert recipe.train_config().steps > 100
