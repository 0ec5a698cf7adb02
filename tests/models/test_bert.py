"""What BERT promises."""

from math import log

import pytest
import torch
from torch.testing import assert_close

from llmlib.models import Bert, BertConfig

V, B, T = 50, 4, 10
CONFIG = BertConfig(vocab_size=V, context_length=12, dim=32, num_layers=2, num_heads=4)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def model():
    return Bert(CONFIG).eval()


def draw(*shape):
    return torch.randint(1, V, shape)


def hide(ids, places):
    """Replace tokens by [MASK] (here 1); the ids to read and the targets."""
    targets = torch.full_like(ids, -100)
    targets[:, places] = ids[:, places]
    hidden = ids.clone()
    hidden[:, places] = 1
    return hidden, targets


def test_knows_nothing_at_the_start(model):
    ids, targets = hide(draw(16, T), [2, 5])
    assert abs(model.loss(ids, targets).item() - log(V)) < 0.1
    follows = torch.randint(0, 2, (16,))
    assert abs(model.loss(ids, targets, next_sentence=follows).item() - log(V) - log(2)) < 0.1


def test_every_token_is_seen_from_every_place(model):
    ids = draw(1, T)
    before = model(ids)
    for place in (0, T - 1):
        changed = ids.clone()
        changed[:, place] = changed[:, place] % (V - 1) + 1
        assert ((model(changed) - before).abs().amax(-1) > 1e-5).all()


def test_embeddings_are_sums_normalised_of_token_segment_and_place(model):
    ids, segments = draw(B, T), torch.randint(0, 2, (B, T))
    total = (
        model.token_embedding.weight[ids]
        + model.segment_embedding.weight[segments]
        + model.position_embedding.weight[:T]
    )
    assert_close(
        model.embed(ids, segments), torch.nn.functional.layer_norm(total, (32,), eps=1e-12)
    )
    assert_close(model.embed(ids), model.embed(ids, torch.zeros_like(ids)))
    assert not torch.allclose(model.embed(ids, segments), model.embed(ids))


def test_a_subclass_may_embed_in_its_own_way():
    class Blind(Bert):
        def embed(self, ids, segments=None):
            return torch.zeros(*ids.shape, self.config.dim)

    blind = Blind(CONFIG).eval()
    assert_close(blind(draw(1, T)), blind(draw(1, T)))


def test_what_stands_in_the_padding_changes_nothing(model):
    real = torch.arange(T) < torch.tensor([[T], [6], [1], [3]])
    ids = draw(B, T)
    other = torch.where(real, ids, draw(B, T))
    assert_close(model(other, real)[real], model(ids, real)[real])
    assert_close(model(ids, real)[1, :6], model(ids[1:2, :6])[0])


def test_segments_matter(model):
    ids = draw(1, T)
    second = (torch.arange(T) >= 5).long()[None]
    assert not torch.allclose(model(ids), model(ids, segments=second), atol=1e-4)


def test_loss_counts_hidden_tokens_only(model):
    ids, targets = hide(draw(B, T), [2, 5])
    plain = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    assert_close(model.loss(ids, targets), plain)
    nothing = torch.full((B, T), -100)
    assert model.loss(ids, nothing) == 0


def test_hidden_tokens_of_a_batch_can_be_learned_by_heart():
    model = Bert(CONFIG)
    ids, targets = hide(draw(B, T), [2, 5, 8])
    follows = torch.tensor([0, 1, 0, 1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = model.loss(ids, targets, next_sentence=follows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3


def test_every_parameter_is_used():
    model = Bert(CONFIG)
    ids, targets = hide(draw(B, T), [2, 5])
    segments = torch.randint(0, 2, (B, T))
    model.loss(ids, targets, segments=segments, next_sentence=torch.tensor([0, 1, 0, 1])).backward()
    idle = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_sizes_of_the_paper():
    with torch.device("meta"):
        # 109,482,240 of the encoder with its pooler, and the two heads
        assert Bert(BertConfig()).num_parameters == 109_482_240 + 622_650 + 1_538


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(draw(1, 13)), "13 tokens, but context_length=12"),
        (lambda m: m(torch.tensor([[V]])), f"{V} to {V}"),
        (lambda m: m(draw(1, 3), torch.ones(1, 3)), "torch.float32"),
        (lambda m: m(draw(1, 3), torch.ones(3, 1).bool()), r"\(3, 1\)"),
        (lambda m: m(draw(1, 3), segments=torch.zeros(3, dtype=torch.long)), r"segments .*\(3,\)"),
        (lambda m: m(draw(1, 3), segments=torch.full((1, 3), 2)), "2 to 2.*0..1"),
        (lambda m: m.loss(draw(1, 3), draw(1, 2)), r"targets have shape \(1, 2\)"),
        (
            lambda m: Bert(BertConfig(vocab_size=5, dim=8, num_layers=1, num_heads=1,
                next_sentence=False)).next_sentence_logits(torch.zeros(1, 2, 8)),
            "no such head",
        ),
        (lambda m: BertConfig(num_segments=0), "num_segments"),
        (lambda m: Bert(BertConfig(dim=32, num_heads=5)), "num_heads=5"),
    ],
)  # fmt: skip
def test_errors(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)
