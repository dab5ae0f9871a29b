"""Memory of any module, predicted: what a training step and an inference of it need, by running it on meta."""

from __future__ import annotations

from typing import Any

import msgspec

from analyzer.distribution import torch_version
from analyzer.errors import CountError, UsageError
from analyzer.reading import peak
from analyzer.reading.peak import DEFAULT, Training
from analyzer.reading.prediction import MemoryPrediction, no_peaks, place, unproven
from analyzer.records import Record, Remark
from analyzer.tracing.lifetimes import module_peaks


def predict_module(model: Any, args: Any, kwargs: Any, record: Record, training: Training) -> MemoryPrediction:
    """Any other module's, by running it on meta: `record` has its counts for these inputs. Raises CountError."""
    if training.dtype != "float32" or training.checkpoint:  # autocast is torch's own here, as the optimizer is
        raise UsageError(
            "is for the family", where="--dtype, --checkpoint", fix="cast or wrap your own model in its factory"
        )
    peaks = module_peaks(model, args, kwargs, training)
    counts = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    return MemoryPrediction(
        target=record.target,
        batch=record.batch,
        training=msgspec.to_builtins(training),
        param_bytes=record.param_bytes or 0,
        buffer_bytes=record.buffer_bytes or 0,
        optimizer_bytes=int(sum(peak.state_sizes([*counts], training))),
        saved_bytes=record.saved_bytes if training.autocast == "none" else None,  # the record's is without it
        peak_training_bytes=int(peaks.training.bytes) if peaks.training else None,
        training_peak_at=place(peaks.training) if peaks.training else None,
        peak_inference_bytes=int(peaks.inference.bytes),
        inference_peak_at=place(peaks.inference),
        timeline=peaks.training.moments if peaks.training else None,
        notes=(*peaks.notes, *unproven(torch_version())),
    )


def with_peaks(record: Record, model: Any, args: Any, kwargs: Any) -> Record:
    """The record of a model of one's own with its peaks in the default training, or with a remark that says why not."""
    try:
        predicted = predict_module(model, args, kwargs, record, DEFAULT)
    except CountError as error:
        return record.remarked(no_peaks(error))
    return msgspec.structs.replace(
        record,
        peak_training_bytes=predicted.peak_training_bytes,
        peak_inference_bytes=predicted.peak_inference_bytes,
        remarks=(*record.remarks, *(Remark(kind="peak", text=note) for note in predicted.notes)),
    )
