"""Reading another library's config without overlooking a field.

A config is a dictionary of several dozen fields. Some set sizes, some switch the computation,
some are bookkeeping. A reader that picks the fields it knows would silently build a different
model when an unknown one is set. :class:`Fields` keeps account: every field is taken, demanded
to have the one value that is supported, or named as neutral; whatever is left over is refused
by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["NEUTRAL", "Fields"]

# Fields that any config may carry and that change no logits.
NEUTRAL = frozenset(
    {
        # bookkeeping
        "_name_or_path", "_attn_implementation_autoset", "architectures", "auto_map", "dtype",
        "model_type", "torch_dtype", "transformers_version",
        # what a call returns, and how it spends memory
        "chunk_size_feed_forward", "gradient_checkpointing", "output_attentions",
        "output_hidden_states", "output_past", "return_dict", "use_cache",
        # how weights were drawn before training
        "initializer_range", "init_std", "initializer_factor", "init_method",
        # heads for classification, which language models do not have
        "classifier_dropout", "finetuning_task", "id2label", "label2id", "num_labels",
        "problem_type",
        # ids that only generation reads
        "bos_token_id", "decoder_start_token_id", "eos_token_id", "forced_bos_token_id",
        "forced_eos_token_id", "pad_token_id", "sep_token_id",
        # generation settings that older files keep in the config
        "bad_words_ids", "do_sample", "early_stopping", "length_penalty", "max_length",
        "min_length", "no_repeat_ngram_size", "num_beams", "repetition_penalty",
        "task_specific_params", "temperature", "tokenizer_class", "top_k", "top_p",
    }
)  # fmt: skip


class Fields:
    """A config being read.

    Parameters
    ----------
    given : mapping
        Field name to value: ``config.to_dict()``, or a ``config.json``.
    defaults : mapping
        What transformers assumes for fields that are not in the file.

    Examples
    --------
    >>> fields = Fields({"n_layer": 2, "use_cache": True, "rotary_dim": 8}, {"n_head": 12})
    >>> fields.take("n_layer"), fields.take("n_head")
    (2, 12)
    >>> fields.finish()
    Traceback (most recent call last):
        ...
    ValueError: config field rotary_dim=8 is not supported: llmlib has no part that it would set; \
remove it if the model does not need it
    """

    def __init__(self, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self.given = dict(given)
        self.defaults = dict(defaults)
        self.unread = set(given)

    def take(self, name: str) -> Any:
        """Value of a field, or what transformers assumes without it."""
        self.unread.discard(name)
        if name in self.given:
            return self.given[name]
        if name not in self.defaults:
            raise ValueError(
                f"config field {name} is missing, and transformers has no default for it: add it "
                "to config.json"
            )
        return self.defaults[name]

    def demand(self, name: str, *supported: Any) -> Any:
        """Value of a field that must be one of ``supported``."""
        value = self.take(name)
        if value not in supported:
            choices = " or ".join(repr(choice) for choice in supported)
            raise ValueError(
                f"config field {name}={value!r} is not supported: llmlib builds this model with "
                f"{choices} only"
            )
        return value

    def translate(self, name: str, names: Mapping[str, str]) -> str:
        """Value of a field, in llmlib's word for it."""
        return names[self.demand(name, *names)]

    def same(self, *names: str) -> Any:
        """The one value that several fields share; llmlib has one number for them."""
        values = [self.take(name) for name in names]
        if len(set(values)) > 1:
            pairs = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
            raise ValueError(
                f"config fields {pairs} differ, which is not supported: llmlib has one number for "
                "all of them; set them alike"
            )
        return values[0]

    def skip(self, names: Iterable[str]) -> None:
        """Pass over fields that change nothing in this model."""
        self.unread.difference_update(names)

    def finish(self) -> None:
        """Refuse what nobody read, unless it is neutral or unset."""
        for name in sorted(self.unread - NEUTRAL):
            if self.given[name] is not None:
                raise ValueError(
                    f"config field {name}={self.given[name]!r} is not supported: llmlib has no "
                    "part that it would set; remove it if the model does not need it"
                )
