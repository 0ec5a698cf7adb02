"""Measures of models and of what they write: perplexity, BLEU and ROUGE."""

from llmlib.evaluation.bleu import corpus_bleu, split_characters, split_words
from llmlib.evaluation.perplexity import perplexity
from llmlib.evaluation.rouge import RougeScore, rouge_l, rouge_n

__all__ = [
    "RougeScore",
    "corpus_bleu",
    "perplexity",
    "rouge_l",
    "rouge_n",
    "split_characters",
    "split_words",
]
