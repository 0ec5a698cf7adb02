"""LoRA, rsLoRA and DoRA against peft: on our models and on those of transformers."""

import warnings
from itertools import product

import pytest
import torch
from torch.testing import assert_close

from llmlib.interop import to_transformers
from llmlib.models import GPT, T5, ExpertsConfig, GPTConfig, Llama, LlamaConfig, T5Config
from llmlib.post_training import (
    DoRALinear,
    LoRALinear,
    apply_lora,
    load_adapter,
    lora_layers,
    lora_parameters,
    lora_scale,
    merge_lora,
    rank_stabilized_scale,
    save_adapter,
    train_token_rows,
    transformers_names,
)
from tests.parity.models import draw

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

IDS = torch.randint(0, 32, (3, 9), generator=torch.Generator().manual_seed(0))
SIZES = {"vocab_size": 32, "context_length": 16, "dim": 16, "num_layers": 2, "num_heads": 4}
VARIANTS = list(product([LoRALinear, DoRALinear], [lora_scale, rank_stabilized_scale]))
NAMES = {LoRALinear: "LoRALinear", DoRALinear: "DoRALinear"}


def gpt():
    return draw(GPT(GPTConfig(**SIZES)))


def llama():
    return draw(Llama(LlamaConfig(**SIZES, num_kv_heads=2, hidden_dim=24, attention_bias="qkv")))


def experts():
    config = LlamaConfig(**SIZES, hidden_dim=12, experts=ExpertsConfig(count=3, top_k=2))
    return draw(Llama(config))


def t5():
    sizes = {"vocab_size": 32, "dim": 16, "num_layers": 2, "num_heads": 4, "hidden_dim": 24}
    return draw(T5(T5Config(**sizes)))


def hf_llama():
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=24, max_position_embeddings=16,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return draw(transformers.AutoModelForCausalLM.from_config(config))


def hf_bert():
    config = transformers.BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=24, max_position_embeddings=16, pad_token_id=0,
    )  # fmt: skip
    return draw(transformers.BertForMaskedLM(config))


def logits(model, ids=IDS):
    """Logits of any of them."""
    inside = model.get_base_model() if isinstance(model, peft.PeftModel) else model
    if isinstance(inside, T5):
        return model(ids, ids)
    output = model(ids)
    return output if isinstance(output, torch.Tensor) else output.logits


MODELS = {
    "llmlib.models.GPT": (gpt, ["q_proj", "down_proj"]),
    "llmlib.models.Llama": (llama, ["q_proj", "k_proj", "v_proj", "out_proj", "gate_proj"]),
    "llmlib.models.Llama with experts": (experts, ["up_proj", "blocks.1.attention.v_proj"]),
    "llmlib.models.T5": (t5, ["q_proj", "v_proj"]),
    "transformers LlamaForCausalLM": (hf_llama, ["q_proj", "v_proj", "down_proj"]),
    "transformers BertForMaskedLM": (hf_bert, ["query", "value", "output.dense"]),
}


def make(name, dtype=torch.float64):
    torch.manual_seed(0)
    return MODELS[name][0]().to(dtype)


def their_config(targets, kind, scale, rank=3, alpha=5):
    return peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        use_dora=kind is DoRALinear,
        use_rslora=scale is rank_stabilized_scale,
    )


