"""Adapters written and read: round trips, names, and what is refused."""

import json
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from llmlib.models import GPT, GPTConfig
from llmlib.post_training import (
    DoRALinear,
    LoRALinear,
    apply_lora,
    load_adapter,
    lora_layers,
    lora_scale,
    rank_stabilized_scale,
    remove_lora,
    save_adapter,
    set_adapter,
    take_adapter,
    transformers_names,
)
from tests.post_training.test_lora import EVERYTHING, IDS, gpt, llama, stir


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("scale", [lora_scale, rank_stabilized_scale])
@pytest.mark.parametrize("kind", [LoRALinear, DoRALinear, partial(LoRALinear, dropout=0.25)])
def test_round_trip(tmp_path, kind, scale, named):
    model = stir(apply_lora(llama(), 3, 5, ["q_proj", "down_proj"], layer=kind, scale=scale))
    names = transformers_names(model) if named else None
    save_adapter(model, tmp_path, names=names)
    again = load_adapter(llama(), tmp_path, names=names).eval()
    assert_close(again(IDS), model(IDS), rtol=0, atol=0)
    ours, theirs = dict(lora_layers(model)), dict(lora_layers(again))
    assert ours.keys() == theirs.keys()
    for name, layer in ours.items():
        fields = ("rank", "alpha", "scale", "dropout", "peft_fields")
        assert [getattr(layer, f) for f in fields] == [getattr(theirs[name], f) for f in fields]


def test_the_file_holds_the_adapter_only(tmp_path):
    model = stir(apply_lora(llama(), 3, 5, ["v_proj"]))
    save_adapter(model, tmp_path, names=transformers_names(model), base="base")
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    start = "base_model.model.model.layers.1.self_attn.v_proj.lora_"
    assert tensors[f"{start}A.weight"].shape == (3, 16)
    assert tensors[f"{start}B.weight"].shape == (16, 3)
    assert len(tensors) == 4
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    assert fields["target_modules"] == ["v_proj"]
    assert fields["base_model_name_or_path"] == "base"


def test_targets_are_named_in_full_where_their_endings_reach_further(tmp_path):
    model = apply_lora(llama(), 3, 5, ["blocks.0.attention.q_proj"])
    save_adapter(model, tmp_path)
    fields = json.loads((tmp_path / "adapter_config.json").read_text())
    assert fields["target_modules"] == ["blocks.0.attention.q_proj"]
    again = load_adapter(llama(), tmp_path)
    assert [name for name, _ in lora_layers(again)] == ["blocks.0.attention.q_proj"]


def test_several_adapters_take_turns_on_one_base():
    model = apply_lora(llama(), 3, 5, EVERYTHING)
    first = take_adapter(stir(model, seed=1))
    first_output = model(IDS)
    second = take_adapter(stir(model, seed=2))
    second_output = model(IDS)
    assert not torch.allclose(first_output, second_output, atol=1e-2)
    assert torch.equal(set_adapter(model, first)(IDS), first_output)
    assert torch.equal(set_adapter(model, second)(IDS), second_output)
    assert torch.equal(remove_lora(model)(IDS), llama()(IDS))


def test_names_of_every_linear_layer_of_a_llama():
    model = llama()
    named = transformers_names(model)
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert linear <= set(named)
    adapted = apply_lora(llama(), 2, 4, EVERYTHING)
    assert transformers_names(adapted) == named


def test_packed_layers_have_no_other_name(tmp_path):
    model = apply_lora(gpt(), 2, 4, ["q_proj"])
    with pytest.raises(
        ValueError, match=r"no other name is given for blocks\.0\.attention\.q_proj"
    ):
        save_adapter(model, tmp_path, names=transformers_names(model))
    save_adapter(model, tmp_path)
    assert load_adapter(gpt(), tmp_path)(IDS).shape == (2, 10, 32)


# --- refusals -------------------------------------------------------------------------------------


def saved(tmp_path, **changes):
    save_adapter(stir(apply_lora(llama(), 3, 5, ["q_proj"])), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "IA3"},
        {"bias": "all"},
        {"fan_in_fan_out": True},
        {"rank_pattern": {"q_proj": 1}},
        {"modules_to_save": ["lm_head"]},
        {"something_new": 0.5},
    ],
    ids=str,
)
def test_a_config_that_asks_for_more_is_refused(tmp_path, changes):
    ((name, _),) = changes.items()
    with pytest.raises(ValueError, match=name):
        load_adapter(llama(), saved(tmp_path, **changes))


def test_unset_fields_are_passed_over(tmp_path):
    unset = {"something_new": None, "modules_to_save": None, "rank_pattern": {}, "bias": "none"}
    assert list(lora_layers(load_adapter(llama(), saved(tmp_path, **unset))))


def test_a_rank_that_the_tensors_do_not_have_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"lora_A.weight has shape \(3, 16\) instead of \(2, 16\)"):
        load_adapter(llama(), saved(tmp_path, r=2))


def test_another_model_is_refused(tmp_path):
    small = GPT(GPTConfig(vocab_size=8, context_length=8, dim=8, num_layers=1, num_heads=1))
    with pytest.raises(ValueError, match=r"has blocks.1.attention.q_proj, which is no layer"):
        load_adapter(small, saved(tmp_path))


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no adapter_config\.json"):
        load_adapter(llama(), tmp_path)


def test_a_model_without_adapters_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="call apply_lora first"):
        save_adapter(llama(), tmp_path)


def test_mixed_ranks_are_not_saved(tmp_path):
    model = apply_lora(apply_lora(llama(), 2, 4, ["q_proj"]), 1, 4, ["v_proj"])
    with pytest.raises(ValueError, match="of 2 kinds"):
        save_adapter(model, tmp_path)


def test_a_scale_of_ones_own_is_not_saved(tmp_path):
    model = apply_lora(llama(), 2, 4, ["q_proj"], scale=lambda alpha, rank: alpha * rank)
    with pytest.raises(ValueError, match="use lora_scale with alpha=16"):
        save_adapter(model, tmp_path)


def test_an_adapter_that_lacks_a_layer_is_not_set():
    model = apply_lora(llama(), 2, 4, ["q_proj"])
    adapter = take_adapter(model)
    adapter.pop("blocks.1.attention.q_proj.lora_B.weight")
    with pytest.raises(ValueError, match=r"missing blocks\.1\.attention\.q_proj\.lora_B\.weight"):
        set_adapter(model, adapter)
