"""What the converters refuse, and that they say what is wrong."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.interop import from_transformers, to_transformers
from llmlib.interop.convert import FAMILIES, family_of, family_of_fields
from llmlib.interop.fields import Fields
from llmlib.interop.tensors import Layout, Link
from llmlib.models import GPT, ExpertsConfig, GPTConfig, Llama, LlamaConfig

transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 8,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
GPT2_SIZES = {
    "vocab_size": 31, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 8,
    "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
BERT_SIZES = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
OTHER_SIZES = {
    "BertForMaskedLM": BERT_SIZES,
    "BertForPreTraining": BERT_SIZES,
    "GPT2LMHead": GPT2_SIZES,
    "T5ForConditionalGeneration": {
        "vocab_size": 31, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 2,
    },
    "MarianMT": {
        "vocab_size": 31, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24, "max_position_embeddings": 8, "pad_token_id": 0,
        "decoder_start_token_id": 0, "activation_function": "relu",
    },
}  # fmt: skip
# Fields that are made from other ones when a file leaves them out.
FILLED_IN = {
    "num_key_value_heads", "head_dim", "layer_types", "sliding_window", "num_decoder_layers",
    "decoder_vocab_size",
}  # fmt: skip
OURS = {"vocab_size": 31, "context_length": 8, "dim": 16, "num_layers": 1, "num_heads": 2}


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.architecture)
def test_our_table_of_defaults_is_that_of_transformers(family):
    config = transformers.AutoConfig.for_model(family.model_type)
    theirs = config.to_dict()
    for name, value in family.defaults.items():
        if name in ("rope_theta", "rope_scaling", "rope_parameters"):
            continue  # older names of one field, compared below
        if name in FILLED_IN:
            continue
        assert theirs[name] == value, name
    if "rope_theta" in family.defaults:
        assert theirs["rope_parameters"]["rope_theta"] == family.defaults["rope_theta"]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.architecture)
def test_an_empty_config_means_what_transformers_means_by_it(family):
    """Derived fields too: read nothing, and read all that transformers fills in."""
    filled = transformers.AutoConfig.for_model(family.model_type)
    read = [
        family.read_config(Fields(given, family.defaults), {}) for given in ({}, filled.to_dict())
    ]
    for config in read:
        assert family.fields(config, {}) == family.fields(read[1], {})


YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}
PART_OF_THE_LAYERS = {
    "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1, "layer_types": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("GPT2LMHead", {"scale_attn_by_inverse_layer_idx": True}, "by_inverse_layer_idx=True"),
        ("GPT2LMHead", {"scale_attn_weights": False}, "scale_attn_weights=False"),
        ("GPT2LMHead", {"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn=True"),
        ("GPT2LMHead", {"add_cross_attention": True}, "add_cross_attention=True"),
        ("GPT2LMHead", {"activation_function": "tanh"}, "activation_function='tanh'"),
        ("GPT2LMHead", {"attn_pdrop": 0.3}, "embd_pdrop=0.1, attn_pdrop=0.3 differ"),
        ("GPT2LMHead", {"my_switch": 3}, "my_switch=3"),
        ("LlamaForCausalLM", {"mlp_bias": True}, "mlp_bias=True"),
        ("LlamaForCausalLM", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ("LlamaForCausalLM", {"attention_dropout": 0.1}, "attention_dropout=0.1"),
        ("LlamaForCausalLM", {"pretraining_tp": 2}, "pretraining_tp=2"),
        ("LlamaForCausalLM", {"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ("LlamaForCausalLM", {"rope_parameters": YARN}, "rope_type='yarn'"),
        ("LlamaForCausalLM", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("MixtralForCausalLM", {"router_jitter_noise": 0.1}, "router_jitter_noise=0.1"),
        ("Qwen2ForCausalLM", PART_OF_THE_LAYERS, "a window to 1 of 2 layers"),
        ("Qwen3ForCausalLM", PART_OF_THE_LAYERS, "max_window_layers=1"),
        ("BertForMaskedLM", {"is_decoder": True}, "is_decoder=True"),
        ("BertForMaskedLM", {"hidden_act": "tanh"}, "hidden_act='tanh'"),
        ("BertForMaskedLM", {"tie_word_embeddings": False}, "tie_word_embeddings=False"),
        ("BertForMaskedLM", {"hidden_dropout_prob": 0.2}, "hidden_dropout_prob=0.2, .* differ"),
        ("BertForPreTraining", {"position_embedding_type": "relative_key"}, "'relative_key'"),
        ("T5ForConditionalGeneration", {"dense_act_fn": "tanh"}, "='tanh'"),
        ("T5ForConditionalGeneration", {"is_encoder_decoder": False}, "is_encoder_decoder=False"),
        ("MarianMT", {"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_emb"),
        ("MarianMT", {"encoder_layerdrop": 0.1}, "encoder_layerdrop=0.1"),
        ("MarianMT", {"normalize_before": True}, "normalize_before=True"),
        ("MarianMT", {"decoder_ffn_dim": 12}, "encoder_ffn_dim=24, decoder_ffn_dim=12 differ"),
        ("MarianMT", {"decoder_vocab_size": 30}, "decoder_vocab_size=30"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_field_without_support_is_refused_by_name(name, changes, message):
    architecture = name + "Model" if name in ("GPT2LMHead", "MarianMT") else name
    model_class = getattr(transformers, architecture)
    theirs = model_class(model_class.config_class(**OTHER_SIZES.get(name, SIZES)))
    fields = theirs.config.to_dict() | {"architectures": [architecture]}
    family_of_fields(fields).build(fields, theirs.state_dict())  # without the change it is read
    with pytest.raises(ValueError, match=message):
        family_of_fields(fields).build(fields | changes, theirs.state_dict())


def test_an_unknown_architecture_is_refused_by_name():
    theirs = transformers.BloomForCausalLM(
        transformers.BloomConfig(vocab_size=8, hidden_size=8, n_layer=1, n_head=1)
    )
    with pytest.raises(ValueError, match=r"BloomForCausalLM is not supported.*GPT2LMHeadModel"):
        from_transformers(theirs)
    with pytest.raises(ValueError, match="model_type='bloom'"):
        family_of_fields({"model_type": "bloom"})
    with pytest.raises(ValueError, match="a Linear has no counterpart"):
        to_transformers(torch.nn.Linear(2, 2))


def test_a_mixture_of_variants_that_transformers_lacks_is_refused():
    config = LlamaConfig(**OURS, qk_norm=True, experts=ExpertsConfig(count=2))
    with pytest.raises(ValueError, match="no architecture of transformers combines"):
        to_transformers(Llama(config))


def test_an_own_rope_scaling_is_refused():
    model = Llama(LlamaConfig(**OURS, rope_scaling=lambda frequencies: frequencies / 2))
    with pytest.raises(ValueError, match="no counterpart in transformers"):
        to_transformers(model)


@pytest.fixture
def gpt():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**OURS))
    return model, family_of(model).layouts(model.config)[0]


def test_missing_unknown_and_misshaped_tensors_are_all_named(gpt):
    model, layout = gpt
    theirs = layout.write(model)
    del theirs["transformer.ln_f.bias"]
    theirs["transformer.h.7.ln_1.weight"] = torch.zeros(16)
    theirs["transformer.wpe.weight"] = torch.zeros(9, 16)
    before = model.norm.weight.clone()
    with pytest.raises(ValueError, match="does not fit its config") as caught:
        layout.read(theirs, model)
    message = str(caught.value)
    assert "missing transformer.ln_f.bias" in message
    assert "unknown transformer.h.7.ln_1.weight" in message
    assert "transformer.wpe.weight has shape (9, 16) instead of (8, 16)" in message
    assert_close(model.norm.weight, before)


def test_a_tied_tensor_with_other_numbers_is_refused(gpt):
    model, layout = gpt
    theirs = layout.write(model, with_aliases=True)
    layout.read(theirs, model)
    theirs["lm_head.weight"] = theirs["lm_head.weight"] + 1
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from transformer\.wte\.weight"):
        layout.read(theirs, model)


def test_masks_of_old_files_are_passed_over_and_the_body_alone_is_read(gpt):
    model, layout = gpt
    theirs = {
        name.removeprefix("transformer."): tensor for name, tensor in layout.write(model).items()
    }
    theirs["h.0.attn.bias"] = torch.ones(1, 1, 8, 8).tril()
    other = GPT(model.config)
    layout.read(theirs, other)
    assert_close(other.state_dict(), model.state_dict())


def test_a_constant_must_be_what_the_model_computes():
    link = Link("w", ("weight",))
    layout = Layout([link], constants={"table": torch.arange(3.0)})
    model = torch.nn.Linear(2, 3, bias=False)
    layout.read({"w": torch.ones(3, 2), "table": torch.arange(3)}, model)
    with pytest.raises(ValueError, match="table differs from what the model computes"):
        layout.read({"w": torch.ones(3, 2), "table": torch.zeros(3)}, model)


def test_nothing_is_shared_with_the_source():
    theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2_SIZES))
    ours = from_transformers(theirs)
    before = theirs.transformer.wte.weight.clone()
    with torch.no_grad():
        ours.token_embedding.weight.zero_()
    assert_close(theirs.transformer.wte.weight, before)
    back = to_transformers(ours)
    with torch.no_grad():
        back.transformer.wte.weight.add_(1)
    assert not ours.token_embedding.weight.any()
    assert back.lm_head.weight is back.transformer.wte.weight


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_dtype_are_kept(training):
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))
    theirs = theirs.to(torch.bfloat16).train(training)
    ours = from_transformers(theirs)
    back = to_transformers(ours)
    assert ours.training == back.training == training
    assert ours.norm.weight.dtype == back.model.norm.weight.dtype == torch.bfloat16
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert_close(ours(ids), theirs(ids).logits, atol=0.02, rtol=0.02)


def test_token_ids_reach_generate():
    back = to_transformers(GPT(GPTConfig(**OURS)), eos_token_id=5, pad_token_id=6)
    assert back.generation_config.eos_token_id == 5
    assert back.config.pad_token_id == 6
