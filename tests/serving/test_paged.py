"""What the paged cache promises: the same logits, and no write into what others hold."""

import pytest
import torch
from torch.testing import assert_close

from llmlib.serving import OutOfBlocksError, PagedCache
from tests.serving.tiny_models import MODELS, V, build

every_model = pytest.mark.parametrize("name", sorted(MODELS))


def text(length, seed=0):
    return torch.randint(0, V, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def read(model, cache, tables, texts):
    """Scores of the next token, after each sequence has read what it has not read yet."""
    unread = [tokens[table.length :] for table, tokens in zip(tables, texts, strict=True)]
    for table, tokens in zip(tables, unread, strict=True):
        cache.reserve(table, len(tokens))
    view = cache.batch(tables, len(unread[0]))
    with torch.no_grad():
        logits = model(torch.tensor(unread), view.mask, positions=view.positions, cache=view)
    for table, tokens in zip(tables, texts, strict=True):
        cache.written(table, tokens)
    return logits[:, -1]


@every_model
def test_rows_of_different_lengths_get_the_logits_that_each_gets_alone(name):
    model = build(name)
    cache = PagedCache(model, num_blocks=20, block_size=4)
    texts = [text(length, seed=length) for length in (9, 1, 4, 6)]
    tables = [cache.find(tokens) for tokens in texts]
    for table, tokens in zip(tables, texts, strict=True):
        read(model, cache, [table], [tokens])
    for new in (3, 5, 8, 2):
        texts = [[*tokens, new] for tokens in texts]
        logits = read(model, cache, tables, texts)
        for row, tokens in zip(logits, texts, strict=True):
            assert_close(row, model(torch.tensor([tokens]))[0, -1], atol=2e-4, rtol=1e-4)


@every_model
def test_a_shared_beginning_gives_the_logits_of_the_whole_text(name):
    model = build(name)
    cache = PagedCache(model, num_blocks=8, block_size=4)
    first = text(11)
    one = cache.find(first)
    read(model, cache, [one], [first])
    second = [*first[:9], 1, 2, 3]
    other = cache.find(second)
    assert other.length == 8
    assert other.blocks == one.blocks[:2]
    logits = read(model, cache, [other], [second])
    assert_close(logits[0], model(torch.tensor([second]))[0, -1], atol=2e-4, rtol=1e-4)


def test_the_last_token_is_always_read():
    model = build("llama")
    cache = PagedCache(model, num_blocks=4, block_size=4)
    tokens = text(8)
    read(model, cache, [cache.find(tokens)], [tokens])
    assert cache.find(tokens).length == 4  # not 8: nothing would be left to read


def test_a_fork_copies_a_shared_block_before_it_writes():
    model = build("llama")
    cache = PagedCache(model, num_blocks=6, block_size=4)
    tokens = text(6)
    one = cache.find(tokens)
    read(model, cache, [one], [tokens])
    before = cache.keys[:, cache.slots(one, 0, 6)].clone()
    other = cache.fork(one)
    assert cache.pool.num_used == 2
    read(model, cache, [other], [[*tokens, 1]])
    assert other.blocks[0] == one.blocks[0]
    assert other.blocks[1] != one.blocks[1]
    assert cache.pool.holders[one.blocks[1]] == 1
    assert torch.equal(cache.keys[:, cache.slots(one, 0, 6)], before)
    logits = read(model, cache, [one, other], [[*tokens, 2], [*tokens, 1, 2]])
    assert cache.pool.num_used == 3  # the one that is left writes where it is
    for row, new in zip(logits, ([2], [1, 2]), strict=True):
        alone = model(torch.tensor([tokens + new]))[0, -1]
        assert_close(row, alone, atol=2e-4, rtol=1e-4)


def test_a_reservation_that_fails_changes_nothing():
    model = build("llama")
    cache = PagedCache(model, num_blocks=3, block_size=4)
    one = cache.find(text(6))
    cache.reserve(one, 6)
    cache.written(one, text(6))
    other = cache.fork(one)
    blocks, holders = list(other.blocks), list(cache.pool.holders)
    with pytest.raises(OutOfBlocksError, match="2 blocks are needed, 1 of 3 are free"):
        cache.reserve(other, 3)  # a copy and a new one
    assert (other.blocks, cache.pool.holders) == (blocks, holders)


def test_all_blocks_come_back():
    cache = PagedCache(build("gpt"), num_blocks=4, block_size=4)
    table = cache.find(text(9))
    cache.reserve(table, 9)
    cache.written(table, text(9))
    other = cache.fork(table)
    cache.release(table)
    assert cache.pool.num_used == 3
    cache.release(other)
    assert (cache.pool.num_used, table.blocks, table.length) == (0, [], 0)


@every_model
def test_memory_is_what_the_formula_says(name):
    model = build(name)
    heads = model.blocks[0].attention.num_kv_heads
    cache = PagedCache(model, num_blocks=5, block_size=4)
    assert cache.bytes == 2 * 2 * heads * 8 * (5 * 4) * 4  # 2 N H_kv K T, four bytes each
    assert cache.bytes == cache.keys.nbytes + cache.values.nbytes
