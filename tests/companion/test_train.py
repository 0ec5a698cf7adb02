"""From a recipe to a folder that others open; a killed run loses nothing."""

import json
import multiprocessing
import os
import signal
import time

import pytest
import torch

from llmlib.companion import load, read_recipe, train, training_log
from llmlib.companion.__main__ import main
from llmlib.companion.methods.pretraining import stories_of_training
from llmlib.data.stories import generate_stories
from llmlib.training import latest_checkpoint, run_ranks


def test_a_killed_run_goes_on_with_equal_losses(recipe_path, finished, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])
    folder = tmp_path / "killed"
    process = context.Process(target=train, args=(recipe_path, folder))
    process.start()
    deadline = time.monotonic() + 120
    while latest_checkpoint(folder / "checkpoints") is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert latest_checkpoint(folder / "checkpoints") is not None
    assert not (folder / "config.json").exists()
    trainer = train(recipe_path, folder)
    assert trainer.history.rows == finished[1].history.rows
    assert training_log(folder).column("loss") == trainer.history.column("loss")


def train_on_rank(rank, world_size, recipe_path, folder):
    return train(recipe_path, folder).history.rows


def test_two_processes_make_the_stage_that_one_makes(recipe_path, finished, tmp_path):
    folder = tmp_path / "two"
    first, second = run_ranks(train_on_rank, 2, recipe_path, folder)
    assert first == second
    expected = finished[1].history.column("loss")
    assert [row["loss"] for row in first] == pytest.approx(expected, rel=1e-3)
    for one, two in zip(
        load(folder)[0].parameters(), load(finished[0])[0].parameters(), strict=True
    ):
        torch.testing.assert_close(one, two, atol=2e-3, rtol=0.05)


def test_the_finished_stage_opens_here_and_in_transformers(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, trainer = finished
    model, tokenizer = load(folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    text = next(generate_stories(1, seed=3)).text
    ids = torch.tensor([tokenizer.encode(text)])
    peer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        torch.testing.assert_close(model(ids), peer(ids).logits)
        # Half precision moves the logits by little.
        torch.testing.assert_close(model(ids), trainer.model.float()(ids), atol=0.02, rtol=0.02)


def test_what_was_seen_is_what_the_recipe_draws(recipe_path, finished):
    recipe = read_recipe(recipe_path)
    _, trainer = finished
    tokenizer = load(finished[0])[1]
    seen = stories_of_training(recipe, tokenizer)
    assert len(seen) > 20
    batch = trainer.train_data.batch(recipe.training["steps"] - 1)
    text = tokenizer.decode(batch.ids[0, :120].tolist())
    assert any(story[:60] in text for story in seen)
    assert not any(s.text.strip() in seen for s in generate_stories(50, seed=1, split="test"))


def test_the_command_trains_measures_and_writes(recipe_path, tmp_path, capsys, finished):
    folder = tmp_path / "made"
    main(["train", str(recipe_path), "--folder", str(folder), "--until", "2", "--device", "cpu"])
    assert "step 2 of 20" in capsys.readouterr().out
    folder = finished[0]
    main(["evaluate", str(folder), "--stories", "4", "--samples", "2", "--save"])
    out = capsys.readouterr().out
    saved = json.loads((folder / "evaluation.json").read_text())
    assert f"{saved['bits_per_character']:.4f}" in out
    assert f"{saved['floor']:.4f}" in (folder / "README.md").read_text()
    main(["sample", str(folder), "--prompt", "One morning", "--count", "2"])
    assert capsys.readouterr().out.count("One morning") == 2


def test_what_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"no recipe nowhere.*base"):
        read_recipe("nowhere")
    with pytest.raises(FileNotFoundError, match="no stage nowhere"):
        load("nowhere")
