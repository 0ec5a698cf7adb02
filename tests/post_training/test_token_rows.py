"""Rows of an embedding that learn beside adapters."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.generation import generate
from llmlib.nn import TokenEmbedding
from llmlib.post_training import (
    TokenRows,
    apply_lora,
    load_adapter,
    lora_parameters,
    merge_lora,
    remove_lora,
    save_adapter,
    take_adapter,
    train_token_rows,
    transformers_names,
)
from llmlib.training import AdamW
from tests.post_training.test_lora import IDS, gpt, llama, stir

TOKENS = [31, 5, 12]


def test_nothing_changes_at_first():
    assert torch.equal(train_token_rows(llama(), TOKENS)(IDS), llama()(IDS))


def test_only_these_rows_learn_on_the_way_in_and_out():
    model = train_token_rows(llama(), TOKENS)
    before = model.token_embedding.weight.detach().clone()
    assert [p.shape for p in model.parameters() if p.requires_grad] == [(3, 16)]
    optimizer = AdamW(lora_parameters(model), lr=0.1)
    model.loss(IDS, IDS).backward()
    optimizer.step()
    after = model.token_embedding.weight
    moved = (after != before).any(dim=1).nonzero().flatten().tolist()
    assert moved == sorted(TOKENS)
    # Token 31 stands nowhere in the ids: it learns from the output layer alone.
    assert 31 not in IDS


def test_the_gradient_is_that_of_the_whole_table():
    model, whole = train_token_rows(llama(), TOKENS), llama()
    model.loss(IDS, IDS).backward()
    whole.loss(IDS, IDS).backward()
    assert_close(model.token_embedding.rows.grad, whole.token_embedding.weight.grad[TOKENS])


@pytest.mark.parametrize("make", [llama, gpt])
def test_merged_equals_unmerged_and_removed_is_as_before(make):
    model = stir(train_token_rows(apply_lora(make(), 2, 4, ["q_proj"]), TOKENS))
    adapted = model(IDS)
    assert not torch.allclose(adapted, make()(IDS), atol=1e-3)
    written = generate(model, IDS[:1, :4], max_new_tokens=8, temperature=0.0)
    merged = merge_lora(model)
    assert isinstance(merged.token_embedding, TokenEmbedding)
    assert_close(merged(IDS), adapted)
    assert torch.equal(generate(merged, IDS[:1, :4], max_new_tokens=8, temperature=0.0), written)
    model = remove_lora(stir(train_token_rows(make(), TOKENS)))
    assert torch.equal(model(IDS), make()(IDS))


@pytest.mark.parametrize("named", [False, True])
def test_round_trip(tmp_path, named):
    model = stir(apply_lora(train_token_rows(llama(), TOKENS), 2, 4, ["q_proj"]))
    names = transformers_names(model) if named else None
    save_adapter(model, tmp_path, names=names)
    again = load_adapter(llama(), tmp_path, names=names)
    assert_close(take_adapter(again), take_adapter(model), rtol=0, atol=0)
    assert isinstance(again.token_embedding, TokenRows)
    assert torch.equal(again(IDS), model(IDS))


@pytest.mark.parametrize("tokens", [[3, 3], [32], [-1]])
def test_tokens_that_do_not_fit_are_refused(tokens):
    with pytest.raises(ValueError, match="different ids from 0 to 31"):
        train_token_rows(llama(), tokens)


def test_a_second_call_is_refused():
    with pytest.raises(ValueError, match="name all tokens in one call"):
        train_token_rows(train_token_rows(llama(), [1]), [2])
