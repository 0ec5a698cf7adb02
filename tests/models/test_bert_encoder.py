"""BERT without heads: the body that searches and classifies."""

import pytest
import torch

from llmlib.models import Bert, BertConfig

SIZES = {"vocab_size": 50, "context_length": 12, "dim": 16, "num_layers": 2, "num_heads": 2}


def test_an_encoder_has_no_heads_and_says_so():
    model = Bert(BertConfig(**SIZES, next_sentence=False, masked_tokens=False))
    ids = torch.randint(0, 50, (2, 7))
    assert model.hidden_states(ids).shape == (2, 7, 16)
    assert not any(
        "transform" in name or "output_bias" in name for name, _ in model.named_parameters()
    )
    with pytest.raises(ValueError, match="masked_tokens is False"):
        model(ids)
    with pytest.raises(ValueError, match="masked_tokens is False"):
        model.loss(ids, ids)
    with pytest.raises(ValueError, match="trained together"):
        BertConfig(**SIZES, masked_tokens=False)
