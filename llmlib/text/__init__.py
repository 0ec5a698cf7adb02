"""Floor 1: text as numbers. Counting models, compression, word vectors.

====================================  ==========================================================
file                                  what is in it
====================================  ==========================================================
:mod:`llmlib.text.vocabulary`         words and their numbers
:mod:`llmlib.text.ngram`              n-gram models, four smoothings, perplexity
:mod:`llmlib.text.arithmetic_coding`  any model with probabilities as a compressor
:mod:`llmlib.text.vectors`            Word2Vec, GloVe, FastText, counting; questions to ask of them
====================================  ==========================================================
"""

from llmlib.text.ngram import AddK, Interpolated, KneserNey, NGramModel, WittenBell
from llmlib.text.vocabulary import Vocabulary

__all__ = ["AddK", "Interpolated", "KneserNey", "NGramModel", "Vocabulary", "WittenBell"]
