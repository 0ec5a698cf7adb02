"""The DPO stage: pairs of its own stories, made, resumed, compared with the stage before."""

import json
import math

import pytest
import torch

from llmlib.companion import load, own_pairs, read_recipe, train
from llmlib.companion.__main__ import main
from llmlib.companion.own_pairs import draw_own_pairs, load_pairs
from llmlib.companion.recipe import RECIPES
from llmlib.data.preferences import SMALLEST_GAP, utility
from llmlib.data.stories import split_of
from llmlib.data.stories.read import read_story
from llmlib.training import History

RECIPE = """
stage = "tiny-dpo"
method = "dpo"
start = "{start}"
seed = 0
[data]
prompts = 10
samples = 3
max_new_tokens = 12
held_out = 6
pairs = 2
[options]
beta = 0.1
watch = 2
watch_every = 2
[training]
steps = 6
max_lr = 3e-3
eval_every = 3
eval_batches = 1
save_every = 2
"""


def letters(_instruction, text):
    """A taste that a model of two steps can please: many letters."""
    return 3.0 * sum(one.isalpha() for one in text)


@pytest.fixture(scope="module", autouse=True)
def another_taste():
    """Texts of a tiny model are no stories, and all have the utility 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_pairs, "utility", letters)
        yield


@pytest.fixture(scope="module")
def start(recipe_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    short = folder / "short.toml"
    text = recipe_path.read_text()
    short.write_text(text.replace("steps = 20", "steps = 2").replace("warmup_steps = 3", ""))
    train(short, folder / "short")
    return folder / "short"


@pytest.fixture(scope="module")
def dpo_recipe(start, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny-dpo.toml"
    path.write_text(RECIPE.format(start=start))
    return path


@pytest.fixture(scope="module")
def made(dpo_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "tiny-dpo"
    return folder, train(dpo_recipe, folder)


def test_pairs_are_the_best_and_the_worst_of_what_the_stage_wrote(start):
    model, tokenizer = load(start)
    drawn = draw_own_pairs(model, tokenizer, 8, samples=4, max_new_tokens=10, seed=1)
    assert len(drawn) > 4
    for pair in drawn:
        assert pair.utilities == (letters(None, pair.chosen), letters(None, pair.rejected))
        assert abs(pair.utilities[0] - pair.utilities[1]) >= SMALLEST_GAP
        assert split_of(read_story(pair.instruction.response.strip()).record) == "train"
    again = draw_own_pairs(model, tokenizer, 8, samples=4, max_new_tokens=10, seed=1)
    other = draw_own_pairs(model, tokenizer, 8, samples=4, max_new_tokens=10, seed=2)
    assert drawn == again != other
    wider = draw_own_pairs(model, tokenizer, 40, samples=6, max_new_tokens=10)
    closer = draw_own_pairs(model, tokenizer, 40, samples=2, max_new_tokens=10)
    gaps = [sum(abs(p.utilities[0] - p.utilities[1]) for p in some) / len(some)
            for some in (wider, closer)]  # fmt: skip
    assert gaps[0] > 1.2 * gaps[1]  # more stories lie further apart
    assert all(math.isfinite(gap) for gap in gaps)


def test_one_story_cannot_be_compared(start):
    with pytest.raises(ValueError, match="samples=1"):
        draw_own_pairs(*load(start), 2, samples=1)


def test_it_stops_and_goes_on_with_equal_rows(dpo_recipe, made, tmp_path):
    folder = tmp_path / "stopped"
    train(dpo_recipe, folder, until=3)
    assert not (folder / "config.json").exists()
    files = {name: folder / "checkpoints" / f"pairs-{name}.jsonl" for name in ("train",
             "validation")}  # fmt: skip
    kept = {name: file.read_bytes() for name, file in files.items()}
    assert train(dpo_recipe, folder).history.rows == made[1].history.rows
    assert {name: file.read_bytes() for name, file in files.items()} == kept
    assert load_pairs(files["train"]) == load_pairs(made[0] / "checkpoints" / "pairs-train.jsonl")


def test_a_run_that_goes_on_reads_its_pairs_and_draws_none(dpo_recipe, made, tmp_path, monkeypatch):
    folder = tmp_path / "stopped"
    train(dpo_recipe, folder, until=3)
    monkeypatch.setattr("llmlib.companion.methods.dpo.draw_own_pairs", None)
    assert train(dpo_recipe, folder).history.rows == made[1].history.rows


def test_held_out_pairs_belong_to_stories_of_the_validation_split(made):
    for pair in load_pairs(made[0] / "checkpoints" / "pairs-validation.jsonl"):
        assert split_of(read_story(pair.instruction.response.strip()).record) == "validation"


def test_it_begins_at_the_reference_and_learns_the_pairs(made, start):
    folder, run = made
    first, last = run.history.rows[0], run.history.rows[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert last["margin"] > 0
    assert last["kl"] > 0
    reference = dict(run.loss.reference.named_parameters())
    for name, parameter in load(start)[0].named_parameters():
        assert torch.equal(parameter, reference[name]), name
    model, _ = load(folder)
    ids = torch.arange(12)[None]
    torch.testing.assert_close(model(ids), run.model(ids), atol=2e-2, rtol=2e-2)  # half precision


def test_the_log_tells_what_the_policy_does_by_itself(made):
    log = History.load(made[0] / "log.csv")
    assert log.column("margin") == made[1].history.column("margin")
    assert log.steps("own_kl") == [1, 3, 5]
    assert log.steps("eval_accuracy") == [2, 5]
    assert {"grad_norm", "chosen_logp", "rejected_length", "own_utility", "own_words"} <= set(
        log.names
    )
    assert log.column("own_kl")[-1] != 0


def test_equally_bad_stories_are_refused(dpo_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(own_pairs, "utility", utility)  # all 0
    with pytest.raises(ValueError, match="gave 0 pairs, and a batch takes 2: give more prompts"):
        train(dpo_recipe, tmp_path / "none")
    assert not list((tmp_path / "none" / "checkpoints").glob("pairs*"))


def test_the_command_compares_it_and_writes_a_card(made, capsys):
    folder, _ = made
    main(["evaluate", str(folder), "--stories", "4", "--conversations", "1", "--save"])
    assert "preferred" in capsys.readouterr().out
    saved = json.loads((folder / "evaluation.json").read_text())
    assert saved["compared"] == 4
    assert saved["kl"] != 0
    card = (folder / "README.md").read_text()
    assert f"{saved['preferred']:.1%}" in card
    assert "10 instructions" in card.replace("\n", " ")


def test_the_recipe_of_the_book_is_one():
    recipe = read_recipe(RECIPES / "dpo.toml")
    assert (recipe.stage, recipe.method, recipe.start) == ("dpo", "dpo", "sft")
    assert recipe.train_config().steps >= 50
    assert recipe.train_config().save_every
