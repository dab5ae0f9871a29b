"""Predicted times, told on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from analyzer.cli import text
from analyzer.cli.base import say
from analyzer.figures import FIGURES, PREDICTED
from analyzer.measurements import PredictedLatency
from analyzer.reading.latency import Profile
from analyzer.records import Record, standing_of

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


def show_predicted(record: Record, format_: str) -> None:
    """The times of one model, of a forward and of a step of training, each with its band."""
    predicted = record.predicted
    assert predicted is not None
    headings = (f"on {predicted.on}", "known", "time")
    rows = list(_rows(record, ""))
    if predicted.training is not None:
        rows += _rows(msgspec.structs.replace(record, predicted=predicted.training), ", training step")
    if format_ == "md":
        text.show("\n" + text.markdown(headings, rows))
        return
    text.show("")
    text.show_table(headings, rows, left=2)


def _rows(record: Record, word: str) -> Iterator[tuple[str, str, str]]:
    batch = f"a batch of {record.predicted.batch:,}" if record.predicted else ""
    for what, figure in zip((batch, "an image", "images/s"), PREDICTED, strict=True):
        yield f"{what}{word}", standing_of(record, figure), figure.bare(figure.of(record))


def say_basis(predicted: PredictedLatency) -> None:
    """What the times are of, and what the profile has not seen."""
    for each in (predicted, predicted.training):
        if each is not None:
            what = "training: " if each is predicted.training else ""
            error = f"mean error {100 * each.mean_error:.1f} % on networks of its kind that were left out of the fit"
            say(f"note: {what}predicted for {each.device_name} ({each.settings}), batch {each.batch:,}: {error}")
            for outside in each.outside:
                say(f"note: {what}outside of what the profile has seen: {outside}")
