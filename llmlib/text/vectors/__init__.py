"""Word vectors: counting, Word2Vec, GloVe and FastText, and questions to ask of them.

=======================================  ======================================================
file                                     what is in it
=======================================  ======================================================
:mod:`llmlib.text.vectors.neighbours`    similarity, analogy, scores against a gold set
:mod:`llmlib.text.vectors.stream`        a text as one array that knows its sentences
:mod:`llmlib.text.vectors.counts`        who stands near whom; PMI; its main axes
:mod:`llmlib.text.vectors.objectives`    the full softmax, negative sampling, their gradients
:mod:`llmlib.text.vectors.adagrad`       the step rule for a table of vectors
:mod:`llmlib.text.vectors.word2vec`      skip-gram and CBOW
:mod:`llmlib.text.vectors.glove`         a weighted factorisation of the counts
:mod:`llmlib.text.vectors.fasttext`      words as sums of character n-grams
=======================================  ======================================================
"""

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
