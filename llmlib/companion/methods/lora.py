"""The LoRA stage: the conversations of SFT, learned by adapters; the adapters alone are shipped.

``[options]`` of the recipe has ``rank``, ``alpha`` and ``targets``, as
:func:`~llmlib.post_training.apply_lora` takes them, and special ``tokens`` whose rows of the
embedding are trained too; the rest is as in the recipe of SFT.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from llmlib.companion.card import write_chat_card
from llmlib.companion.methods import sft
from llmlib.companion.recipe import read_recipe
from llmlib.companion.stage import load
from llmlib.models import Llama
from llmlib.post_training import (
    apply_lora,
    save_adapter,
    train_token_rows,
    transformers_names,
)

if TYPE_CHECKING:
    from llmlib.companion.chat_scores import ChatScores
    from llmlib.companion.recipe import Recipe
    from llmlib.tokenizers import BPETokenizer
    from llmlib.training import OneProcess, Trainer

__all__ = ["make_run", "write_adapter", "write_adapter_card"]


def make_run(
    recipe: Recipe,
    model: Llama,
    tokenizer: BPETokenizer,
    folder: Path,
    *,
    parallel: OneProcess,
    progress: bool,
) -> Trainer:
    """Adapters on the model of the stage before; see ``llmlib.companion.methods.Method``.

    Raises
    ------
    ValueError
        The model is another one than that of the stage in the recipe. Its adapter would fit that
        stage in shape and give nonsense.
    """
    before, _ = load(recipe.start)
    for own, named in zip(model.parameters(), before.parameters(), strict=True):
        if own.shape != named.shape or not torch.equal(own.cpu(), named):
            raise ValueError(
                f"the model is not that of stage {recipe.start}, which the adapter would name as "
                "its base: write the folder of the other model as start into the recipe"
            )
    adapted = _adapted(recipe, model, tokenizer)
    return sft.make_run(recipe, adapted, tokenizer, folder, parallel=parallel, progress=progress)


def write_adapter(
    run: Trainer, weights: dict[str, Tensor], tokenizer: BPETokenizer, folder: Path
) -> None:
    """Write the adapters, under the names that the layers have in transformers."""
    recipe = read_recipe(folder / "recipe.toml")
    model = _adapted(recipe, Llama(run.model.config), tokenizer)
    model.load_state_dict(weights, strict=False)  # a tied matrix is there once
    save_adapter(model, folder, names=transformers_names(model), base=recipe.start)


def _adapted(recipe: Recipe, model: Llama, tokenizer: BPETokenizer) -> Llama:
    options = dict(recipe.options)
    rows = [tokenizer.special_tokens[token] for token in options.pop("tokens", ())]
    apply_lora(model, **options)
    return train_token_rows(model, rows) if rows else model


ABOUT = """\
## What the folder holds

Not the model but an adapter of it: {trained:,} numbers, {share:.1%} of all, in the files that peft
writes and reads. `llmlib.companion.load("{stage}")` puts it onto the stage "{start}" and merges it;
`peft.PeftModel.from_pretrained` does the same with the model that transformers opens in the folder
of "{start}".

"""


def write_adapter_card(
    folder: str | Path, recipe: Recipe, model: Llama, scores: ChatScores
) -> None:
    """Write ``README.md``, with a word on what an adapter is."""
    write_chat_card(folder, recipe, model, scores)
    tensors = load_file(Path(folder, "adapter_model.safetensors"))
    trained = sum(tensor.numel() for tensor in tensors.values())
    about = ABOUT.format(
        stage=recipe.stage,
        start=recipe.start,
        trained=trained,
        share=trained / (model.num_parameters + trained),
    )
    file, before = Path(folder, "README.md"), "## How to talk to it"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(before, about + before), encoding="utf-8")
