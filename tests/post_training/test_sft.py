"""Supervised fine-tuning: what is learned, what leaks, what the peers do."""

import pytest
import torch

from llmlib.data.conversations import ConversationMixture
from llmlib.models import Llama, LlamaConfig
from llmlib.post_training import ChatBatches, pack_chats, replies, reply, reply_weights
from llmlib.tokenizers import BPETokenizer, ChatTemplate
from llmlib.tokenizers.chat import EncodedChat
from llmlib.training import Batch, TrainConfig, Trainer
from llmlib.training.loss import BatchLoss

MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
SHARES = {"question": 0.3, "arithmetic": 0.4, "tools": 0.3}


@pytest.fixture(scope="module")
def tokenizer():
    source = ConversationMixture(SHARES, conversations=60)
    texts = [turn["content"] for turns in source.messages(0) for turn in turns]
    return BPETokenizer.train(texts, 500, special_tokens=MARKS, pattern="qwen2")


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    sizes = {"dim": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 64, "context_length": 400}
    return Llama(LlamaConfig(vocab_size=tokenizer.vocab_size, tie_embeddings=True, **sizes))


def batches(tokenizer, **options):
    draw = ConversationMixture(SHARES, conversations=12).messages
    return ChatBatches(draw, tokenizer, **({"length": 400} | options))


def weighed(chats, balance):
    return [reply_weights(chat.learned, balance) for chat in chats]


def test_only_replies_are_learned(tokenizer):
    source = batches(tokenizer)
    batch = source.batch(3)
    ids = torch.cat([batch.ids, batch.ids[:, :1]], dim=1)
    assert torch.equal(batch.targets[batch.targets != -100], ids[:, 1:][batch.targets != -100])
    learned = [
        part
        for turns in source.draw(3)
        for turn in turns
        if turn["role"] == "assistant"
        for part in [*tokenizer.encode(turn["content"]), tokenizer.special_tokens["<|end|>"]]
    ]
    assert sorted(learned) == sorted(batch.targets[batch.targets != -100].tolist())


def test_prompt_tokens_as_targets_get_exactly_no_gradient(tokenizer, model):
    batch = batches(tokenizer).batch(0)
    logits = model(batch.ids, documents=batch.documents)
    logits.retain_grad()
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()).backward()
    gradient = logits.grad.abs().sum(dim=-1)
    assert (gradient[batch.targets == -100] == 0).all()
    assert (gradient[batch.targets != -100] > 0).all()


def test_another_prompt_target_changes_no_gradient(tokenizer, model):
    """The loss itself does not look at what it is not to learn."""
    chats = [ChatTemplate().encode(tokenizer, turns) for turns in batches(tokenizer).draw(1)]
    batch = pack_chats(chats, 400)
    loss = BatchLoss(model)(batch)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    rows = [
        model.loss(torch.tensor([c.ids[:-1]]), torch.tensor([_targets(c)])) * sum(c.learned)
        for c in chats
    ]
    alone = sum(rows) / sum(sum(c.learned) for c in chats)
    assert loss.item() == pytest.approx(alone.item(), rel=1e-5)
    found = torch.autograd.grad(alone, list(model.parameters()))
    for one, two in zip(expected, found, strict=True):
        torch.testing.assert_close(one, two)


def _targets(chat):
    return [i if k else -100 for i, k in zip(chat.ids[1:], chat.learned[1:], strict=True)]


def test_a_conversation_does_not_see_its_neighbours(tokenizer, model):
    chats = [ChatTemplate().encode(tokenizer, turns) for turns in batches(tokenizer).draw(1)]
    batch = pack_chats(chats, 400)
    assert len(batch.ids) < len(chats)
    with torch.no_grad():
        logits = model(batch.ids, documents=batch.documents)
        for number, chat in enumerate(chats):
            own = batch.documents == number
            alone = model(torch.tensor([chat.ids]))[0]
            torch.testing.assert_close(logits[own], alone[: int(own.sum())])


def test_nothing_to_learn_gives_no_loss_and_finite_gradients(tokenizer, model):
    chat = ChatTemplate().encode(tokenizer, [{"role": "user", "content": "What is 2 + 3?"}])
    for balance in (0.0, 0.5):
        model.zero_grad()
        loss = BatchLoss(model)(pack_chats([chat], 64, weights=weighed([chat], balance)))
        loss.backward()
        assert loss.item() == 0
        assert all((p.grad == 0).all() for p in model.parameters())


