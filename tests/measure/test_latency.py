"""The latency predictor: its fit by hand and on made-up devices, arrays against scalars, profiles that are refused."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from analyzer.architecture.network import trace
from analyzer.architecture.variant import Variant
from analyzer.errors import MeasureError, UsageError
from analyzer.measuring import calibration
from analyzer.measuring.calibration import (
    POOLED,
    PROCESSES,
    calibrate,
    calibration_variants,
    features,
    pooled_operator,
    runnable,
    tabled,
)
from analyzer.measuring.fitting import fit, left_out, mean_error, spearman
from analyzer.measuring.job import Operator, OperatorSurvey, Survey, Times
from analyzer.reading.family import columns_of, record, records
from analyzer.reading.latency import Profile
from analyzer.reading.profiles import read_profile, write_profile
from analyzer.reading.work import kinds_of, operators, work

LAW = np.array([3e-12, 9e-12, 0.0, 4e-11, 1.5e-9, 7e-5])
"""A made-up device's seconds per unit of each pooled part of work."""


class Device:
    """Answers surveys by the law, each time made longer by noise, and moves its clock."""

    def __init__(self, noise: float = 0.0, seconds: float = 1.0) -> None:
        self.random, self.noise, self.seconds = np.random.default_rng(0), noise, seconds
        self.now, self.surveys = 0.0, 0

    def __call__(self, asked: Survey | OperatorSurvey) -> tuple[int, str]:
        self.now += self.seconds
        self.surveys += 1
        if isinstance(asked, Survey):
            rows = [features(s.variant, asked.batch) for s in asked.subjects]
        else:
            rows = [operator_works(asked.batch)[operator] for operator in asked.operators]
        times = [
            tuple(float(row @ LAW * (1 + self.random.exponential(self.noise))) for _ in range(asked.rounds))
            for row in np.array(rows)
        ]
        return 0, msgspec.json.encode(Times(seconds=tuple(times), threads=2)).decode()

    @staticmethod
    def starts(variant: Variant, batch: int) -> float:
        return float(features(variant, batch)[-1] * LAW[-1])

    def calibrated(self, **options: Any) -> Profile:
        return calibrate("cpu", worker=self, clock=lambda: self.now, **options)


@functools.cache
def operator_works(batch: int) -> dict[Operator, list[float]]:
    """The work of every operator of the calibration variants, as it is asked for."""
    return {
        runnable(op): pooled_operator(each, batch)
        for variant in calibration_variants()
        for op, each in operators(trace(variant))
    }


