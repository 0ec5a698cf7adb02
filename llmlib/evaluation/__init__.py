"""Measures of models, of what they write and of what they find.

=====================================  ============================================================
file                                   what is in it
=====================================  ============================================================
:mod:`llmlib.evaluation.perplexity`    how well a model predicts a text
:mod:`llmlib.evaluation.bleu`          a translation beside references
:mod:`llmlib.evaluation.rouge`         a summary beside a reference
:mod:`llmlib.evaluation.retrieval`     rankings: recall, reciprocal rank, nDCG
:mod:`llmlib.evaluation.answers`       short answers: exact match, faithfulness
:mod:`llmlib.evaluation.contexts`      what a reader was shown; overlap of answers
:mod:`llmlib.evaluation.calibration`   whether probabilities mean what they say
:mod:`llmlib.evaluation.bootstrap`     the interval of a measured number
=====================================  ============================================================
"""

from llmlib.evaluation.answers import cited, exact_match, faithfulness
from llmlib.evaluation.bleu import corpus_bleu, split_characters, split_words
from llmlib.evaluation.bootstrap import Interval, bootstrap_interval
from llmlib.evaluation.calibration import (
    ReliabilityCurve,
    expected_calibration_error,
    reliability_curve,
)
from llmlib.evaluation.contexts import answer_f1, context_precision, context_recall
from llmlib.evaluation.perplexity import perplexity
from llmlib.evaluation.retrieval import ndcg_at_k, recall_at_k, reciprocal_rank
from llmlib.evaluation.rouge import RougeScore, rouge_l, rouge_n

__all__ = [
    "Interval",
    "ReliabilityCurve",
    "RougeScore",
    "answer_f1",
    "bootstrap_interval",
    "cited",
    "context_precision",
    "context_recall",
    "corpus_bleu",
    "exact_match",
    "expected_calibration_error",
    "faithfulness",
    "ndcg_at_k",
    "perplexity",
    "recall_at_k",
    "reciprocal_rank",
    "reliability_curve",
    "rouge_l",
    "rouge_n",
    "split_characters",
    "split_words",
]
