"""A stage that is an adapter: made, resumed, opened here and by peft, and never on another base."""

import json

import pytest
import torch

from llmlib.companion import load, read_recipe, train
from llmlib.companion.__main__ import main
from llmlib.companion.documents import SPECIAL_TOKENS
from llmlib.models import Llama
from llmlib.post_training import (
    apply_lora,
    lora_layers,
    lora_parameters,
    train_token_rows,
    trainable_share,
)
from llmlib.training import latest_checkpoint

RECIPE = """
stage = "tiny-lora"
method = "lora"
start = "{start}"
seed = 0
[options]
rank = 2
alpha = 8
targets = ["q_proj", "v_proj", "down_proj"]
tokens = ["<|user|>", "<|assistant|>"]
[data]
conversations = 6
length = 384
[data.mixture]
question = 0.5
arithmetic = 0.5
[training]
steps = 8
max_lr = 3e-2
warmup_steps = 1
eval_every = 4
eval_batches = 1
sample_every = 8
save_every = 2
"""


@pytest.fixture(scope="module")
def lora_recipe(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny-lora.toml"
    path.write_text(RECIPE.format(start=finished[0]))
    return path


@pytest.fixture(scope="module")
def adapted(lora_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "tiny-lora"
    return folder, train(lora_recipe, folder)


def test_only_adapters_move(adapted, finished):
    model = adapted[1].model
    assert len(list(lora_layers(model))) == 2 * 3
    assert all(layer.lora_B.any() for _, layer in lora_layers(model))
    base = dict(load(finished[0])[0].named_parameters())
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert torch.equal(parameter, base[name.replace(".base.", ".")]), name
    rows = model.token_embedding
    assert not torch.equal(rows.rows, rows.base.weight[rows.tokens])
    rows = adapted[1].history.rows
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_the_folder_has_the_adapter_and_no_model(adapted):
    folder, trainer = adapted
    assert not (folder / "model.safetensors").exists()
    numbers = sum(parameter.numel() for parameter in lora_parameters(trainer.model))
    size = (folder / "adapter_model.safetensors").stat().st_size
    assert 4 * numbers < size < 4 * numbers + 4000


def test_it_opens_merged(adapted):
    folder, trainer = adapted
    model, tokenizer = load(folder)
    ids = torch.tensor([tokenizer.encode("One morning Rosa found a bucket.")])
    with torch.no_grad():
        torch.testing.assert_close(model(ids), trainer.model.eval()(ids), atol=1e-4, rtol=1e-4)
    assert not list(lora_layers(model))


def test_peft_opens_it_on_the_model_that_transformers_opens(adapted, finished):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    folder, _ = adapted
    model, tokenizer = load(folder)
    options = {"dtype": torch.float32}
    base = transformers.AutoModelForCausalLM.from_pretrained(finished[0], **options)
    theirs = peft.PeftModel.from_pretrained(base, folder).eval()
    ids = torch.tensor([tokenizer.encode("One morning Rosa found a bucket.")])
    with torch.no_grad():
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=1e-4)


def test_it_stops_and_goes_on_with_equal_losses(lora_recipe, adapted, tmp_path):
    folder = tmp_path / "stopped"
    train(lora_recipe, folder, until=3)
    assert latest_checkpoint(folder / "checkpoints") is not None
    assert not (folder / "adapter_config.json").exists()
    assert train(lora_recipe, folder).history.rows == adapted[1].history.rows


def test_another_base_is_refused(lora_recipe, adapted, tmp_path):
    with pytest.raises(ValueError, match="write the folder of the other model as start"):
        train(lora_recipe, tmp_path / "other", start=adapted[0])


def test_the_command_measures_it_and_writes_a_card(adapted, capsys):
    folder, trainer = adapted
    main(["evaluate", str(folder), "--conversations", "1", "--save"])
    assert capsys.readouterr().out
    assert json.loads((folder / "evaluation.json").read_text())
    numbers = sum(parameter.numel() for parameter in lora_parameters(trainer.model))
    card = (folder / "README.md").read_text()
    assert f"{numbers:,} numbers, {trainable_share(trainer.model):.1%} of all" in card


def test_the_recipe_of_the_book_trains_at_most_three_per_cent():
    recipe, sizes = read_recipe("lora"), read_recipe("base")
    options = dict(recipe.options)
    tokens = options.pop("tokens")
    assert set(tokens) == set(SPECIAL_TOKENS)
    model = apply_lora(Llama(sizes.model_config(2048)), **options)
    model = train_token_rows(model, range(len(tokens)))
    assert 0.02 < trainable_share(model) <= 0.03
    tuned = read_recipe("sft")
    assert (recipe.start, recipe.data) == (tuned.start, tuned.data)  # so they can be compared