def test_a_fit_to_starts_of_kernels_says_so_of_every_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a fast GPU at a small batch: what is fitted is how fast its host starts kernels."""
    usual = quiet().predict_variant(Variant(block_config=(2, 2), image=128, classes=10))
    assert not any("starts of kernels" in word for word in usual.outside)
    monkeypatch.setitem(globals(), "LAW", LAW * [0.01, 0.01, 0.0, 0.01, 0.01, 1.0])
    profile = Device().calibrated()
    shares = [Device.starts(sample.variant, profile.batch) / sample.measured_s for sample in profile.samples]
    assert profile.starts == pytest.approx(np.median(shares), rel=0.01)
    write_profile(profile, tmp_path / "fast.json")
    found = read_profile(tmp_path / "fast.json").predict_variant(Variant(block_config=(2, 2), image=128, classes=10))
    assert f"starts of kernels are {100 * profile.starts:.0f} % of the times that were fitted" in found.outside


def test_a_gpu_is_calibrated_at_a_batch_that_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def worker(survey: Survey | OperatorSurvey) -> tuple[int, str]:
        asked.append(survey.batch)
        return 0, msgspec.json.encode(Times(error="seen")).decode()

    monkeypatch.setattr(calibration, "pick_device", torch.device)
    for device in ("cpu", "cuda"):
        with pytest.raises(MeasureError, match="seen"):
            calibrate(device, worker=worker)
    assert asked == [8, 256]


@functools.cache
def quiet(per_operator: bool = False) -> Profile:
    return Device().calibrated(per_operator=per_operator)


def test_work_by_hand() -> None:
    """A stem of 12 channels at 8 px: 3x3 conv without stride; one layer of growth 8; BN, ReLU, pool, classifier."""
    net = trace(Variant(block="basic", block_config=(1,), growth=8, init=12, stem="small", classes=3, image=8))
    named = [(kind, *pooled_operator(each, 2)) for op, each in operators(net) for kind, _ in kinds_of(op)]
    conv0, norm1, relu1, conv1 = named[:4]
    assert POOLED == ("macs", "uneven", "moved", "made", "compared", "calls")
    stem = 2 * 64 * 27 * 12
    assert conv0 == ("image convolution", stem, stem, 2 * 64 * 15 + 27 * 12, 2 * 64 * 12, 0, 1)
    assert norm1 == ("norm", 0, 0, 2 * 2 * 64 * 12, 2 * 64 * 12, 0, 1)
    assert relu1 == ("activation", 0, 0, 2 * 2 * 64 * 12, 0, 0, 1)  # in place
    assert conv1[:3] == ("larger convolution", 2 * 64 * 9 * 12 * 8, 2 * 64 * 9 * 12 * 8)
    even = work(trace(Variant(block="basic", block_config=(1,), growth=8, init=16, classes=3, image=64)))
    assert not any(value for name, value in even.items() if name.endswith(" uneven"))  # the image's channels aside
    assert even["pool compared"] == 9 * 16 * 16 * 16
    assert even["product macs"] == even["product weights"] == 24 * 3


def test_a_fit_finds_the_law_that_made_the_times() -> None:
    rows = [features(variant, 8) for variant in calibration_variants()]
    assert fit(rows, np.array(rows) @ LAW) == pytest.approx(LAW, rel=1e-6, abs=1e-18)


def test_coefficients_are_never_negative() -> None:
    rows = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    found = fit(rows.tolist(), [3.0, 2.0, 1.0])
    assert (found >= 0).all()
    assert found[1] > 0


def test_what_no_sample_has_costs_nothing() -> None:
    """A factor that is 0 in every row had a coefficient such as 1e284 where rounding made that fit the better."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        rows = random.uniform(1e3, 1e9, (12, 6))
        rows[:, [1, 4]] = 0.0
        found = fit(rows.tolist(), rows @ LAW * random.uniform(1.0, 1.1, 12))
        assert found[[1, 4]].tolist() == [0.0, 0.0]
        assert (found < 1).all()


def test_left_out_does_not_see_what_it_predicts() -> None:
    rows = [[float(i)] for i in (1, 2, 3, 4)]
    assert left_out(rows, [1.0, 2.0, 3.0, 40.0])[3] == pytest.approx(4.0)


def test_spearman_and_mean_error_by_hand() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert mean_error(np.array([1.1, 1.8]), [1.0, 2.0]) == pytest.approx(0.1)


@pytest.mark.parametrize("per_operator", [False, True])
def test_a_quiet_device_is_predicted_and_a_noisy_one_says_its_error(per_operator: bool) -> None:
    profile = quiet(per_operator)
    # A table's ReLU is out of place, and the others of its size share its time.
    assert profile.mean_error < (0.05 if per_operator else 1e-6)
    assert profile.spearman > 0.99
    other = Variant(block="dense", block_config=(5, 2), growth=20, init=40, classes=10, image=160)
    expected = float(np.array(features(other, 8)) @ LAW)
    assert profile.latency_s(other) == pytest.approx(expected, rel=0.05 if per_operator else 1e-6)
    noisy = Device(noise=1.0).calibrated(per_operator=per_operator)
    assert noisy.mean_error > profile.mean_error
    assert all(sample.left_out_s > 0 for sample in noisy.samples)


def test_a_slow_machine_gets_fewer_processes() -> None:
    fast, slow = Device(seconds=5), Device(seconds=30)
    fast.calibrated()
    slow.calibrated()
    assert (fast.surveys, slow.surveys) == (PROCESSES, 2)


def test_a_process_that_fails_is_an_error_with_its_words() -> None:
    with pytest.raises(MeasureError, match="no memory"):
        calibrate("cpu", worker=lambda _: (0, msgspec.json.encode(Times(error="no memory")).decode()))
    with pytest.raises(MeasureError, match="ended with 1"):
        calibrate("cpu", worker=lambda _: (1, "the process ended with 1: x"))


