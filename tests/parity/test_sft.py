"""Supervised fine-tuning, against trl."""

import pytest
import torch

from llmlib.data.conversations import ConversationMixture
from llmlib.interop import save_pretrained
from llmlib.models import Llama, LlamaConfig
from llmlib.post_training import ChatBatches, pack_chats
from llmlib.tokenizers import BPETokenizer, ChatTemplate
from llmlib.training import TrainConfig, Trainer

MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
STEPS, BATCH = 6, 4
LR = 3e-3


@pytest.fixture(scope="module")
def conversations():
    shares = {"question": 0.3, "arithmetic": 0.4, "tools": 0.3}
    return ConversationMixture(shares, conversations=STEPS * BATCH).messages(0)


@pytest.fixture(scope="module")
def folder(conversations, tmp_path_factory):
    texts = [turn["content"] for turns in conversations for turn in turns]
    tokenizer = BPETokenizer.train(texts, 500, special_tokens=MARKS, pattern="qwen2")
    torch.manual_seed(0)
    sizes = {"dim": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 64, "context_length": 500}
    model = Llama(LlamaConfig(vocab_size=tokenizer.vocab_size, **sizes))
    folder = tmp_path_factory.mktemp("sft")
    end = tokenizer.special_tokens["<|end|>"]
    ids = {"eos_token_id": end, "pad_token_id": end}
    save_pretrained(model, tokenizer, folder, chat_template=ChatTemplate(), **ids)
    return folder


@pytest.fixture(scope="module")
def peer(folder, conversations):
    """The trainer of trl after its run, and the batches that it learned from."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    seen = []

    class Watched(SFTTrainer):
        def compute_loss(self, model, inputs, *args, **options):
            seen.append({name: t.clone() for name, t in inputs.items() if torch.is_tensor(t)})
            return super().compute_loss(model, inputs, *args, **options)

        def _get_train_sampler(self, *_args, **_options):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    options = SFTConfig(
        output_dir=str(folder / "trl"),
        assistant_only_loss=True,
        max_length=None,
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=LR,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        logging_steps=1,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = Watched(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        args=options,
        train_dataset=Dataset.from_list([{"messages": turns} for turns in conversations]),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    return trainer, seen


@pytest.fixture(scope="module")
def ours(folder):
    from llmlib.interop import load_pretrained

    return load_pretrained(folder)


@pytest.mark.parity(
    component="llmlib.post_training.pack_chats",
    peer="trl.SFTTrainer, assistant_only_loss",
    compared="which tokens are learned",
    tolerance="equal",
)
def test_what_is_learned(peer, ours, conversations):
    _, seen = peer
    _, tokenizer = ours
    assert len(seen) == STEPS
    for step, batch in enumerate(seen):
        chosen = conversations[step * BATCH : (step + 1) * BATCH]
        for turns, ids, labels in zip(chosen, batch["input_ids"], batch["labels"], strict=True):
            chat = ChatTemplate().encode(tokenizer, turns)
            assert ids[: len(chat.ids)].tolist() == chat.ids
            wanted = [i if k else -100 for i, k in zip(chat.ids, chat.learned, strict=True)]
            assert labels[: len(chat.ids)].tolist() == wanted
            assert (labels[len(chat.ids) :] == -100).all()
            # Packed by us, the targets are the labels moved by one place.
            packed = pack_chats([chat], len(chat.ids))
            assert packed.targets[0, :-1].tolist() == wanted[1:]


@pytest.mark.parity(
    component="llmlib.post_training.ChatBatches with llmlib.training.Trainer",
    peer="trl.SFTTrainer, assistant_only_loss",
    compared="loss of each step, weights after the last",
    tolerance="1e-4 relative, 1e-4 absolute",
)
def test_a_whole_run(peer, ours, conversations):
    trainer, _ = peer
    model, tokenizer = ours
    source = ChatBatches(
        lambda number: conversations[number * BATCH : (number + 1) * BATCH], tokenizer, length=500
    )
    config = TrainConfig(
        steps=STEPS, max_lr=LR, min_lr=LR, weight_decay=0.0, betas=(0.9, 0.95), clip_norm=1.0
    )
    losses = Trainer(model, config, source).fit().column("loss")
    theirs = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses == pytest.approx(theirs, rel=1e-4)
    assert losses[-1] < losses[0] - 0.1
    weights = dict(trainer.model.named_parameters())
    torch.testing.assert_close(
        model.token_embedding.weight, weights["model.embed_tokens.weight"], rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        model.blocks[-1].feedforward.down_proj.weight,
        weights["model.layers.1.mlp.down_proj.weight"],
        rtol=1e-4,
        atol=1e-4,
    )
