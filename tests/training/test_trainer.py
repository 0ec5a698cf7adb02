"""The loop: parts add up to the whole, a resumed run is the same run, slips are refused."""

import copy
import math

import pytest
import torch

from llmlib.models import GPT, GPTConfig, Llama, LlamaConfig
from llmlib.training import (
    Batch,
    CSVLog,
    DivergenceError,
    History,
    TrainConfig,
    Trainer,
    cosine_schedule,
    parameter_groups,
)

SIZES = {"vocab_size": 12, "context_length": 8, "dim": 16, "num_layers": 2, "num_heads": 2}
TEXT = torch.arange(400) % 12


def gpt(**options):
    torch.manual_seed(0)
    return GPT(GPTConfig(**SIZES, **options))


def losses(trainer):
    return trainer.fit().column("loss")


class Fixed:
    """The same batch for every number."""

    def __init__(self, batch):
        self.only = batch

    def batch(self, number):
        return self.only


def test_a_step_is_the_step_written_by_hand():
    model, config = gpt(), TrainConfig(steps=6, batch_size=4, warmup_steps=2, clip_norm=0.5)
    by_hand = copy.deepcopy(model)
    trainer = Trainer(model, config, TEXT)
    found = losses(trainer)
    optimizer = torch.optim.AdamW(parameter_groups(by_hand, 0.1), betas=(0.9, 0.95))
    expected = []
    for step in range(6):
        batch = trainer.train_data.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = cosine_schedule(
                step, max_lr=1e-3, min_lr=0.0, warmup_steps=2, total_steps=6
            )
        optimizer.zero_grad()
        loss = by_hand.loss(batch.ids, batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
        optimizer.step()
        expected.append(loss.item())
    assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(list(model.parameters()), list(by_hand.parameters()))
    assert trainer.history.column("tokens") == [4 * 8 * (i + 1) for i in range(6)]


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_add_up_to_the_whole_batch(weighted):
    torch.manual_seed(1)
    targets = torch.randint(0, 12, (8, 8))
    targets[torch.rand(8, 8) < 0.4] = -100
    targets[:2] = -100  # one part has nothing that counts
    weights = torch.rand(8, 8) if weighted else None
    data = Fixed(Batch(ids=torch.randint(0, 12, (8, 8)), targets=targets, weights=weights))
    whole = losses(Trainer(gpt(), TrainConfig(steps=5, max_lr=1e-2), data))
    parts = losses(Trainer(gpt(), TrainConfig(steps=5, max_lr=1e-2, accumulation=4), data))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_packed_documents_train_like_documents_alone():
    torch.manual_seed(3)
    row = torch.randint(0, 12, (1, 8))
    targets, apart = row.roll(-1, 1), torch.full((2, 8), -100)
    targets[0, [4, 7]] = -100  # the last token of each document
    apart[0, :4], apart[1, :2] = row[0, 1:5], row[0, 6:]
    alone = torch.zeros(2, 8, dtype=torch.int64)
    alone[0, :5], alone[1, :3] = row[0, :5], row[0, 5:]
    packed = Batch(ids=row, targets=targets, documents=torch.tensor([[0] * 5 + [1] * 3]))
    config = TrainConfig(steps=4, max_lr=1e-2)
    together = losses(Trainer(gpt(), config, Fixed(packed)))
    assert losses(Trainer(gpt(), config, Fixed(Batch(ids=alone, targets=apart)))) == pytest.approx(
        together, rel=1e-5
    )


def test_parts_must_be_equal():
    with pytest.raises(ValueError, match="accumulation=3"):
        Trainer(gpt(), TrainConfig(steps=1, batch_size=4, accumulation=3), TEXT).fit()


def test_recomputing_gives_the_same_losses():
    config = {"steps": 5, "batch_size": 4, "max_lr": 1e-2}
    plain = losses(Trainer(gpt(), TrainConfig(**config), TEXT))
    again = losses(Trainer(gpt(), TrainConfig(**config, recompute=True), TEXT))
    assert again == pytest.approx(plain, rel=1e-5)


def test_bfloat16_stays_near_float32():
    config = {"steps": 12, "batch_size": 4, "max_lr": 1e-2}
    full = losses(Trainer(gpt(), TrainConfig(**config), TEXT))
    model = gpt()
    half = losses(Trainer(model, TrainConfig(**config, precision="bfloat16"), TEXT))
    assert half == pytest.approx(full, rel=0.05)
    assert half != full
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    if not torch.cuda.is_available():
        auto = losses(Trainer(gpt(), TrainConfig(**config, precision="auto"), TEXT))
        assert auto == full


@pytest.mark.parametrize("cut", [1, 4, 7])
def test_a_resumed_run_is_the_same_run_bit_for_bit(tmp_path, cut):
    def make():
        torch.manual_seed(0)
        model = Llama(LlamaConfig(**SIZES, tie_embeddings=True, padding_id=0))
        model.blocks[0].feedforward = torch.nn.Sequential(
            model.blocks[0].feedforward, torch.nn.Dropout(0.2)
        )
        config = TrainConfig(steps=8, batch_size=4, max_lr=1e-2, eval_every=3, sample_every=3)
        return Trainer(
            model, config, TEXT, TEXT[:100], sample=lambda _: f"{torch.rand(1).item():.6f}"
        )

    whole = make()
    whole.fit()
    first = make()
    first.fit(until=cut)
    first.save(tmp_path)
    torch.manual_seed(99)
    second = make().resume(tmp_path)
    assert second.step == cut
    second.fit()
    assert second.step == 8
    assert second.history.rows == whole.history.rows
    assert all(
        torch.equal(one, two)
        for one, two in zip(whole.model.parameters(), second.model.parameters(), strict=True)
    )
    assert second.samples[-1] == whole.samples[-1]


def test_another_run_is_refused(tmp_path):
    trainer = Trainer(gpt(), TrainConfig(steps=2), TEXT)
    trainer.fit()
    trainer.save(tmp_path)
    with pytest.raises(ValueError, match=r"max_lr was 0.001, now 0.5"):
        Trainer(gpt(), TrainConfig(steps=2, max_lr=0.5), TEXT).resume(tmp_path)
    with pytest.raises(ValueError, match=r"seed was 0, now 1"):
        Trainer(gpt(), TrainConfig(steps=2), TEXT, seed=1).resume(tmp_path)
    narrow = GPT(GPTConfig(**(SIZES | {"dim": 8})))
    with pytest.raises(ValueError, match=r"another model.*token_embedding"):
        Trainer(narrow, TrainConfig(steps=2), TEXT).resume(tmp_path)
    one_layer = GPT(GPTConfig(**(SIZES | {"num_layers": 1})))
    with pytest.raises(ValueError, match=r"another model.*blocks\.1"):
        Trainer(one_layer, TrainConfig(steps=2), TEXT).resume(tmp_path)
    Trainer(gpt(), TrainConfig(steps=2, keep=5), TEXT).resume(tmp_path)  # changes no weight


def test_evaluation_counts_each_target_alike():
    model = gpt().eval()
    batch = Trainer(model, TrainConfig(steps=1), TEXT).train_data.batch(0)
    few = batch.targets.clone()
    few[:, 1:] = -100

    class Two:
        def batch(self, number):
            return Batch(ids=batch.ids, targets=(batch.targets, few)[number])

    config = TrainConfig(steps=1, eval_batches=2)
    found = Trainer(model, config, TEXT, Two()).evaluate()
    with torch.no_grad():
        all_, first = (model.loss(batch.ids, t).item() for t in (batch.targets, few))
    assert found == pytest.approx((8 * all_ + first) / 9, rel=1e-5)
    with pytest.raises(ValueError, match="eval_data"):
        Trainer(model, config, TEXT).evaluate()


def test_evaluation_and_samples_leave_the_run_as_it_is():
    quiet = losses(Trainer(gpt(dropout=0.2), TrainConfig(steps=6), TEXT))
    config = TrainConfig(steps=6, eval_every=2, sample_every=1)
    watched = Trainer(
        gpt(dropout=0.2), config, TEXT, TEXT, sample=lambda model: str(torch.rand(3).sum())
    )
    assert losses(watched) == quiet
    assert watched.history.steps("eval_loss") == [1, 3, 5]
    assert [step for step, _ in watched.samples] == [1, 2, 3, 4, 5, 6]


def test_a_run_that_diverges_stops_and_keeps_its_checkpoint(tmp_path):
    model = gpt()
    config = TrainConfig(steps=20, batch_size=4, max_lr=1e-3, save_every=1)
    trainer = Trainer(model, config, TEXT, folder=tmp_path)
    trainer.fit(until=3)
    with torch.no_grad():
        model.blocks[0].feedforward.up_proj.weight[0, 0] = math.nan
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(DivergenceError, match=r"step 3 .*nan.*lower max_lr.*checkpoint.*kept"):
        trainer.fit()
    for one, two in zip(before, model.parameters(), strict=True):
        assert torch.equal(one.nan_to_num(), two.nan_to_num())  # no update from a bad gradient
    fresh = Trainer(gpt(), config, TEXT, folder=tmp_path).resume(tmp_path)
    assert fresh.step == 3
    assert all(p.isfinite().all() for p in fresh.model.parameters())


def test_a_loss_that_explodes_stops_the_run():
    config = TrainConfig(steps=200, batch_size=4, max_lr=30.0, clip_norm=1e9, weight_decay=0.0)
    with pytest.raises(DivergenceError, match="learning rate 30"):
        Trainer(gpt(), config, TEXT).fit()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "0 tokens"),
        (TEXT + 1, r"ids run from 1 to 12, .* 0\.\.11"),
        (Fixed(Batch(ids=torch.zeros(0, 8).long(), targets=torch.zeros(0, 8).long())), "empty"),
        (
            Fixed(Batch(ids=torch.zeros(2, 9).long(), targets=torch.zeros(2, 9).long())),
            "9 tokens.*context_length=8",
        ),
        (
            Fixed(Batch(ids=torch.zeros(2, 8).long(), targets=torch.full((2, 8), 12))),
            "targets run from 12",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_before_the_first_step(data, named):
    model = gpt()
    before = copy.deepcopy(list(model.parameters()))
    with pytest.raises(ValueError, match=named):
        Trainer(model, TrainConfig(steps=1), data).fit()
    torch.testing.assert_close(list(model.parameters()), before)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"steps": 0}, "steps=0"),
        ({"steps": 5, "warmup_steps": 6}, "warmup_steps=6"),
        ({"steps": 5, "precision": "half"}, "precision='half'"),
        ({"steps": 5, "accumulation": 0}, "accumulation=0"),
        ({"steps": 5, "clip_norm": 0.0}, "clip_norm=0"),
    ],
)
def test_settings_that_cannot_be(settings, named):
    with pytest.raises(ValueError, match=named):
        TrainConfig(**settings)


