"""The settings say what the Trainer does."""

import json

import pytest

from llmlib.training import TrainConfig, deepspeed_config


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_batches_multiply_to_the_whole(world_size, accumulation):
    config = TrainConfig(steps=9, batch_size=16, accumulation=accumulation, clip_norm=0.7)
    settings = deepspeed_config(config, stage=3, world_size=world_size)
    rows = settings["train_micro_batch_size_per_gpu"]
    assert rows * settings["gradient_accumulation_steps"] * world_size == 16
    assert settings["train_batch_size"] == 16
    assert settings["gradient_accumulation_steps"] == accumulation
    assert settings["gradient_clipping"] == 0.7
    assert settings["zero_optimization"] == {"stage": 3}
    assert json.loads(json.dumps(settings)) == settings


def test_states_can_stay_with_the_processor():
    settings = deepspeed_config(TrainConfig(steps=9), stage=1, offload=True)
    assert settings["zero_optimization"] == {"stage": 1, "offload_optimizer": {"device": "cpu"}}
    assert settings["zero_force_ds_cpu_optimizer"] is False


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"world_size": 3}, "batch_size=16 .* 3 ranks .* multiple of 6"),
        ({"stage": 4}, "stage=4"),
        ({"stage": 0, "offload": True}, "offload=True"),
    ],
)
def test_what_cannot_be_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        deepspeed_config(TrainConfig(steps=9, accumulation=2), **options)
