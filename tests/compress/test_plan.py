"""A plan in words, and a budget: what they mean, and what can't be meant."""

from __future__ import annotations

from fractions import Fraction

import pytest

import analyzer as an
from analyzer.compressing.budgets import towards
from analyzer.compressing.plan import DEFAULT, PlanStep, plan_of, written
from analyzer.errors import UsageError
from analyzer.limits import at_most


def test_a_plan_says_its_steps_in_order() -> None:
    assert plan_of(
        "prune l2 global 1/2, finetune 3, prune local bn, recalibrate, distill 2 features, scratch, int8"
    ) == (
        PlanStep("prune", ("l2", "global"), Fraction(1, 2)),
        PlanStep("finetune", epochs=3),
        PlanStep("prune", ("bn", "local")),
        PlanStep("recalibrate"),
        PlanStep("distill", ("features",), epochs=2),
        PlanStep("scratch"),
        PlanStep("int8"),
    )
    assert plan_of("prune") == plan_of(DEFAULT)
    assert plan_of(["svd 50%", "inherit article"]) == (
        PlanStep("svd", share=Fraction(1, 2)), PlanStep("inherit", target="article"),
    )  # fmt: skip


@pytest.mark.parametrize(
    "plan", ["prune l1 local 1/3, finetune 5", "distill 2 logits", "svd", "scratch 4", "inherit densenet121"]
)
def test_a_plan_is_written_as_it_is_read(plan: str) -> None:
    assert plan_of(written(plan_of(plan))) == plan_of(plan)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ("prun l2", "did you mean 'prune'"),
        ("prune l3 global", "knows no 'l3'"),
        ("prune globl", "did you mean 'global'"),
        ("prune l1 l2", "one thing twice"),
        ("prune l2 3/2", "no share of the way"),
        ("prune l2 0", "no share of the way"),
        ("finetune", "needs a number of epochs"),
        ("finetune 0", "out of range"),
        ("finetune five", "knows no 'five'"),
        ("recalibrate 3", "takes no such word"),
        ("distill 2 logit", "did you mean 'logits'"),
        ("inherit a b", "takes one network"),
        ("int8, prune", "put int8 last"),
        ("", "unknown step"),
        ("prune,,finetune 1", "unknown step"),
    ],
)
def test_words_that_mean_nothing_are_refused(plan: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        plan_of(plan)


def test_a_budgets_limits() -> None:
    budget = an.Budget(max_params="6.95M", max_bytes="27MiB")
    found = {limit.figure: limit.bound for limit in budget.limits(None)}
    assert found == {"params": 6_950_000, "param_bytes": 27 * 2**20}
    under = {limit.figure: limit.bound for limit in an.Budget(under="densenet121").limits(an.Variant(classes=2))}
    assert under["params"] == 7_978_856 - 998 * 1025
    assert set(under) == {"params", "macs", "saved_bytes"}
    latency = an.Budget(max_latency="2ms", on="rtx4090")
    assert [(limit.figure, limit.bound) for limit in latency.limits(None)] == [("predicted_image_ns", 2_000_000)]


@pytest.mark.parametrize("said", [{"max_latency": "2ms"}, {"on": "rtx4090"}])
def test_a_latency_is_of_a_device(said: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--on rtx4090"):
        an.Budget(**said)


@pytest.mark.parametrize(
    ("share", "bound"), [(Fraction(1), 40), (Fraction(1, 2), 70), (Fraction(1, 4), 85), (Fraction(1, 1000), 100)]
)
def test_a_share_of_the_way_is_from_what_there_is(share: Fraction, bound: int) -> None:
    (limit,) = towards(at_most({"params": 40}), [100], share)
    assert limit.bound == bound
    assert towards(at_most({"params": 40}), [30], share) == at_most({"params": 40})
