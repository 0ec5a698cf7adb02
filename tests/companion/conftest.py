"""A companion that is made in seconds."""

import pytest

from llmlib.companion.recipe import read_recipe
from llmlib.companion.tokenizer import make_tokenizer
from llmlib.companion.train import train

RECIPE = """
stage = "tiny"
seed = 0
[tokenizer]
vocab_size = 512
documents = 1000
[model]
context_length = 384
dim = 32
num_layers = 2
num_heads = 2
hidden_dim = 64
tie_embeddings = true
[data]
documents = 8
length = 384
copying_first = 3
mention_weight = 4.0
[data.mixture]
stories = 0.75
copying = 0.25
[training]
steps = 20
max_lr = 3e-3
warmup_steps = 3
betas = [0.9, 0.98]
eval_every = 10
eval_batches = 1
sample_every = 10
save_every = 5
"""


@pytest.fixture(scope="session")
def recipe_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def tokenizer(recipe_path):
    return make_tokenizer(read_recipe(recipe_path))


@pytest.fixture(scope="session")
def finished(recipe_path, tmp_path_factory):
    """The folder of a stage after its last step, and the trainer."""
    folder = tmp_path_factory.mktemp("stage") / "tiny"
    return folder, train(recipe_path, folder)