def get_peft_model(model, config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on models that it does not know
        return peft.get_peft_model(model, config)


def their_parts(layer):
    parts = [layer.lora_A["default"].weight, layer.lora_B["default"].weight]
    if "default" in layer.lora_magnitude_vector:
        parts.append(layer.lora_magnitude_vector["default"].weight)
    return parts


def pair(name, kind, scale, dtype=torch.float64):
    """Our adapted model, theirs, and the parameters of the adapters with the same numbers."""
    targets = MODELS[name][1]
    ours = apply_lora(make(name, dtype), 3, 5, targets, layer=kind, scale=scale)
    theirs = get_peft_model(make(name, dtype), their_config(targets, kind, scale)).eval()
    adapted = dict(lora_layers(ours))
    found = {
        key.removeprefix("base_model.model."): module
        for key, module in theirs.named_modules()
        if isinstance(module, peft.tuners.lora.LoraLayer)
    }
    assert adapted.keys() == found.keys()
    pairs = []
    for key, layer in adapted.items():
        pairs += zip(layer.adapter().values(), their_parts(found[key]), strict=True)
    with torch.no_grad():
        for our, their in pairs:
            assert our.shape == their.shape
            if our.dim() == 1:
                assert_close(our, their)  # the lengths of the rows, before they move
            our.add_(torch.randn_like(our) * 0.3)
            their.copy_(our)
    return ours.eval(), theirs, pairs


@pytest.mark.parametrize(
    ("name", "kind", "scale"),
    [
        pytest.param(
            name,
            kind,
            scale,
            marks=pytest.mark.parity(
                component=f"llmlib.post_training.{NAMES[kind]}"
                + (", rank-stabilized" if scale is rank_stabilized_scale else ""),
                peer="peft",
                compared="output, gradients of the adapters, merged weights",
            ),
        )
        for name in MODELS
        for kind, scale in VARIANTS
    ],
)
def test_adapted_model(name, kind, scale):
    ours, theirs, pairs = pair(name, kind, scale)
    our_logits, their_logits = logits(ours), logits(theirs)
    assert not torch.allclose(our_logits, logits(make(name)), atol=1e-2)
    assert_close(our_logits, their_logits)

    direction = torch.randn_like(our_logits) / our_logits.numel() ** 0.5
    (our_logits * direction).sum().backward()
    (their_logits * direction).sum().backward()
    for our, their in pairs:
        assert our.grad.any()
        assert_close(our.grad, their.grad)
    for parameter in set(ours.parameters()) - set(lora_parameters(ours)):
        assert parameter.grad is None

    merged, their_merged = merge_lora(ours), theirs.merge_and_unload()
    assert_close(merged.state_dict(), their_merged.state_dict())
    assert_close(logits(merged), their_logits.detach())


@pytest.mark.parity(
    component="llmlib.post_training.save_adapter",
    peer="peft.PeftModel.from_pretrained",
    compared="output of the model that peft opens",
)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("kind", "scale"), VARIANTS)
def test_peft_opens_what_we_write(tmp_path, name, kind, scale):
    ours, _, _ = pair(name, kind, scale)
    save_adapter(ours, tmp_path)
    theirs = peft.PeftModel.from_pretrained(make(name), tmp_path).eval()
    assert_close(logits(theirs), logits(ours))


@pytest.mark.parity(
    component="llmlib.post_training.load_adapter",
    peer="peft.PeftModel.save_pretrained",
    compared="output of the model that we open",
)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("kind", "scale"), VARIANTS)
def test_we_open_what_peft_writes(tmp_path, name, kind, scale):
    _, theirs, _ = pair(name, kind, scale)
    theirs.save_pretrained(tmp_path)
    ours = load_adapter(make(name), tmp_path).eval()
    assert_close(logits(ours), logits(theirs))


@pytest.mark.parity(
    component="llmlib.post_training.save_adapter with transformers_names",
    peer="peft on the model of transformers",
    compared="output, there and back",
)
@pytest.mark.parametrize(("kind", "scale"), VARIANTS)
def test_an_adapter_of_our_llama_on_theirs(tmp_path, kind, scale):
    name, single = "llmlib.models.Llama", torch.float32  # theirs turns and norms in float32
    ours, _, _ = pair(name, kind, scale, single)
    names = transformers_names(ours)
    save_adapter(ours, tmp_path / "ours", names=names)
    base = to_transformers(make(name, single))
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "ours").eval()
    assert_close(logits(theirs), logits(ours))
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_adapter(make(name, single), tmp_path / "theirs", names=names).eval()
    assert_close(logits(again), logits(ours), rtol=0, atol=0)


@pytest.mark.parity(
    component="llmlib.post_training.train_token_rows",
    peer="peft trainable_token_indices, on the model of transformers",
    compared="output, gradients of the rows, there and back",
)
@pytest.mark.parametrize("tied", [True, False])
def test_trained_rows_of_an_embedding(tmp_path, tied):
    def base():
        torch.manual_seed(0)
        return draw(Llama(LlamaConfig(**SIZES, hidden_dim=24, tie_embeddings=tied)))

    ours = train_token_rows(apply_lora(base(), 3, 5, ["q_proj"]), [9, 4])
    with torch.no_grad():
        for parameter in lora_parameters(ours):
            parameter.add_(torch.randn_like(parameter) * 0.3)
    names = transformers_names(ours)
    save_adapter(ours, tmp_path / "ours", names=names)
    theirs = peft.PeftModel.from_pretrained(
        to_transformers(base()), tmp_path / "ours", is_trainable=True
    ).eval()
    our_logits, their_logits = logits(ours), logits(theirs)
    assert_close(our_logits, their_logits)
    direction = torch.randn_like(our_logits) / our_logits.numel() ** 0.5
    (our_logits * direction).sum().backward()
    (their_logits * direction).sum().backward()
    (delta,) = (p for n, p in theirs.named_parameters() if n.endswith("tokens_delta.default"))
    assert_close(ours.token_embedding.rows.grad, delta.grad)
    theirs.save_pretrained(tmp_path / "theirs")
    again = load_adapter(base(), tmp_path / "theirs", names=names)
    assert_close(logits(again), our_logits, rtol=0, atol=0)
