"""A check's HTML page in headless Chromium: it opens without a fault, says its findings, and axe finds nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import Watched
from sample import ATTACKS, hostile_report

from analyzer.architecture.network import PRESETS
from analyzer.budget.outputs import write
from analyzer.budget.verdict import Budgeted, Finding, ModelVerdict, Payer, Verdict
from analyzer.reading import family

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def grown() -> Verdict:
    before, after = family.record(PRESETS["densenet121"], 1), family.record(PRESETS["article"], 1)
    finding = Finding(
        kind="excess",
        level="error",
        model="article",
        what="params are above the limit",
        fix="make denseblock4 narrower",
        figure="params",
        value=after.params,
        limit=before.params,
        base=before.params,
        changes=(Payer(path="features.denseblock4", type="Block", before=1, after=2),),
    )
    figures = (Budgeted(figure="params", value=after.params, base=before.params, limit=before.params),)
    model = ModelVerdict(name="article", target="article", figures=figures, record=after, before=before)
    return Verdict(models=(model,), findings=(finding,), baseline="analyzer.lock", configuration="pyproject.toml")


def attacked() -> Verdict:
    report = hostile_report()
    findings = tuple(
        Finding(
            kind="growth", level="error", model=text, what=text, fix=text, where=text, figure=text, group=text,
            message=text, file=text, changes=(Payer(path=text, type=text, before=1, after=2),),
        )
        for text in ATTACKS
    )  # fmt: skip
    figures = tuple(Budgeted(figure=text, value=2, base=1, limit=1, group=text) for text in ATTACKS)
    model = ModelVerdict(
        name=ATTACKS[0], target=ATTACKS[1], figures=figures, record=report.subject, before=report.baseline
    )
    return Verdict(models=(model,), findings=findings, baseline=ATTACKS[2], configuration=ATTACKS[3], command=ATTACKS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("verdict", [grown, attacked])
def test_the_page_has_no_fault(browser: Any, tmp_path: Path, verdict: Any, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    write(verdict(), "html", str(tmp_path / "budget.html"))
    watched = Watched(browser, tmp_path / "budget.html", color_scheme=scheme).ready()
    found = Axe().run(watched.page).response["violations"]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:3]) for v in found] == []
    assert watched.page.locator("#check li").count() == len(verdict().findings)
    assert watched.page.locator("#check").is_visible()
    watched.close()
    assert watched.faults == []
