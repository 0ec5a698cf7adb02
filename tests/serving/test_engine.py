"""What the engine promises: every text as if written alone, within the memory, nothing leaked."""

from collections import Counter

import pytest
import torch

from llmlib.generation import generate, sample, token_probabilities
from llmlib.serving import Engine
from tests.serving.tiny_models import MODELS, V, build

every_model = pytest.mark.parametrize("name", sorted(MODELS))


def prompts(count, seed=1, longest=12):
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=g).tolist()
    return [torch.randint(0, V, (length,), generator=g).tolist() for length in lengths]


def alone(model, sequence, **options):
    options = {"temperature": 0, "stop_ids": sequence.stop_ids} | options
    ids = torch.tensor([sequence.prompt])
    return generate(model, ids, max_new_tokens=sequence.max_new_tokens, **options)[0].tolist()


def check_memory(engine):
    """Every block is held by exactly those whose tables name it; a sequence has what it needs."""
    pool, running = engine.cache.pool, engine.scheduler.running
    counts = Counter(block for one in running for block in one.table.blocks)
    assert pool.holders == [counts[block] for block in range(pool.num_blocks)]
    assert len(pool.free) == sum(count == 0 for count in pool.holders)
    assert all(not one.table.blocks for one in engine.scheduler.waiting)
    assert len(running) <= engine.scheduler.seats
    for one in running:
        assert len(set(one.table.blocks)) == len(one.table.blocks)
        assert one.table.length <= len(one.table.blocks) * pool.block_size
    for block, count in counts.items():
        if count > 1:  # only with the same text up to the end of the block
            places = [(one, one.table.blocks.index(block)) for one in running
                      if block in one.table.blocks]  # fmt: skip
            size = pool.block_size
            texts = {
                tuple(one.tokens[: min((at + 1) * size, one.table.length)]) for one, at in places
            }
            assert len(texts) == 1


def serve(engine, arrivals):
    """Submit what arrives before each step: ``{step: [(prompt, options), …]}``."""
    sequences, step = [], 0
    while step <= max(arrivals) or not engine.idle:
        for prompt, options in arrivals.get(step, []):
            sequences.append(engine.submit(prompt, **options))
        engine.step()
        check_memory(engine)
        step += 1
    return sequences


