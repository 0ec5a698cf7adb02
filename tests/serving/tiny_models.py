"""Small models whose logits are far apart, so that rounding decides nothing."""

import torch

from llmlib.models import GPT, ExpertsConfig, GPTConfig, Llama, LlamaConfig

V = 23
SIZES = {"vocab_size": V, "context_length": 64, "dim": 32, "num_layers": 2, "num_heads": 4}
LLAMA = SIZES | {"hidden_dim": 48, "num_kv_heads": 2}
MODELS = {
    "gpt": lambda: GPT(GPTConfig(**SIZES)),
    "llama": lambda: Llama(LlamaConfig(**LLAMA)),
    "mistral": lambda: Llama(LlamaConfig(**LLAMA, window=5)),
    "mixtral": lambda: Llama(LlamaConfig(**LLAMA, experts=ExpertsConfig(count=3))),
}


def build(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()
