"""The PPO stage: made, resumed, opened, compared with the stage before."""

import copy
import json

import pytest
import torch

from llmlib.companion import compare_writers, load, load_reward, read_recipe, train
from llmlib.companion.__main__ import main
from llmlib.companion.methods.ppo import StoryPrompts
from llmlib.companion.recipe import RECIPES
from llmlib.companion.writer_scores import draw_instructions
from llmlib.data.preferences import utility
from llmlib.data.stories import split_of
from llmlib.data.stories.read import read_story
from llmlib.post_training import RewardModel, save_reward_model
from llmlib.training import History

RECIPE = """
stage = "tiny-ppo"
method = "ppo"
start = "{start}"
seed = 0
[data]
prompts = 4
[options]
reward = "{judge}"
kl_coefficient = 0.1
[training]
steps = 3
max_new_tokens = 6
minibatch_size = 4
epochs = 1
lr = 1e-3
save_every = 1
"""


@pytest.fixture(scope="module")
def start(recipe_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    short = folder / "short.toml"
    text = recipe_path.read_text()
    short.write_text(text.replace("steps = 20", "steps = 2").replace("warmup_steps = 3", ""))
    train(short, folder / "short")
    return folder / "short"


@pytest.fixture(scope="module")
def ppo_recipe(start, tmp_path_factory):
    """Judged by a reward model whose opinions are random."""
    body, tokenizer = load(start)
    reward = RewardModel(copy.deepcopy(body))
    torch.manual_seed(0)
    torch.nn.init.normal_(reward.head.weight)
    judge = tmp_path_factory.mktemp("judge")
    save_reward_model(reward, tokenizer, judge, pad_token_id=1)
    path = tmp_path_factory.mktemp("recipe") / "tiny-ppo.toml"
    path.write_text(RECIPE.format(start=start, judge=judge))
    return path


@pytest.fixture(scope="module")
def made(ppo_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "tiny-ppo"
    return folder, train(ppo_recipe, folder)


def test_it_stops_and_goes_on_with_equal_rows(ppo_recipe, made, tmp_path):
    folder = tmp_path / "stopped"
    train(ppo_recipe, folder, until=2)
    assert not (folder / "config.json").exists()
    assert train(ppo_recipe, folder).history.rows == made[1].history.rows


def test_the_stage_is_the_trained_policy(made, start):
    folder, run = made
    model, _ = load(folder)
    ids = torch.arange(12)[None]
    torch.testing.assert_close(model(ids), run.policy(ids), atol=2e-2, rtol=2e-2)  # half precision
    before, _ = load(start)
    assert not torch.equal(model.output_weight, before.output_weight)
    log = History.load(folder / "log.csv")
    assert log.column("kl") == run.history.column("kl")
    assert log.column("reward") != log.column("quotes")
    assert {"reward", "utility", "quotes", "clip_share", "length"} <= set(log.names)


def test_prompts_are_new_at_each_step_and_always_the_same(start):
    _, tokenizer = load(start)
    prompts = StoryPrompts(tokenizer, 4, seed=0)
    first, second = prompts(0), prompts(1)
    assert first != second
    assert StoryPrompts(tokenizer, 4, seed=0)(1) == second
    text = tokenizer.decode(first[0])
    assert text.startswith("<|end|><|user|>")
    assert text.endswith("<|end|><|assistant|>")


def test_rules_judge_the_text_of_their_own_instruction(start):
    _, tokenizer = load(start)
    prompts = StoryPrompts(tokenizer, 3, seed=0)
    asked = prompts(0)
    tasks = list(prompts._asked.values())
    end = tokenizer.special_tokens["<|end|>"]
    answers = [[*tokenizer.encode(task.response), end] for task in tasks]
    found = prompts.judged_by(utility)(asked, answers)
    assert found.tolist() == pytest.approx([utility(task, task.response) for task in tasks])
    assert found.min() > 0
    shifted = prompts.judged_by(utility)(asked, answers[1:] + answers[:1])
    assert shifted.sum() < found.sum()  # stories for other instructions


def test_instructions_belong_to_their_split():
    for split in ("train", "test"):
        for task in draw_instructions(5, seed=3, split=split):
            assert split_of(read_story(task.response.strip()).record) == split


def test_the_value_model_has_the_body_of_the_reward_model_and_expects_nothing(ppo_recipe, tmp_path):
    run = train(ppo_recipe, tmp_path / "new", until=0)
    reward, _ = load_reward(read_recipe(ppo_recipe).options["reward"])
    for one, two in zip(run.value.body.parameters(), reward.body.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    assert not run.value(torch.arange(9)[None]).any()


def test_a_rule_may_stand_for_the_reward_model(ppo_recipe, tmp_path):
    path = tmp_path / "flawed.toml"
    lines = ppo_recipe.read_text().splitlines()
    path.write_text(
        "\n".join('reward = "flawed"' if line.startswith("reward") else line for line in lines)
    )
    rows = train(path, tmp_path / "flawed", until=1).history.rows
    assert rows[0]["reward"] == rows[0]["quotes"]


def test_a_stage_against_itself_wins_half(start):
    model, tokenizer = load(start)
    scores = compare_writers(model, copy.deepcopy(model), tokenizer, count=6, show=2)
    assert scores.preferred == 0.5
    assert scores.kl == pytest.approx(0, abs=1e-3)
    assert scores.words["before"] == scores.words["after"]
    assert len(scores.samples) == 2


def test_the_command_compares_it_and_writes_a_card(made, capsys):
    folder, _ = made
    main(["evaluate", str(folder), "--stories", "4", "--conversations", "1", "--save"])
    assert "preferred" in capsys.readouterr().out
    saved = json.loads((folder / "evaluation.json").read_text())
    assert saved["compared"] == 4
    assert set(saved["utility"]) == {"before", "after"}
    assert f"{saved['preferred']:.1%}" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["ppo", "ppo-flawed", "ppo-held"])
def test_the_recipes_of_the_book_are_some(name):
    recipe = read_recipe(RECIPES / f"{name}.toml")
    assert recipe.stage == name
    assert recipe.method == "ppo"
    assert (recipe.options["reward"] == "flawed") == (name != "ppo")
    assert (recipe.options["kl_coefficient"] == 0) == (name == "ppo-flawed")
