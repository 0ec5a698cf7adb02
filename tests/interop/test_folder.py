"""Folders: written here and opened by transformers, written by transformers and opened here."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from llmlib.interop import load_pretrained, save_pretrained
from llmlib.interop.convert import family_of
from llmlib.models import (
    GPT,
    T5,
    Bert,
    BertConfig,
    ExpertsConfig,
    GPTConfig,
    Llama,
    LlamaConfig,
    T5Config,
    Transformer,
    TransformerConfig,
)
from llmlib.tokenizers import BPETokenizer

transformers = pytest.importorskip("transformers")

V = 300
OURS = {"vocab_size": V, "context_length": 32, "dim": 16, "num_layers": 2, "num_heads": 2}
LLAMA = OURS | {"hidden_dim": 24}
MODELS = {
    "gpt": lambda: GPT(GPTConfig(**OURS)),
    "gpt untied": lambda: GPT(GPTConfig(**OURS, tie_embeddings=False)),
    "llama": lambda: Llama(LlamaConfig(**LLAMA, num_kv_heads=1)),
    "llama tied": lambda: Llama(LlamaConfig(**LLAMA, tie_embeddings=True, padding_id=3)),
    "mistral": lambda: Llama(LlamaConfig(**LLAMA, window=3)),
    "mixtral": lambda: Llama(LlamaConfig(**LLAMA, experts=ExpertsConfig(count=3, top_k=2))),
    "qwen2": lambda: Llama(LlamaConfig(**LLAMA, attention_bias="qkv")),
    "qwen3": lambda: Llama(LlamaConfig(**LLAMA, qk_norm=True, head_dim=6)),
}
T5_SIZES = {"vocab_size": V, "dim": 16, "num_layers": 2, "num_heads": 2, "head_dim": 6}
OTHERS = {
    "bert": (lambda: Bert(BertConfig(**OURS)), transformers.AutoModelForPreTraining),
    "bert masked": (
        lambda: Bert(BertConfig(**OURS, next_sentence=False, padding_id=None)),
        transformers.AutoModelForMaskedLM,
    ),
    "t5": (lambda: T5(T5Config(**T5_SIZES)), transformers.AutoModelForSeq2SeqLM),
    "t5 1.1": (
        lambda: T5(
            T5Config(
                **T5_SIZES, gated=True, activation="gelu_tanh", tie_embeddings=False,
                scale_logits=False,
            )
        ),
        transformers.AutoModelForSeq2SeqLM,
    ),
    "transformer": (
        lambda: Transformer(TransformerConfig(**OURS, padding_id=0)),
        transformers.AutoModelForSeq2SeqLM,
    ),
}  # fmt: skip
TEXT = "The fox read the book. 狐狸读了这本书。\n" * 20


@pytest.fixture(autouse=True)
def quiet():
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([TEXT], vocab_size=V, special_tokens=("<|endoftext|>",))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_transformers_opens_what_we_write(name, tmp_path, tokenizer):
    model = MODELS[name]().eval()
    end = tokenizer.special_tokens["<|endoftext|>"]
    save_pretrained(model, tokenizer, tmp_path, eos_token_id=end)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values()), report
    ids = torch.randint(0, V, (2, 9))
    with torch.no_grad():
        assert_close(model(ids), theirs.eval()(ids).logits)
    assert theirs.generation_config.eos_token_id == end

    words = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert words(TEXT).input_ids == tokenizer.encode(TEXT)
    assert words.eos_token == "<|endoftext|>"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_we_open_what_transformers_writes(name, tmp_path, tokenizer):
    model = MODELS[name]().eval()
    save_pretrained(model, tokenizer, tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    words.save_pretrained(tmp_path / "theirs")

    again, tokens = load_pretrained(tmp_path / "theirs")
    assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert not again.training
    assert isinstance(tokens, BPETokenizer)
    assert tokens.encode(TEXT) == tokenizer.encode(TEXT)


def run_ours(model, ids):
    return model(ids) if isinstance(model, Bert) else model(ids, ids[:, :5])


def run_theirs(model, ids):
    if isinstance(model, transformers.BertPreTrainedModel):
        return model(ids)[0]
    return model(ids, decoder_input_ids=ids[:, :5]).logits


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_bert_and_encoder_decoders_both_ways(name, tmp_path):
    make, auto = OTHERS[name]
    model = make().eval()
    save_pretrained(model, None, tmp_path / "ours")
    theirs, report = auto.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report.values()), report
    ids = torch.randint(0, V, (2, 9))
    with torch.no_grad():
        logits = run_ours(model, ids)
        assert_close(run_theirs(theirs.eval(), ids), logits)
        theirs.save_pretrained(tmp_path / "theirs")
        again, _ = load_pretrained(tmp_path / "theirs")
        assert_close(run_ours(again, ids), logits, rtol=0, atol=0)
    # Equal once what is left out is filled in.
    family = family_of(model)
    assert family.fields(again.config, {}) == family.fields(model.config, {})


def test_a_published_bert_of_old_names_and_both_heads(tmp_path):
    model = Bert(BertConfig(**OURS))
    save_pretrained(model, None, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"architectures": ["BertForMaskedLM"], "position_embedding_type": "absolute"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    renamed = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    renamed["bert.embeddings.position_ids"] = torch.arange(32)[None]
    save_file(renamed, tmp_path / "model.safetensors")
    assert_close(load_pretrained(tmp_path)[0].state_dict(), model.state_dict())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_round_trip(name, tmp_path):
    model = MODELS[name]()
    save_pretrained(model, None, tmp_path)
    again, tokens = load_pretrained(tmp_path)
    ids = torch.randint(0, V, (2, 9))
    with torch.no_grad():
        assert_close(again(ids), model.eval()(ids), rtol=0, atol=0)
    assert tokens is None


def test_dtype_is_that_of_the_file_or_the_one_asked_for(tmp_path):
    save_pretrained(MODELS["llama"]().to(torch.bfloat16), None, tmp_path)
    assert load_pretrained(tmp_path)[0].norm.weight.dtype == torch.bfloat16
    assert load_pretrained(tmp_path, dtype=torch.float32)[0].norm.weight.dtype == torch.float32


def test_a_file_in_half_precision_rounds_no_table_of_angles(tmp_path):
    model = MODELS["llama"]()
    save_pretrained(model.to(torch.float16), None, tmp_path)
    again = load_pretrained(tmp_path, dtype=torch.float32)[0]
    assert_close(dict(again.named_buffers()), dict(MODELS["llama"]().named_buffers()))


def test_a_checkpoint_in_several_files(tmp_path):
    model = MODELS["llama"]()
    save_pretrained(model, None, tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_close(load_pretrained(tmp_path)[0].state_dict(), model.state_dict())
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match="only safetensors are read"):
        load_pretrained(tmp_path)


@pytest.fixture
def folder(tmp_path):
    save_pretrained(MODELS["gpt"](), None, tmp_path)
    return tmp_path


def test_damage_to_the_tensors_is_named(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    renamed = dict(tensors)
    renamed["transformer.h.0.extra"] = renamed.pop("transformer.wpe.weight")
    save_file(renamed, path)
    with pytest.raises(ValueError, match=r"missing .*\.wpe\.weight; unknown .*h\.0\.extra"):
        load_pretrained(folder)
    save_file(tensors | {"transformer.wpe.weight": torch.zeros(31, 16)}, path)
    with pytest.raises(ValueError, match=r"wpe\.weight has shape \(31, 16\) instead of \(32, 16\)"):
        load_pretrained(folder)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        load_pretrained(folder)


def test_a_pickle_is_not_opened(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="only safetensors are read"):
        load_pretrained(folder)


def test_an_unknown_field_in_the_file_is_refused(folder):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rotary_dim": 8}))
    with pytest.raises(ValueError, match="rotary_dim=8"):
        load_pretrained(folder)


def test_missing_folders_and_files(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_pretrained(tmp_path / "nowhere" / "at" / "all")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load_pretrained(folder)


def test_a_tokenizer_that_is_too_large_is_refused(tmp_path, tokenizer):
    largest = tokenizer.vocab_size - 1
    small = GPT(GPTConfig(**OURS | {"vocab_size": largest}))
    with pytest.raises(ValueError, match=rf"ids up to {largest}.*vocab_size is {largest}"):
        save_pretrained(small, tokenizer, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_of_transformers_is_needed_for_folders(folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not installed
    model, _ = load_pretrained(folder)
    save_pretrained(model, None, folder / "copy")
    from llmlib.interop import to_transformers

    with pytest.raises(ImportError, match=r"llmlib\[ecosystem\]"):
        to_transformers(model)


@pytest.mark.online
def test_a_model_from_the_hub():
    model, tokenizer = load_pretrained("openai-community/gpt2")
    theirs = transformers.AutoModelForCausalLM.from_pretrained("openai-community/gpt2")
    ids = torch.tensor([tokenizer.encode("The capital of France is")])
    with torch.no_grad():
        assert_close(model(ids), theirs(ids).logits, atol=1e-3, rtol=1e-4)
