"""Word vectors: counting, Word2Vec, GloVe and FastText, and questions to ask of them."""

from .adagrad import AdagradTable
from .counts import Cooccurrence, count_cooccurrence, pmi_matrix, svd_vectors
from .fasttext import FastText, SubwordVectors, character_ngrams
from .glove import GloVe, GloVeConfig, glove_gradients, glove_loss
from .neighbours import WordVectors, rank_correlation
from .objectives import (
    FullSoftmax,
    NegativeSampling,
    negative_sampling_gradients,
    negative_sampling_loss,
    softmax_gradients,
    softmax_loss,
)
from .stream import TokenStream
from .word2vec import CBOW, SkipGram, VectorConfig, skip_gram_pairs, windows

__all__ = [
    "CBOW",
    "AdagradTable",
    "Cooccurrence",
    "FastText",
    "FullSoftmax",
    "GloVe",
    "GloVeConfig",
    "NegativeSampling",
    "SkipGram",
    "SubwordVectors",
    "TokenStream",
    "VectorConfig",
    "WordVectors",
    "character_ngrams",
    "count_cooccurrence",
    "glove_gradients",
    "glove_loss",
    "negative_sampling_gradients",
    "negative_sampling_loss",
    "pmi_matrix",
    "rank_correlation",
    "skip_gram_pairs",
    "softmax_gradients",
    "softmax_loss",
    "svd_vectors",
    "windows",
]