@every_model
@pytest.mark.parametrize(("num_blocks", "seats"), [(64, 8), (64, 2), (9, 8)])
def test_every_text_is_the_one_written_alone(name, num_blocks, seats):
    model = build(name)
    engine = Engine(model, num_blocks=num_blocks, block_size=4, seats=seats)
    arrivals = {}
    for number, prompt in enumerate(prompts(7)):
        options = {"max_new_tokens": 3 + 3 * (number % 5), "stop_ids": [number]}
        arrivals.setdefault(2 * (number // 2), []).append((prompt, options))
    sequences = serve(engine, arrivals)
    assert [one.tokens for one in sequences] == [alone(model, one) for one in sequences]
    assert engine.cache.pool.num_used == 0
    assert sum(step.preempted for step in engine.history) == sum(s.preempted for s in sequences)
    if num_blocks == 9:
        assert any(one.preempted for one in sequences)


@pytest.mark.parametrize("seed", range(6))
def test_random_traffic_in_little_memory(seed):
    model = build("llama")
    g = torch.Generator().manual_seed(seed)

    def number(low, high):
        return int(torch.randint(low, high + 1, (), generator=g))

    size = number(1, 5)
    engine = Engine(model, num_blocks=-(-24 // size) + 2, block_size=size, seats=number(1, 5))
    beginning = prompts(1, seed=seed)[0][:8]
    arrivals = {}
    for prompt in prompts(8, seed=seed + 100, longest=4):
        shared = beginning[: number(0, 8)]
        options = {"max_new_tokens": number(1, 12)}
        arrivals.setdefault(number(0, 12), []).append((shared + prompt, options))
    sequences = serve(engine, arrivals)
    assert [one.tokens for one in sequences] == [alone(model, one) for one in sequences]
    assert engine.cache.pool.num_used == 0


def test_a_prompt_with_a_known_beginning_is_not_read_again():
    model = build("llama")
    engine = Engine(model, num_blocks=40, block_size=4, seats=8)
    system = prompts(1, seed=3, longest=1)[0] * 17
    for tail in ([1, 2], [3], [4, 5, 6]):
        engine.submit(system + tail, max_new_tokens=4)
    step = engine.step()
    assert (step.prefilled, step.shared) == (19 + (18 - 16) + (20 - 16), 32)
    assert step.used_blocks == 4 + 3
    later = engine.submit([*system, 7], max_new_tokens=4)
    engine.run()
    assert later.shared == 16
    assert later.tokens == alone(model, later)
    again = engine.submit([*system, 8], max_new_tokens=4)  # nobody holds the blocks any more
    engine.run()
    assert again.shared == 16
    assert again.tokens == alone(model, again)


def test_a_text_that_joins_is_written_beside_the_others():
    engine = Engine(build("llama"), num_blocks=40, block_size=4, seats=2)
    first = engine.submit([1, 2, 3], max_new_tokens=9)
    engine.step()
    engine.step()
    second = engine.submit([4, 5], max_new_tokens=2)
    third = engine.submit([6], max_new_tokens=2)
    engine.step()
    assert (len(first.written), len(second.written), len(third.written)) == (3, 1, 0)
    step = engine.step()
    assert step.finished == (second,)
    engine.step()  # the seat is taken at once
    assert (len(first.written), len(third.written)) == (5, 1)


def test_drawn_texts_are_those_drawn_alone():
    model = build("gpt")
    engine = Engine(model, num_blocks=9, block_size=4, seats=4)
    options = {"temperature": 1.5, "top_p": 0.9}

    def chooser(seed):
        g = torch.Generator().manual_seed(seed)
        return lambda logits: int(sample(token_probabilities(logits[None], **options), g))

    sequences = [
        engine.submit(prompt, max_new_tokens=12, choose=chooser(seed))
        for seed, prompt in enumerate(prompts(4))
    ]
    engine.run()
    assert any(one.preempted for one in sequences)
    for seed, one in enumerate(sequences):
        g = torch.Generator().manual_seed(seed)
        assert one.tokens == alone(model, one, generator=g, **options)


@pytest.mark.parametrize(("seats", "num_blocks"), [(8, 30), (2, 30), (4, 7)])
def test_a_group_reads_its_prompt_once_and_shares_it(seats, num_blocks):
    model = build("llama")
    engine = Engine(model, num_blocks=num_blocks, block_size=4, seats=seats)

    def nth(place):
        return lambda logits: int(logits.argsort(descending=True)[place])

    prompt = prompts(1, seed=5, longest=1)[0] * 10
    group = engine.submit_group(prompt, [nth(place) for place in range(4)], max_new_tokens=7)
    first = engine.step()
    assert first.prefilled == 10
    assert first.used_blocks == 3
    check_memory(engine)
    while not engine.idle:
        engine.step()
        check_memory(engine)
    for place, one in enumerate(group):
        text = list(prompt)
        for _ in range(7):
            text.append(nth(place)(model(torch.tensor([text]))[0, -1]))
        assert one.tokens == text
    assert engine.cache.pool.num_used == 0


def test_a_group_whose_first_text_ends_at_once():
    engine = Engine(build("llama"), num_blocks=8, block_size=4, seats=4)
    group = engine.submit_group([1, 2, 3, 4, 5], [lambda z: 7, lambda z: 8], max_new_tokens=3,
                                stop_ids=[7])  # fmt: skip
    engine.run()
    assert [one.written for one in group] == [[7], [8, 8, 8]]
    assert engine.cache.pool.num_used == 0


def test_the_model_is_left_in_its_mode():
    model = build("gpt").train()
    engine = Engine(model, num_blocks=8, block_size=4)
    engine.submit([1], max_new_tokens=2)
    engine.run()
    assert model.training


@pytest.mark.parametrize(
    ("prompt", "new", "message"),
    [([], 3, "at least 1"), ([1], 0, "at least 1"), ([1] * 30, 3, "memory holds 32")],
)
def test_what_cannot_be_served_is_refused(prompt, new, message):
    engine = Engine(build("llama"), num_blocks=8, block_size=4)
    with pytest.raises(ValueError, match=message):
        engine.submit(prompt, max_new_tokens=new)
    assert engine.idle


def test_a_text_longer_than_the_context_is_refused():
    engine = Engine(build("llama"), num_blocks=80, block_size=4)
    with pytest.raises(ValueError, match="context_length=64"):
        engine.submit([1] * 60, max_new_tokens=5)


def test_who_is_sent_back_waits_in_front_and_nobody_overtakes():
    engine = Engine(build("llama"), num_blocks=6, block_size=2, seats=2)
    first, second, third = (engine.submit([token, 1, 2], max_new_tokens=8) for token in (3, 4, 5))
    while not second.preempted:
        engine.step()
    assert list(engine.scheduler.waiting) == [second, third]
    assert engine.scheduler.running == [first]
    ended = []
    while not engine.idle:
        ended += [one for one in engine.step().finished if one not in ended]
    assert ended == [first, second, third]
