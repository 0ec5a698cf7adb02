"""BERT, T5 and the encoder-decoder Transformer against transformers and PyTorch."""

from itertools import product

import pytest
import torch
from torch.testing import assert_close

from llmlib.interop import from_transformers, to_transformers
from llmlib.models import Transformer, TransformerConfig
from llmlib.nn import causal_mask
from tests.parity.models import assert_same_model, draw

transformers = pytest.importorskip("transformers")

B, S, T, V = 3, 9, 7, 37


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()


def padding(side, length=S):
    lengths = torch.tensor([[length], [length - 4], [1]])
    places = torch.arange(length)[None]
    return {
        "none": torch.ones(B, length, dtype=torch.bool),
        "right": places < lengths,
        "left": places >= length - lengths,
    }[side]


BERT_SIZES = {
    "vocab_size": V, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40,
    "max_position_embeddings": 12,
}  # fmt: skip


@pytest.mark.parity(
    component="llmlib.models.Bert",
    peer="transformers BertForMaskedLM",
    compared="logits, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize(
    ("layers", "activation", "segments", "pad", "side"),
    [
        *product([1, 2], ["gelu"], [2], [0], ["none", "left", "right"]),
        (2, "gelu_new", 3, None, "right"),
        (1, "relu", 1, 5, "none"),
    ],
    ids=str,
)
def test_bert_fills_in(layers, activation, segments, pad, side):
    config = transformers.BertConfig(
        **BERT_SIZES, num_hidden_layers=layers, hidden_act=activation, type_vocab_size=segments,
        pad_token_id=pad,
    )  # fmt: skip
    theirs = draw(transformers.BertForMaskedLM(config))
    ids, texts = torch.randint(0, V, (B, S)), torch.randint(0, segments, (B, S))
    real = padding(side)
    ours = assert_same_model(
        theirs,
        lambda ours: ours(ids, None if side == "none" else real, segments=texts),
        lambda theirs: theirs(ids, attention_mask=real.long(), token_type_ids=texts).logits,
        counted=real,
    )
    assert not ours.config.next_sentence


@pytest.mark.parity(
    component="llmlib.models.Bert",
    peer="transformers BertForPreTraining",
    compared="logits of both heads, loss, gradients of all parameters",
)
@pytest.mark.parametrize("side", ["none", "right"])
def test_bert_with_both_heads(side):
    config = transformers.BertConfig(**BERT_SIZES, num_hidden_layers=2)
    theirs = draw(transformers.BertForPreTraining(config))
    ids, texts = torch.randint(0, V, (B, S)), torch.randint(0, 2, (B, S))
    real = padding(side)
    mask = None if side == "none" else real

    def our_heads(ours):
        hidden = ours.hidden_states(ids, mask, segments=texts)
        second = ours.next_sentence_logits(hidden)[:, None].expand(-1, S, -1)
        return torch.cat((ours.logits(hidden), second), dim=-1)

    def their_heads(theirs):
        out = theirs(ids, attention_mask=real.long(), token_type_ids=texts)
        second = out.seq_relationship_logits[:, None].expand(-1, S, -1)
        return torch.cat((out.prediction_logits, second), dim=-1)

    assert_same_model(theirs, our_heads, their_heads, counted=real)

    targets = torch.full((B, S), -100)
    targets[:, [0, 3]] = torch.randint(0, V, (B, 2))
    follows = torch.tensor([0, 1, 1])
    our_loss = from_transformers(theirs).loss(
        ids, targets, mask, segments=texts, next_sentence=follows
    )
    their_loss = theirs(
        ids, attention_mask=real.long(), token_type_ids=texts, labels=targets,
        next_sentence_label=follows,
    ).loss  # fmt: skip
    assert_close(our_loss, their_loss)


def compare_encoder_decoders(theirs, side):
    ids, written = torch.randint(1, V, (B, S)), torch.randint(1, V, (B, T))
    real = padding(side)
    mask = None if side == "none" else real
    ours = assert_same_model(
        theirs,
        lambda ours: ours(ids, written, mask),
        lambda theirs: (
            theirs(
                ids, attention_mask=real.long(), decoder_input_ids=written, use_cache=False
            ).logits
        ),
    )
    targets = written.clone()
    targets[1, 4:] = -100
    our_loss = ours.loss(ids, targets, mask)
    their_loss = theirs(ids, attention_mask=real.long(), labels=targets, use_cache=False).loss
    assert_close(our_loss, their_loss)
    return ours