def test_balance_is_between_tokens_and_replies(tokenizer, model):
    chats = [ChatTemplate().encode(tokenizer, turns) for turns in batches(tokenizer).draw(2)]
    per_token, counts = [], []
    for chat in chats:
        ids = torch.tensor([chat.ids])
        logits = model(ids)[0, :-1]
        losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        runs = torch.tensor(chat.learned[1:]).int().diff(prepend=torch.tensor([0])).eq(1).cumsum(0)
        for run in range(1, int(runs.max()) + 1):
            own = (runs == run) & torch.tensor(chat.learned[1:])
            per_token.append(losses[own])
            counts.append(int(own.sum()))
    mean_of_tokens = torch.cat(per_token).mean()
    mean_of_replies = torch.stack([losses.mean() for losses in per_token]).mean()
    for balance, expected in ((0.0, mean_of_tokens), (1.0, mean_of_replies)):
        found = BatchLoss(model)(pack_chats(chats, 400, weights=weighed(chats, balance)))
        torch.testing.assert_close(found, expected)
    assert min(counts) < max(counts)
    assert reply_weights([True, True], 1.0) == [0.5, 0.5]


def test_what_was_asked_for_counts_more(tokenizer):
    story = {"role": "assistant", "content": "A frog and the frogs saw a fox.", "wanted": ("frog",)}
    turns = [{"role": "user", "content": "A frog, please."}, story]
    batch = ChatBatches(lambda _: [turns], tokenizer, length=60, emphasis=8.0).batch(0)
    heavy = batch.targets[batch.weights == 8.0].tolist()
    assert heavy
    assert heavy == tokenizer.encode(" frog") * (len(heavy) // len(tokenizer.encode(" frog")))
    learned = batch.targets != -100
    assert set(batch.weights[learned].tolist()) == {1.0, 8.0}
    assert (batch.weights[~learned] == 0).all()
    story["facts"] = ("frog", "fox")
    source = ChatBatches(lambda _: [turns], tokenizer, length=60, emphasis=8.0, facts_from=3)
    assert torch.equal(source.batch(2).weights, batch.weights)
    later = source.batch(3).weights
    assert set(tokenizer.encode(" fox")) <= set(batch.targets[later == 8.0].tolist())
    assert (later[batch.weights == 8.0] == 8.0).all()
    plain = ChatBatches(lambda _: [turns], tokenizer, length=60).batch(0)
    assert plain.weights is None
    assert torch.equal(plain.targets, batch.targets)


def test_a_conversation_that_is_too_long_loses_its_last_turns(tokenizer):
    turns = [
        {"role": "user", "content": "What is 2 + 3?"},
        {"role": "assistant", "content": "5"},
    ]
    one = len(ChatTemplate().encode(tokenizer, turns).ids)
    batch = ChatBatches(lambda _: [turns * 4], tokenizer, length=2 * one - 2).batch(0)
    assert int((batch.targets != -100).sum()) == 4
    with pytest.raises(ValueError, match=r"tokens up to its first reply, but a row holds 6"):
        ChatBatches(lambda _: [turns], tokenizer, length=5).batch(0)


def test_a_model_learns_to_reply_and_to_stop(tokenizer, model):
    turns = [
        {"role": "user", "content": "What is 2 + 3?"},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "Who hid?"},
        {"role": "assistant", "content": "the fox"},
    ]
    source = ChatBatches(lambda _: [turns], tokenizer, length=80)
    trainer = Trainer(model, TrainConfig(steps=100, max_lr=1e-2), source)
    losses = trainer.fit().column("loss")
    assert losses[-1] < 0.02 < 1 < losses[0]
    assert replies(model, tokenizer, [turns[:1], turns[:3]], batch_size=1) == ["5", "the fox"]
    assert replies(model, tokenizer, [turns[:3], turns[:1]]) == ["the fox", "5"]
    hot = {"temperature": 5.0, "generator": torch.Generator().manual_seed(0)}
    assert replies(model, tokenizer, [turns[:1]] * 8, **hot) != ["5"] * 8
    assert replies(model, tokenizer, [turns[:1]] * 8, **hot, top_p=0.01) == ["5"] * 8
    assert reply(model, tokenizer, turns[:3], max_new_tokens=1) == tokenizer.decode(
        tokenizer.encode("the fox")[:1]
    )


def test_a_prompt_that_fills_the_context_is_refused(tokenizer, model):
    turn = {"role": "user", "content": "What is 2 + 3? " * 200}
    with pytest.raises(ValueError, match="the context holds 400"):
        reply(model, tokenizer, [turn])


def test_batches_say_nothing_of_weights_without_a_balance():
    chat = EncodedChat([1, 2, 3], [False, True, True])
    assert isinstance(pack_chats([chat], 4), Batch)
    assert pack_chats([chat], 4).weights is None
    assert pack_chats([chat], 4, weights=weighed([chat], 1.0)).weights.tolist() == [
        [0.5, 0.5, 0, 0]
    ]