@pytest.mark.parametrize("what", ["save_every", "sample_every"])
def test_a_setting_that_needs_an_argument(what):
    with pytest.raises(ValueError, match=f"{what}=2"):
        Trainer(gpt(), TrainConfig(steps=4, **{what: 2}), TEXT)


def test_the_csv_holds_the_history_also_after_a_resumed_run(tmp_path):
    def make():
        config = TrainConfig(steps=6, eval_every=2)
        log = CSVLog(tmp_path / "log.csv")
        return Trainer(gpt(), config, TEXT, TEXT, logs=[log])

    first = make()
    first.fit(until=3)
    first.save(tmp_path)
    first.fit(until=5)  # these rows are lost with the process
    second = make().resume(tmp_path)
    second.fit()
    read = History.load(tmp_path / "log.csv")
    assert read.column("step") == list(range(6))
    assert read.rows == second.history.rows
    second.history.save(tmp_path / "saved.csv")
    assert History.load(tmp_path / "saved.csv").rows == second.history.rows


def test_random_tokens_are_not_learned():
    torch.manual_seed(0)
    noise = torch.randint(0, 12, (40_000,))
    trainer = Trainer(gpt(), TrainConfig(steps=150, max_lr=3e-3), noise[:30_000], noise[30_000:])
    trainer.fit()
    assert trainer.evaluate() > math.log(12) - 0.01
