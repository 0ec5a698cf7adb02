"""Direct preference optimisation and its relatives, against trl."""

import copy
import functools
import types

import pytest
import torch

from llmlib.data import preference_pairs
from llmlib.interop import load_pretrained, save_pretrained
from llmlib.models import Llama, LlamaConfig
from llmlib.post_training import DPOLoss, dpo_loss, ipo_loss, pair_batch, simpo_loss
from llmlib.tokenizers import BPETokenizer, ChatTemplate
from llmlib.training import TrainConfig, Trainer

MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
STEPS, SIZE, LR, BETA = 4, 4, 3e-3, 0.2
PAIRS = list(preference_pairs(STEPS * SIZE, seed=3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    texts = [text for pair in PAIRS for text in (pair.instruction.prompt, pair.chosen)]
    tokenizer = BPETokenizer.train(texts, 400, special_tokens=MARKS, pattern="qwen2")
    torch.manual_seed(0)
    sizes = {"dim": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 64, "context_length": 512}
    model = Llama(LlamaConfig(vocab_size=tokenizer.vocab_size, **sizes))
    folder = tmp_path_factory.mktemp("dpo")
    end = tokenizer.special_tokens["<|end|>"]
    ids = {"eos_token_id": end, "pad_token_id": end}
    save_pretrained(model, tokenizer, folder, chat_template=ChatTemplate(), **ids)
    return folder


@pytest.fixture(scope="module")
def peer(folder):
    """The trainer of trl after its run, and the batches that it learned from."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    seen = []

    class Watched(DPOTrainer):
        def compute_loss(self, model, inputs, *args, **options):
            seen.append({name: t.clone() for name, t in inputs.items() if torch.is_tensor(t)})
            return super().compute_loss(model, inputs, *args, **options)

        def _get_train_sampler(self, *_args, **_options):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    options = DPOConfig(
        output_dir=str(folder / "trl"),
        beta=BETA,
        max_length=None,
        max_steps=STEPS,
        per_device_train_batch_size=SIZE,
        learning_rate=LR,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        logging_steps=1,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    rows = [
        {
            "prompt": [{"role": "user", "content": pair.instruction.prompt}],
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in PAIRS
    ]
    trainer = Watched(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=options,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    return trainer, seen[:STEPS]


class Source:
    """The pairs in the order in which trl reads them."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def batch(self, number):
        return pair_batch(self.tokenizer, PAIRS[number * SIZE : (number + 1) * SIZE])


@pytest.mark.parity(
    component="llmlib.post_training.pair_batch",
    peer="trl.DPOTrainer",
    compared="tokens, and which of them count",
    tolerance="equal",
)
def test_what_is_learned(peer, folder):
    _, seen = peer
    _, tokenizer = load_pretrained(folder)
    assert len(seen) == STEPS
    for number, theirs in enumerate(seen):
        ours = Source(tokenizer).batch(number).joined
        assert torch.equal(ours.mask, theirs["attention_mask"].bool())
        assert torch.equal(ours.ids[ours.mask], theirs["input_ids"][ours.mask])
        counted = theirs["completion_mask"].bool()
        assert torch.equal(ours.targets[:, :-1] != -100, counted[:, 1:])


@pytest.mark.parity(
    component="llmlib.post_training.DPOLoss with llmlib.training.Trainer",
    peer="trl.DPOTrainer",
    compared="loss, margin and log-probabilities of each step, weights after the last",
    tolerance="1e-4 relative, 1e-4 absolute",
)
def test_a_whole_run(peer, folder):
    trainer, _ = peer
    model, tokenizer = load_pretrained(folder)
    config = TrainConfig(
        steps=STEPS, max_lr=LR, min_lr=LR, weight_decay=0.0, betas=(0.9, 0.95), clip_norm=1.0
    )
    make = functools.partial(DPOLoss, reference=copy.deepcopy(model), beta=BETA)
    history = Trainer(model, config, Source(tokenizer), loss=make).fit()
    theirs = [row for row in trainer.state.log_history if "loss" in row]
    for name, other in (
        ("loss", "loss"),
        ("margin", "rewards/margins"),
        ("chosen_logp", "logps/chosen"),
        ("rejected_logp", "logps/rejected"),
    ):
        expected = [row[other] for row in theirs]
        assert history.column(name) == pytest.approx(expected, rel=1e-4, abs=1e-4), name
    # A tie, as all pairs are at the start, counts half here and not at all there.
    right = [row["rewards/accuracies"] for row in theirs]
    assert history.column("accuracy")[1:] == pytest.approx(right[1:])
    assert abs(history.column("margin")[-1]) > 0.01
    weights = dict(trainer.model.named_parameters())
    for ours, name in (
        (model.token_embedding, "model.embed_tokens"),
        (model.blocks[-1].feedforward.down_proj, "model.layers.1.mlp.down_proj"),
    ):
        torch.testing.assert_close(ours.weight, weights[f"{name}.weight"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "objective", "per_token"),
    [
        pytest.param(
            kind,
            objective,
            per_token,
            marks=pytest.mark.parity(
                component=f"llmlib.post_training.{component}",
                peer=f"trl.DPOTrainer, {kind}",
                compared="loss and gradient",
            ),
        )
        for kind, objective, per_token, component in (
            ("sigmoid", dpo_loss, False, "dpo_loss"),
            ("sigmoid_norm", dpo_loss, True, "length_normalized_dpo_loss"),
            ("ipo", ipo_loss, True, "ipo_loss"),
        )
    ],
)
def test_losses(peer, folder, tmp_path, monkeypatch, kind, objective, per_token):
    trainer, seen = peer
    trainer.model.save_pretrained(tmp_path)  # after its run: no longer the reference
    policy, _ = load_pretrained(tmp_path)
    reference, tokenizer = load_pretrained(folder)
    monkeypatch.setattr(trainer, "loss_types", [kind])
    trainer.model.zero_grad()
    theirs = trainer.compute_loss(trainer.model, seen[-1])
    theirs.backward()
    loss = DPOLoss(policy, reference=reference, beta=BETA, objective=objective, per_token=per_token)
    ours, _ = loss(Source(tokenizer).batch(STEPS - 1))
    ours.backward()
    torch.testing.assert_close(ours, theirs.detach())
    weights = dict(trainer.model.named_parameters())
    for layer, name in (
        (policy.token_embedding, "model.embed_tokens"),
        (policy.blocks[0].feedforward.down_proj, "model.layers.0.mlp.down_proj"),
    ):
        grad = weights[f"{name}.weight"].grad
        assert grad.abs().max() > 0
        torch.testing.assert_close(layer.weight.grad, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parity(
    component="llmlib.post_training.simpo_loss",
    peer="trl.experimental.cpo.CPOTrainer, simpo",
    compared="loss and gradient",
)
def test_simpo():
    from trl.experimental.cpo import CPOTrainer

    torch.manual_seed(0)
    logps = (-30 * torch.rand(2, 5, dtype=torch.float64)).requires_grad_()
    lengths = torch.randint(1, 20, (2, 5))
    host = types.SimpleNamespace(
        alpha=0.0,
        beta=BETA,
        simpo_gamma=0.5,
        label_smoothing=0.0,
        loss_type="simpo",
        accelerator=types.SimpleNamespace(device="cpu"),
    )
    theirs = CPOTrainer.cpo_loss(host, *(logps / lengths))[0].mean()
    ours = simpo_loss(*logps, *lengths, BETA, 0.5)
    torch.testing.assert_close(ours, theirs)
    (one,) = torch.autograd.grad(ours, logps)
    (two,) = torch.autograd.grad(theirs, logps)
    torch.testing.assert_close(one, two)
