"""Stages that begin with another one: made, resumed, opened, measured."""

import json

import pytest
import torch

from llmlib.companion import evaluate_chat, load, read_recipe, score_table, train
from llmlib.companion.__main__ import main
from llmlib.companion.chat_scores import MEASURES
from llmlib.companion.methods import METHODS
from llmlib.companion.recipe import RECIPES, Recipe
from llmlib.data.conversations import KINDS, Conversation, draw_conversations
from llmlib.data.conversations.conversation import reply, user
from llmlib.data.stories import generate_stories
from llmlib.training import latest_checkpoint

RECIPE = """
stage = "tiny-sft"
method = "sft"
start = "{start}"
seed = 0
[data]
conversations = 6
length = 384
[data.mixture]
question = 0.5
arithmetic = 0.5
[training]
steps = 8
max_lr = 3e-3
eval_every = 4
eval_batches = 1
sample_every = 8
save_every = 2
"""


@pytest.fixture(scope="module")
def sft_recipe(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny-sft.toml"
    path.write_text(RECIPE.format(start=finished[0]))
    return path


@pytest.fixture(scope="module")
def tuned(sft_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "tiny-sft"
    return folder, train(sft_recipe, folder)


def test_a_stage_begins_with_the_model_of_another(sft_recipe, finished, tmp_path):
    trainer = train(sft_recipe, tmp_path / "new", until=0)
    for (name, one), two in zip(
        trainer.model.named_parameters(), load(finished[0])[0].parameters(), strict=True
    ):
        assert torch.equal(one, two), name


def test_a_stage_stops_and_goes_on_with_equal_losses(sft_recipe, tuned, tmp_path):
    folder = tmp_path / "stopped"
    train(sft_recipe, folder, until=3)
    assert latest_checkpoint(folder / "checkpoints") is not None
    assert not (folder / "config.json").exists()
    assert train(sft_recipe, folder).history.rows == tuned[1].history.rows


def test_transformers_writes_the_same_conversation(tuned):
    from transformers import AutoTokenizer

    from llmlib.tokenizers import ChatTemplate

    tokenizer, peer = load(tuned[0])[1], AutoTokenizer.from_pretrained(tuned[0])
    for kind in KINDS:
        for conversation in draw_conversations(kind, 3, seed=4):
            found = peer.apply_chat_template(
                conversation.messages, return_dict=True, return_assistant_tokens_mask=True
            )
            chat = ChatTemplate().encode(tokenizer, conversation.messages)
            assert chat.ids == found["input_ids"]
            assert chat.learned == [bool(one) for one in found["assistant_masks"]]


def test_a_model_that_says_the_right_thing_scores_one(tuned, monkeypatch):
    model, tokenizer = load(tuned[0])
    expected = {}
    for kind in KINDS:
        for conversation in draw_conversations(kind, 5, split="test", ambiguous=False):
            for number in conversation.replies:
                key = json.dumps(conversation.messages[:number])
                expected[key] = conversation.turns[number].content

    def perfect(_model, _tokenizer, prompts, **_options):
        return [expected[json.dumps(prompt)] for prompt in prompts]

    monkeypatch.setattr("llmlib.companion.chat_scores.replies", perfect)
    scores = evaluate_chat(model, tokenizer, conversations=5)
    assert set(scores.right.values()) == set(scores.solved.values()) == {1.0}
    assert set(scores.right) <= set(MEASURES)
    assert set(scores.solved) == set(KINDS)
    assert scores.mistakes == []


def test_a_story_can_do_what_was_asked_and_contradict_itself(tuned, monkeypatch):
    model, tokenizer = load(tuned[0])

    def one_name_for_two(_model, _tokenizer, prompts, **options):
        if not prompts:
            return []
        assert options["temperature"] > 0  # stories are drawn
        texts = []
        for story in generate_stories(None, seed=3, split="test"):
            facts = story.record.facts
            if len(texts) == len(prompts):
                return texts
            if "hero" in facts and "friend" in facts:
                texts.append(story.text.replace(facts["friend"], facts["hero"]))

    def everybody(kind, count, **_options):
        for story in generate_stories(None, seed=3, split="test"):
            facts = story.record.facts
            if "hero" in facts and "friend" in facts:
                asked = user(f"Write a story with {facts['hero']}.")
                told = reply(story.text, "instruction", (facts["hero"],))
                yield Conversation(kind=kind, turns=(asked, told))
                count -= 1
                if not count:
                    return

    monkeypatch.setattr("llmlib.companion.chat_scores.replies", one_name_for_two)
    monkeypatch.setattr("llmlib.companion.chat_scores.draw_conversations", everybody)
    scores = evaluate_chat(model, tokenizer, conversations=6, kinds=["instruction"])
    assert scores.right == {"instructions": 1.0, "sound stories": 0.0}
    assert scores.asked == {"instructions": 6, "sound stories": 6}
    assert scores.solved == {"instruction": 0.0}
    assert "the hero and the friend are both" in scores.mistakes[0]


def test_one_wrong_reply_spoils_its_conversation_only(tuned, monkeypatch):
    model, tokenizer = load(tuned[0])
    drawn = list(draw_conversations("arithmetic", 5, seed=0, split="test"))
    right = [one.turns[i].content for one in drawn for i in one.replies]

    def almost(_model, _tokenizer, prompts, **_options):
        return [] if not prompts else ["none", *right[1:]]

    monkeypatch.setattr("llmlib.companion.chat_scores.replies", almost)
    scores = evaluate_chat(model, tokenizer, conversations=5, kinds=["arithmetic"])
    assert scores.right == {"arithmetic": pytest.approx(1 - 1 / len(right))}
    assert scores.solved == {"arithmetic": 0.8}
    assert len(scores.mistakes) == 1
    assert "'none' in place of" in scores.mistakes[0]


def test_the_command_measures_and_replies(tuned, capsys):
    folder = str(tuned[0])
    main(["evaluate", folder, "--conversations", "1", "--save"])
    assert "replies that are right" in capsys.readouterr().out
    saved = json.loads((tuned[0] / "evaluation.json").read_text())
    card = (tuned[0] / "README.md").read_text()
    for name, share in saved["right"].items():
        assert f"| {name} | {share:.1%} | {saved['asked'][name]} |" in card
    main(["chat", folder, "What is 2 + 3?", "Now add 1.", "--system", "Use capitals only."])
    assert capsys.readouterr().out.count("> ") == 2


def test_recipes_of_the_book_have_a_method_and_a_start():
    recipes = [read_recipe(path.stem) for path in RECIPES.glob("*.toml")]
    stages = {recipe.stage for recipe in recipes}
    for recipe in recipes:
        assert recipe.method in METHODS
        assert recipe.start is None or recipe.start in stages
        assert recipe.training["steps"] > 0
    for name in ("base", "sft"):  # other methods may have settings of their own
        assert read_recipe(name).train_config().steps == read_recipe(name).training["steps"]


def test_recipes_that_contradict_themselves():
    with pytest.raises(ValueError, match="'x' starts from base and has sizes"):
        Recipe(stage="x", seed=0, start="base", model={"dim": 8})
    with pytest.raises(ValueError, match="either a stage to start from"):
        Recipe(stage="x", seed=0)


def test_the_table_has_a_line_for_each_stage(tmp_path):
    measured = {
        "tiny": {"bits_per_character": 1.0},
        "talks": {"right": {"instructions": 0.5, "sound stories": 0.25, "answers": 1.0}},
        "writes": {"right": {"answers": 0.9, "formats": 0.5}, "preferred": 0.6543, "kl": 12.4},
    }
    for name, scores in measured.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")  # a stage is known by it
        (tmp_path / name / "evaluation.json").write_text(json.dumps(scores))
    lines = score_table([tmp_path / name for name in measured])
    assert lines[0] == "stage        asked for   sound  answers     all  preferred      KL"
    assert lines[1].split() == ["tiny", "-", "-", "-", "-", "-", "-"]
    assert lines[2].split() == ["talks", "50.0%", "25.0%", "100.0%", "58.3%", "-", "-"]
    assert lines[3].split() == ["writes", "-", "-", "90.0%", "70.0%", "65.4%", "12"]
    assert len({len(line) for line in lines}) == 1  # the columns stand in line
