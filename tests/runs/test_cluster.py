"""Plans for clusters, beside what others published of theirs."""

from __future__ import annotations

import json

import pytest

from chidu.errors import SettingError
from chidu.runs import Shape, cluster
from chidu.runs.cluster import DEVICES, find_device, llama_shape, plan_cluster, shape_of_params

LLAMA_1 = llama_shape(32_000, 2048, 4096, 32, 32, 32, 11_008)
LLAMA_2 = llama_shape(32_000, 4096, 4096, 32, 32, 32, 11_008)
LLAMA_3 = llama_shape(128_256, 8192, 4096, 32, 32, 8, 14_336)
GIB = 2**30


def test_shapes_are_those_of_llama() -> None:
    # The cards say 6.74 and 8.03 billion; ours has a norm a head more.
    assert LLAMA_2.params == pytest.approx(6_738_415_616, rel=1e-5)
    assert LLAMA_3.params == pytest.approx(8_030_261_248, rel=1e-5)
    assert shape_of_params(7e9, 32_000, 4096) == LLAMA_2
    assert shape_of_params(70e9, 32_000, 4096).params == pytest.approx(70e9, rel=0.04)
    with pytest.raises(SettingError, match="no run for a cluster"):
        shape_of_params(1e6, 32_000, 4096)


def test_states_are_those_of_zero_and_torchtitan() -> None:
    """ZeRO (1910.02054), table 1: 7.5B params over 64 devices, 1.88 GB each; torchtitan, 8B: 15.4 GiB less on 128."""
    assert cluster._state_bytes(shape_of_params(7.5e9, 32_000, 4096), "adamw") / 64 == pytest.approx(1.88e9, rel=0.05)
    eight, many = (cluster._state_bytes(LLAMA_3, "adamw") / devices / GIB for devices in (8, 128))
    assert eight - many == pytest.approx(82.4 - 67.0, rel=0.15)
    # Muon has one moment less for the matrices.
    saved = cluster._state_bytes(LLAMA_2, "adamw") - cluster._state_bytes(LLAMA_2, "muon")
    assert saved == 4 * (LLAMA_2.params_matmul - 32_000 * 4096)


def test_memory_with_selective_recomputing_lies_between_ours() -> None:
    """torchtitan, Llama 3.1 8B on 128 H100s, two sequences of 8,192 a device: 62.0 and 67.0 GiB."""
    kept, again = (
        cluster._plan(LLAMA_3, 1e12, DEVICES["h100"], 128, 256 * 8192, "adamw", None, 2, recompute).memory / GIB
        for recompute in (False, True)
    )
    assert again < 62.0
    assert 67.0 < kept < 2 * 67.0


@pytest.mark.parametrize(
    ("shape", "tokens", "devices", "batch", "hours"),
    [
        (LLAMA_1, 1e12, 256, 4 * 2**20, 82_432),  # 2302.13971, table 15
        (LLAMA_2, 2e12, 256, 4 * 2**20, 184_320),  # 2307.09288, table 2
        (LLAMA_2, 2e12, 128, 2**20, 2e12 / 3_700 / 3600),  # IBM and Meta: 3,700 tokens/s and device
    ],
)
def test_device_hours_are_those_that_others_needed(
    shape: Shape, tokens: float, devices: int, batch: int, hours: float
) -> None:
    plan = plan_cluster(shape, tokens, DEVICES["a100"], devices, batch_tokens=batch, optimiser="adamw")
    low, high = (each * devices for each in plan.hours)
    assert 0.95 * low < hours < 1.05 * high


def test_speed_is_that_of_torchtitan() -> None:
    plan = plan_cluster(LLAMA_3, 1e12, DEVICES["h100"], 128, batch_tokens=256 * 8192, optimiser="adamw")
    slow, fast = (plan.batch_tokens / plan.devices / seconds for seconds in reversed(plan.step))
    assert slow == pytest.approx(5_605, rel=0.05)
    assert fast == pytest.approx(6_514, rel=0.05)


def test_a_plan_says_what_is_needed() -> None:
    plan = plan_cluster(LLAMA_2, 2e12, DEVICES["a100"], 64, price=2.0)
    said = str(plan)
    assert "On 64 a100s of 80.0 GB" in said
    assert "6.74B params" in said
    assert "cost" in said
    assert "warning" not in said
    assert plan.memory < 72e9
    assert plan.micro_batches * plan.sequences_at_once * 64 * 4096 == plan.batch_tokens
    assert plan.money is not None
    assert plan.money[0] == pytest.approx(plan.hours[0] * 64 * 2)
    assert json.loads(json.dumps(plan.as_dict()))["steps"] == round(2e12 / plan.batch_tokens)


def test_what_does_not_fit_is_said_and_recomputing_is_the_way_out_before() -> None:
    assert "does not fit" in str(plan_cluster(shape_of_params(70e9, 32_000, 4096), 1e12, DEVICES["a100"], 8))
    long = llama_shape(32_000, 32_768, 4096, 32, 32, 32, 11_008)
    plan = plan_cluster(long, 1e12, DEVICES["a100"], 64)
    assert plan.recompute
    assert plan.memory < 72e9


def test_a_slow_network_is_the_limit() -> None:
    slow = cluster.replace(DEVICES["a100"], network=1e9)
    plan = plan_cluster(LLAMA_2, 1e12, slow, 64, batch_tokens=64 * 4096)
    assert plan.step[1] == plan.network
    assert "the network is the limit" in str(plan)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingError, match="shared out evenly to 3 devices"):
        plan_cluster(LLAMA_2, 1e12, DEVICES["a100"], 3)
    with pytest.raises(SettingError, match="utilisation is 40"):
        plan_cluster(LLAMA_2, 1e12, DEVICES["a100"], 64, utilisation=40.0)
    with pytest.raises(SettingError, match="no optimiser"):
        plan_cluster(LLAMA_2, 1e12, DEVICES["a100"], 64, optimiser="sgd")
    with pytest.raises(SettingError, match=r"no device 'a10' \(did you mean 'a100'"):
        find_device("a10")