@pytest.mark.parametrize("per_operator", [False, True])
def test_many_variants_are_predicted_as_each_alone(per_operator: bool) -> None:
    profile = Device(noise=0.1).calibrated(per_operator=per_operator)
    group = [
        Variant(block=block, block_config=(2, 3), growth=growth, init=init, image=96)
        for block in ("dense", "residual")
        for growth in (12, 15, 32)
        for init in (16, 30)
    ]
    for variant, row in zip(group, records(group, profile=profile), strict=True):
        assert row.predicted is not None
        assert row.predicted.latency_s == pytest.approx(profile.latency_s(variant))
        assert row.predicted == msgspec.structs.replace(
            record(variant, profile=profile).predicted, latency_s=row.predicted.latency_s,
            low_s=row.predicted.low_s, high_s=row.predicted.high_s,
        )  # fmt: skip
        assert row.predicted.mean_error == profile.mean_error
    together = profile.of_net(trace(columns_of(group[:6])))
    assert np.broadcast_to(together, 6) == pytest.approx([profile.latency_s(variant) for variant in group[:6]])


def test_a_table_adds_the_operators_up() -> None:
    net = trace(Variant(block="dense", block_config=(1,), growth=8, init=16, image=64))
    table = {"elementwise": (0.0,) * 5 + (1.0,), "1x1 convolution": (0.0,) * 5 + (10.0,)}
    convolutions, others, calls = tabled(net, 1, table)
    each = [op for op, _ in operators(net)]
    one = sum(type(op).__name__ == "Conv" and op.kernel == 1 for op in each)
    conv = sum(type(op).__name__ == "Conv" for op in each)
    assert (convolutions, others, calls) == (10 * one + (conv - one), len(each) - conv, len(each))


# -- profiles --------------------------------------------------------------------------------------------------


def test_a_profile_reads_back(tmp_path: Path) -> None:
    profile = quiet()
    write_profile(profile, tmp_path / "p.json")
    assert read_profile(tmp_path / "p.json") == profile
    assert profile.environment is not None
    assert (profile.environment.threads, profile.settings.precision) == (2, "float32")


@pytest.mark.parametrize("per_operator", [False, True])
def test_every_changed_digit_of_a_profile_is_noticed(per_operator: bool, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_profile(quiet(per_operator), path)
    text = path.read_text()
    places = [match.start() for match in re.finditer(r"\d", text)]
    for place in places[:: len(places) // 100]:
        changed = text[:place] + ("2" if text[place] == "1" else "1") + text[place + 1 :]
        if json.loads(changed) == json.loads(text):  # a digit beyond a float's own
            continue
        path.write_text(changed)
        with pytest.raises(UsageError, match="is damaged") as raised:
            read_profile(path)
        assert str(path) in raised.value.where


NEGATIVE, HUGE = -1e-12, 1e300
IMPOSSIBLE: list[dict[str, Any]] = [
    *({"coefficients": {"norm moved": value}} for value in (NEGATIVE, HUGE, 2.0, None, "1")), {"coefficients": {}},
    {"coefficients": {"norm moved": 0.0}}, {"attention": {}}, {"attention": {"norm moved": NEGATIVE}}, {"bands": {}},
    *({"bands": {"plain": {"low": low, "high": 1.1, "mean_error": 0.1, "rows": 3}}} for low in (0.0, -1.0, HUGE)),
    *({"batch": value} for value in (0, -8, 2**70, 1.5)), *({"mean_error": value} for value in (-0.1, HUGE)),
    *({"spearman": value} for value in (-1.5, 1.5)),
]  # fmt: skip


@pytest.mark.parametrize("change", IMPOSSIBLE, ids=str)
def test_a_profile_that_cannot_be_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    """Without a checksum, as of an earlier version, so that its values alone are judged."""
    data = msgspec.to_builtins(quiet())
    (tmp_path / "p.json").write_text(json.dumps(data))
    assert read_profile(tmp_path / "p.json") == quiet()
    (tmp_path / "p.json").write_text(json.dumps({**data, **change}))
    with pytest.raises(UsageError, match=r"is no profile|predicts no times"):
        read_profile(tmp_path / "p.json")


@pytest.mark.parametrize("content", [b'{"time": "\xf4"}', b"\xff\xfe", b"", b"[" * 100_000, b"null", b"[]"])
def test_a_profile_that_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(UsageError, match="is no profile"):
        read_profile(tmp_path / "p.json")


def test_a_file_that_is_no_profile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(UsageError, match="is no profile"):
        read_profile(tmp_path / "p.json")
    with pytest.raises(UsageError, match="can't be read"):
        read_profile(tmp_path / "none.json")
    profile = msgspec.structs.replace(quiet(), schema=99)
    write_profile(profile, tmp_path / "p.json")
    with pytest.raises(UsageError, match="schema 99"):
        read_profile(tmp_path / "p.json")
