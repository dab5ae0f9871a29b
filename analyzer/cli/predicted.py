"""Predicted times, told on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer import units
from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.figures import FIGURES
from analyzer.measurements import PredictedLatency
from analyzer.reading.latency import Profile

SPEED = (FIGURES["predicted_images_per_s"], FIGURES["predicted_image_ns"])
"""What tables of models show."""


def basis(profile: Profile) -> str:
    """On what, and how sure: `on rtx4090 (…) at batch 1,024: mean error 4.0 % on families left out of the fit`."""
    plain = profile.bands.get("plain")
    error = profile.mean_error if plain is None else plain.mean_error
    what = "plain convolutional networks whose family was" if profile.source else "variants that were"
    return (
        f"on {profile.name} ({profile.device_name}; {profile.settings}) at batch {profile.batch:,}: "
        f"mean error {100 * error:.1f} % on {what} left out of the fit"
    )


def show_predicted(predicted: PredictedLatency, format_: str) -> None:
    """The times of one model, each with its band."""
    headings = (f"on {predicted.on}", "predicted", "in 90 % of the cases that were left out")
    rows = list(_rows(predicted))
    if format_ == "md":
        text.show("\n" + text.markdown(headings, rows))
        return
    text.show("")
    text.show_table(headings, rows)


def say_basis(predicted: PredictedLatency) -> None:
    """What the times are of, and what the profile has not seen."""
    for each in (predicted, predicted.training):
        if each is not None:
            what = "training: " if each is predicted.training else ""
            error = f"mean error {100 * each.mean_error:.1f} % on networks of its kind that were left out of the fit"
            say(f"note: {what}predicted for {each.device_name} ({each.settings}), batch {each.batch:,}: {error}")
            for outside in each.outside:
                say(f"note: {what}outside of what the profile has seen: {outside}")


def _rows(predicted: PredictedLatency) -> Iterator[tuple[str, str, str]]:
    for word, each in (("", predicted), (", training step", predicted.training)):
        if each is None:
            continue
        low, high = each.low_s, each.high_s
        times = [seconds for seconds in (each.latency_s, low, high) if seconds]
        if len(times) < 3 or low is None or high is None:
            yield f"a batch of {each.batch:,}{word}", units.seconds(each.latency_s), "–"
            continue
        yield f"a batch of {each.batch:,}{word}", units.seconds(each.latency_s), _span(low, high, units.seconds)
        image, least, most = (1e9 * seconds / each.batch for seconds in times)
        yield f"an image{word}", units.nanoseconds(image), _span(least, most, units.nanoseconds)
        rate, slow, fast = (each.batch / seconds for seconds in (each.latency_s, high, low))
        yield f"images/s{word}", f"{rate:,.1f}", _span(slow, fast, lambda value: f"{value:,.1f}")


def _span(low: float, high: float, say_: object) -> str:
    assert callable(say_)
    return f"{say_(low)} to {say_(high)}"
