"""Any nn.Module -> its Record: exact counts from every operator that it runs, traced on the meta device.

- `macs` and `conv_activations` are of a forward in evaluation mode, as published figures are.
- `saved_bytes` is of a forward in training mode; `training_macs` of that forward and its backward pass. One in
  training mode tells all figures where nobody goes by the mode (modes.py).
- `conv_activations` are the outputs of layers: convolutions of data, and matrix products of data with a weight. A
  weight is a tensor that the model holds (parameter, buffer, attribute), or is computed from such and no input; so
  products that make a weight are no layers, though they are in `macs`.

The model is never run: a copy is, and nothing of the original is read but shapes (its values where a forward needs
them). Hooks on the model are part of its forward and run on the copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from torch import nn

from analyzer.errors import CountError
from analyzer.reading.work import of_a_sample
from analyzer.records import Input, LayerRow, Record, Remark, RemarkKind, Uncounted
from analyzer.tracing.attribution import ModuleTally, sizes, tensors_in
from analyzer.tracing.parameters import count_parameters
from analyzer.tracing.passes import Pass
from analyzer.tracing.randomness import PASSES, varies
from analyzer.tracing.room import AS_IT_IS, OnCpu
from analyzer.tracing.running import Ladder, untouched


def count_module(
    model: nn.Module, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, *, name: str,
    backward: bool = False, strict: bool = False, on_cpu: OnCpu = AS_IT_IS, follows_work: bool = False,
) -> Record:  # fmt: skip
    """The figures of a model for the given inputs (tensors on any device, meta included), in total and per module.

    With `backward`, `training_macs` too. `on_cpu` says how it runs where its forward turns out to read values.
    `follows_work` adds the `work` that a device's time follows. `saved_bytes` is None, with a note, where the model
    can't run in training mode. Raises CountError where the forward fails or has no room on CPU, a lazy module has no
    shape yet, or (`strict`) an operator has no formula.
    """
    base = count_parameters(model, name=name)
    with untouched():
        ladder = Ladder(model, (tuple(args), dict(kwargs or {})), on_cpu)
        ladder.follows_work = follows_work
        done = ladder.in_training(backward=backward)
        forward = done if done is not None and done.modeless else ladder.run(training=False)
        on_the_way = [*ladder.notes, *_varying(ladder, forward, training=False)]
        training, notes = _training(ladder, forward, None if ladder.notes else done, backward)
        if ladder.notes != on_the_way[: len(ladder.notes)]:
            on_the_way += [_remark("one-path", f"in training mode: {note.text}") for note in ladder.notes]
    uncounted = _uncounted(forward, training if backward else None, strict)
    inputs, images = _inputs(args, kwargs or {})
    return msgspec.structs.replace(
        base,
        input=inputs[0].shape if inputs else None,
        inputs=inputs,
        batch=images,
        macs=forward.macs,
        flops=2 * forward.macs,
        conv_activations=forward.conv_activations,
        depth=forward.depth,
        training_macs=training.macs + training.backward_macs if backward and training else None,
        saved_bytes=None if training is None else training.saved_bytes,
        layers=tuple(_rows(base, ladder, forward, training)),
        work=of_a_sample(forward.work, images) if follows_work else None,
        uncounted=uncounted,
        remarks=(*on_the_way, *notes, *base.remarks[1:]),
    )


def _training(ladder: Ladder, forward: Pass, done: Pass | None, backward: bool) -> tuple[Pass | None, list[Remark]]:
    """The pass in training mode (`done`, where it is), None where there is none; and what is to be said of both."""
    notes = [_remark("unseen", note) for note in forward.notes]
    notes += [_remark("convention", f"by convention: {convention}") for convention in forward.conventions]
    if forward.unregistered:
        text = (
            f"{len(forward.unregistered):,} parameters ({sum(forward.unregistered):,} elements) are not registered: "
            "optimizers and state_dict miss them, and params leaves them out"
        )
        notes.append(_remark("unregistered", text, "params"))
    try:
        training = done or ladder.run(training=True, backward=backward)
    except CountError as error:
        if backward:
            raise
        return None, [*notes, _remark("untrainable", f"no saved_bytes: {error}", "saved_bytes")]
    notes += _varying(ladder, training, backward)
    if training.macs != forward.macs:
        text = f"macs are of a forward in evaluation mode; one in training mode has {training.macs:,}"
        notes.append(_remark("mode", text, "macs"))
    more = [c for c in training.conventions if backward and c not in forward.conventions]
    notes += [_remark("convention", f"by convention: {convention}") for convention in more]
    if training.wrote_out_attention:
        text = "saved_bytes are of attention as its products; a fused kernel on a GPU keeps less"
        notes.append(_remark("unfused", text, "saved_bytes"))
    if any(issubclass(kind, nn.RNNBase) for kind in ladder.types.values()):
        text = "saved_bytes are of recurrent layers step by step; a fused kernel keeps what it needs instead"
        notes.append(_remark("unfused", text, "saved_bytes"))
    return training, notes


def _remark(kind: RemarkKind, text: str, figure: str | None = None) -> Remark:
    return Remark(kind=kind, text=text, figure=figure)


def _varying(ladder: Ladder, first: Pass, backward: bool = False, *, training: bool = True) -> list[Remark]:
    """What is to be said of figures that random numbers in the control flow change, by passes under other seeds."""
    if not first.chose:
        return []
    passes = [first] + [ladder.run(training=training, backward=backward, seed=n) for n in range(1, PASSES)]
    if training:
        found = varies("saved_bytes", [p.saved_bytes for p in passes])
        name = "training_macs" if backward else "macs in training mode"
        return found + varies(name, [p.macs + p.backward_macs for p in passes])
    return [
        *varies("macs", [p.macs for p in passes]),
        *varies("conv_activations", [p.conv_activations for p in passes]),
        *varies("depth", [p.depth for p in passes]),
    ]


def _uncounted(forward: Pass, training: Pass | None, strict: bool) -> tuple[Uncounted, ...]:
    calls = {**(training.uncounted if training else {}), **forward.uncounted}
    found = tuple(Uncounted(operator=op, module=path, calls=n) for (path, op), n in sorted(calls.items()))
    if strict and found:
        raise _not_fully(found)
    return found


def _not_fully(uncounted: Sequence[Uncounted]) -> CountError:
    first = uncounted[0]
    names = ", ".join(dict.fromkeys(entry.operator for entry in uncounted))
    return CountError(
        f"operators without a formula: {names}",
        where=first.module or "the root",
        fix="leave out --strict to see the figures of all others",
    )


def _rows(base: Record, ladder: Ladder, forward: Pass, training: Pass | None) -> list[LayerRow]:
    """Modules in the order in which they first ran an operator, then those that own parameters and ran none."""
    params = {row.path: row.params for row in base.layers or ()}
    order = dict.fromkeys([*(training.rows if training else ()), *forward.rows])
    order.update(dict.fromkeys(path for path, count in params.items() if count))
    outputs = {**(training.outputs if training else {}), **forward.outputs}
    nothing = ModuleTally()
    return [
        LayerRow(
            path=path,
            type=ladder.types[path].__name__,
            output=outputs.get(path),
            params=params.get(path, 0),
            macs=forward.rows.get(path, nothing).macs,
            conv_activations=forward.rows.get(path, nothing).conv_activations,
            saved_bytes=None if training is None else training.rows.get(path, nothing).saved_bytes,
        )
        for path in order
    ]


def _inputs(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Input, ...], int]:
    """The inputs, and how many samples the first is of."""
    given = [(None, value) for value in args] + list(kwargs.items())
    found = tuple(
        Input(shape=sizes(leaf), dtype=str(leaf.dtype).removeprefix("torch."), name=name)
        for name, value in given
        for leaf in tensors_in(value)
    )
    return found, found[0].shape[0] if found and found[0].shape else 1