@pytest.mark.parity(
    component="llmlib.models.T5",
    peer="transformers T5ForConditionalGeneration",
    compared="logits, loss, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize(
    ("feedforward", "tied", "layers", "side"),
    [
        *product(["relu", "gated-gelu"], [True, False], [(2, 2)], ["none", "right"]),
        ("relu", True, (1, 3), "left"),
        ("gated-silu", True, (2, 1), "none"),
        ("gelu", False, (1, 1), "none"),
    ],
    ids=str,
)
def test_t5(feedforward, tied, layers, side):
    config = transformers.T5Config(
        vocab_size=V, d_model=24, d_kv=5, d_ff=40, num_heads=3, num_layers=layers[0],
        num_decoder_layers=layers[1], relative_attention_num_buckets=8,
        relative_attention_max_distance=6, feed_forward_proj=feedforward,
        tie_word_embeddings=tied, decoder_start_token_id=0,
    )  # fmt: skip
    theirs = transformers.T5ForConditionalGeneration(config)
    if not tied:  # as a loaded checkpoint of version 1.1 is
        theirs.lm_head.weight = torch.nn.Parameter(theirs.lm_head.weight.detach().clone())
    ours = compare_encoder_decoders(draw(theirs, std=0.2), side)
    assert ours.config.tie_embeddings == ours.config.scale_logits == tied


def marian(**changes):
    sizes = {
        "vocab_size": V, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 3, "decoder_attention_heads": 3, "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 40, "max_position_embeddings": 12, "activation_function": "relu",
        "scale_embedding": True, "pad_token_id": 0, "decoder_start_token_id": 0,
        "eos_token_id": 1, "forced_eos_token_id": None,
    }  # fmt: skip
    return transformers.MarianMTModel(transformers.MarianConfig(**sizes | changes))


@pytest.mark.parity(
    component="llmlib.models.Transformer",
    peer="transformers MarianMTModel",
    compared="logits, loss, gradients of all parameters, weights on the way back",
)
@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoder_layers": 1, "decoder_layers": 3, "scale_embedding": False},
        {"activation_function": "swish", "vocab_size": V, "d_model": 12, "pad_token_id": 36},
    ],
    ids=["base", "uneven", "swish"],
)
def test_transformer(changes, side):
    compare_encoder_decoders(draw(marian(**changes)), side)


def test_an_untied_transformer():
    """Theirs then has three tables of embeddings; we read it while source and target agree."""
    ours = Transformer(
        TransformerConfig(vocab_size=V, context_length=12, dim=24, num_layers=1, num_heads=3,
                          tie_embeddings=False)
    )  # fmt: skip
    theirs = to_transformers(draw(ours))
    ids, written = torch.randint(0, V, (B, S)), torch.randint(0, V, (B, T))
    logits = ours(ids, written)
    assert_close(theirs(ids, decoder_input_ids=written).logits, logits)
    assert_close(from_transformers(theirs)(ids, written), logits)
    with torch.no_grad():
        theirs.model.decoder.embed_tokens.weight.add_(1)
    with pytest.raises(ValueError, match=r"decoder\.embed_tokens\.weight differs"):
        from_transformers(theirs)


@pytest.mark.parity(
    component="llmlib.models.Transformer",
    peer="torch.nn.Transformer",
    compared="what the decoder gives, with interleaved positions of the paper",
)
def test_transformer_of_pytorch():
    D, heads, hidden = 24, 4, 40
    ours = Transformer(
        TransformerConfig(
            vocab_size=V, context_length=12, dim=D, num_layers=2, num_heads=heads,
            hidden_dim=hidden, position_layout="interleaved",
        )
    ).eval()  # fmt: skip
    theirs = torch.nn.Transformer(
        D, heads, 2, 2, hidden, dropout=0.0, batch_first=True, norm_first=False
    )
    theirs.encoder.norm = theirs.decoder.norm = None  # PyTorch adds a norm that the paper has not
    draw(ours)
    for stack, blocks in (("encoder", ours.encoder_blocks), ("decoder", ours.decoder_blocks)):
        for block, layer in zip(blocks, getattr(theirs, stack).layers, strict=True):
            copy_block(block, layer, cross=stack == "decoder")
    ids, written, real = torch.randint(0, V, (B, S)), torch.randint(0, V, (B, T)), padding("right")
    source = ours.embed(ids, torch.arange(S))
    target = ours.embed(written, torch.arange(T))
    peer = theirs(
        source,
        target,
        tgt_mask=~causal_mask(T),
        src_key_padding_mask=~real,
        memory_key_padding_mask=~real,
    )
    assert_close(ours.decode(written, ours.encode(ids, real), real), peer)


@torch.no_grad()
def copy_block(block, layer, *, cross):
    """Weights of one of our blocks into a layer of ``torch.nn.Transformer``."""
    attentions = {"self_attn": block.attention}
    modules = {"linear1": block.feedforward.up_proj, "linear2": block.feedforward.down_proj}
    modules |= {
        "norm1": block.attention_norm,
        "norm3" if cross else "norm2": block.feedforward_norm,
    }
    if cross:
        attentions["multihead_attn"] = block.cross_attention
        modules["norm2"] = block.cross_norm
    for name, attention in attentions.items():
        peer = getattr(layer, name)
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        for part in ("weight", "bias"):
            stacked = torch.cat([getattr(projection, part) for projection in projections])
            getattr(peer, f"in_proj_{part}").copy_(stacked)
            getattr(peer.out_proj, part).copy_(getattr(attention.out_proj, part))
    for name, module in modules.items():
        getattr(layer, name).load_state_dict(module.state_dict())
