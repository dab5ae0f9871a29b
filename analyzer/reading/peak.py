"""Net -> peak memory: the most bytes of tensors alive in a steady training step, and in an inference forward.

A training step is, after earlier ones have made the optimizer's state,

    optimizer.zero_grad()                                  # here, or after the forward
    logits = model(images)
    loss = cross_entropy(logits, targets)
    loss.backward()
    optimizer.step()

with images and targets alive throughout. Bytes are those of the tensors' storages, without what an allocator rounds
up or a kernel uses inside; torch's own optimizers, with what each form of them allocates (torch/optim/*.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from analyzer.architecture.facts import INDEX
from analyzer.errors import UsageError, did_you_mean
from analyzer.reading.exact import cost, norm_channels
from analyzer.reading.heap import ArrayHeap, Heap
from analyzer.reading.replay import Replay
from analyzer.reading.saved import require_trainable
from analyzer.reading.tally import Tally

if TYPE_CHECKING:
    from analyzer.architecture.dims import Dim
    from analyzer.architecture.net import Net
    from analyzer.reading.heap import HeapStorage, Moment

Dtype = Literal["float32", "bfloat16", "float16"]
Optimizer = Literal["sgd", "sgd_momentum", "adam", "adamw"]
Form = Literal["single", "foreach", "fused"]
ZeroGrad = Literal["before_forward", "after_forward"]
Autocast = Literal["none", "bfloat16", "float16"]

ITEMSIZE: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
STATES: dict[str, int] = {"sgd": 0, "sgd_momentum": 1, "adam": 2, "adamw": 2}
"""Tensors as large as a parameter that an optimizer keeps for each."""
STEP_BYTES = 4
"""Adam's step counter of one parameter: fp32, on the device in the fused form only (else on the CPU: not counted)."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a step trains. Raises UsageError on a value that is none of those verified.

    `dtype` is that of parameters and activations alike, but where `autocast` says another one (by the CPU's rules;
    CUDA's differ in the loss alone) with fp32 parameters and gradients: forward and loss are then under torch.autocast,
    the backward pass and the optimizer are not, and no loss is scaled. `form` is torch's `foreach` (CUDA's default),
    `fused` or neither. `weight_decay` says whether it is above 0; `accumulate` how many batches add to one step's
    gradients.
    `checkpoint` runs every layer (each DenseLayer, ResidualBlock, …) again in the backward pass, by
    torch.utils.checkpoint, in place of keeping its activations.
    """

    dtype: Dtype = "float32"
    optimizer: Optimizer = "adam"
    form: Form = "foreach"
    zero_grad: ZeroGrad = "before_forward"
    weight_decay: bool = False
    accumulate: int = 1
    checkpoint: bool = False
    autocast: Autocast = "none"

    def __post_init__(self) -> None:
        for name, choice in CHOICES.items():
            value = getattr(self, name)
            if value not in get_args(choice):
                raise UsageError(
                    f"no prediction is verified for {name} {value!r}",
                    where=name,
                    fix=did_you_mean(str(value), get_args(choice)),
                )
        if self.autocast != "none" and self.dtype != "float32":
            raise UsageError(
                f"no prediction is verified for autocast of a model in {self.dtype}",
                where="autocast",
                fix="use dtype float32 with it, or leave it out",
            )
        if self.accumulate < 1:
            raise UsageError(f"accumulates {self.accumulate} batches", where="accumulate", fix="use 1 or more")
        if self.accumulate > 1 and self.zero_grad == "after_forward":
            raise UsageError(
                "gradients zeroed after each forward can't accumulate", where="zero_grad", fix="use before_forward"
            )

    @property
    def low(self) -> int | None:
        """Bytes of an element of what convolutions compute with under autocast."""
        return None if self.autocast == "none" else ITEMSIZE[self.autocast]


CHOICES: dict[str, Any] = {
    "dtype": Dtype, "optimizer": Optimizer, "form": Form, "zero_grad": ZeroGrad, "autocast": Autocast,
}  # fmt: skip
"""The fields that are one of some words."""

DEFAULT = Training()


@dataclass(frozen=True)
class Peak:
    """The most bytes alive, the moments of the run where a timeline was asked for, MACs of one sample run again."""

    bytes: Dim
    moments: tuple[Moment, ...] = ()
    recomputed_macs: Dim = 0

    @property
    def at(self) -> Moment | None:
        """The first moment that reaches the peak."""
        return next((moment for moment in self.moments if moment.live_bytes == self.bytes), None)


def parameter_counts(net: Net) -> list[Dim]:
    """Elements of each parameter, in the order of `model.parameters()`."""
    return [count for _, op in net.ops() for count in net.parameters_of(op)]


def _counts(net: Net, training: Training) -> list[Dim]:
    """Elements of the parameters; in array form together, where nothing is made of one alone."""
    counts = parameter_counts(net)
    if not net.vector or training.form != "foreach" or training.zero_grad != "before_forward":
        return counts
    together = Tally()
    for count in counts:
        together.add(count)
    return [together.total]


def buffer_sizes(net: Net, itemsize: int) -> list[Dim]:
    """Bytes of BN's buffers: running mean and variance, and the step counter (int64); in array form together."""
    if net.vector:
        together, norms = norm_channels(net)
        return [2 * itemsize * together + INDEX * norms]
    channels = [normalised for _, op in net.ops() if (normalised := op.normalised) is not None]
    return [size for c in channels for size in (itemsize * c, itemsize * c, INDEX)]


def state_sizes(counts: list[Dim], training: Training) -> list[Dim]:
    """Bytes of the tensors that the optimizer keeps."""
    copies = STATES[training.optimizer]
    sizes = [ITEMSIZE[training.dtype] * count for count in counts for _ in range(copies)]
    if training.form == "fused" and training.optimizer in ("adam", "adamw"):
        sizes += [STEP_BYTES] * len(counts)
    return sizes


def _heap(net: Net, timeline: bool) -> Heap:
    return ArrayHeap() if net.vector else Heap(timeline=timeline)


def inference_peak(
    net: Net, batch: int, training: Training = DEFAULT, *, timeline: bool = False, heap: Heap | None = None
) -> Peak:
    """Of a forward in eval mode without gradients: parameters, buffers, images, activations.

    Of `training` its dtype and autocast count; autocast keeps a copy of each weight, once it was used, to the end.
    """
    heap = heap or _heap(net, timeline)
    itemsize = ITEMSIZE[training.dtype]
    fixed = heap.allocate_all([itemsize * count for count in _counts(net, training)] + buffer_sizes(net, itemsize))
    replay = Replay(net, heap, batch, itemsize, training=False, low=training.low)
    replay.forward(replay.image())
    del fixed
    return Peak(heap.peak, tuple(heap.moments or ()))


def training_peak(
    net: Net,
    batch: int,
    training: Training = DEFAULT,
    *,
    timeline: bool = False,
    accumulates_in_place: bool = True,
    heap: Heap | None = None,
) -> Peak:
    """Of a steady training step. In scalar form ArchitectureError where batch normalisation can't train."""
    if not net.vector:
        require_trainable(net, batch)
    heap = heap or _heap(net, timeline)
    itemsize = ITEMSIZE[training.dtype]
    counts = _counts(net, training)
    sizes = [itemsize * count for count in counts]
    fixed = _allocate_fixed(
        heap,
        weights=[*sizes, *buffer_sizes(net, itemsize)],
        optimizer=state_sizes(counts, training),
        saved=[INDEX * batch],
    )
    replay = Replay(
        net,
        heap,
        batch,
        itemsize,
        training=True,
        low=training.low,
        checkpoint=net.layer_kind if training.checkpoint else None,
        accumulates_in_place=accumulates_in_place,
    )
    _step(replay, training, sizes)
    del fixed
    return Peak(heap.peak, tuple(heap.moments or ()), sum(cost(op).macs for op in replay.recomputed))


def _allocate_fixed(heap: Heap, **sizes: list[Dim]) -> list[list[HeapStorage]]:
    """What lives through the whole step, by kind; together where nobody asks for the kinds."""
    if heap.kinds is None:
        return [heap.allocate_all([size for each in sizes.values() for size in each])]
    made = []
    for kind, each in sizes.items():
        made.append(heap.allocate_all(each))
        heap.turn(made[-1], kind)
    return made


def saved_bytes(net: Net, batch: int, training: Training = DEFAULT) -> Dim:
    """Bytes that autograd keeps for the backward pass of one forward (no loss), as `training` runs it."""
    require_trainable(net, batch)
    checkpoint = net.layer_kind if training.checkpoint else None
    itemsize = ITEMSIZE[training.dtype]
    replay = Replay(net, Heap(), batch, itemsize, training=True, low=training.low, checkpoint=checkpoint)
    image = replay.image()
    replay.forward(image)
    return replay.saved_bytes


def _step(replay: Replay, training: Training, sizes: list[Dim]) -> None:
    image = replay.image()
    if training.zero_grad == "after_forward":
        replay.gradients.update({(-1, i): replay.heap.allocate(size) for i, size in enumerate(sizes)})
        replay.heap.turn(replay.gradients.values(), "gradients")
    for _ in range(min(training.accumulate, 2)):  # the third batch and later ones are as the second
        replay.recomputed.clear()
        logits = replay.forward(image)
        if training.zero_grad == "after_forward":
            replay.gradients.clear()
        loss = replay.loss(logits)
        replay.backward()
    replay.heap.begin("optimizer")
    _optimizer_step(replay.heap, training, sizes)
    del loss, logits


def _optimizer_step(heap: Heap, training: Training, sizes: list[Dim]) -> None:
    """What the optimizer allocates for a moment; it changes parameters and state in place."""
    adam = training.optimizer in ("adam", "adamw")
    # AdamW decays the parameters themselves; fused kernels need nothing beside.
    decayed = training.weight_decay and training.optimizer != "adamw"
    if training.form == "foreach" and (adam or decayed):
        # A list as large as the parameters: the decayed gradients, and once they are gone the roots of exp_avg_sq.
        held = heap.allocate_all(sizes)
        del held
    elif training.form == "single":
        _single_tensor(heap, sizes, adam, decayed)
    heap.mark("step")


def _single_tensor(heap: Heap, sizes: list[Dim], adam: bool, decayed: bool) -> None:
    """Parameter after parameter: `grad.add(param)`, then `exp_avg_sq.sqrt() / correction`; the last result lives on."""
    denominator: HeapStorage | None = None
    for size in sizes:
        gradient = heap.allocate(size) if decayed else None
        if adam:
            root = heap.allocate(size)
            denominator = heap.allocate(size)
            del root
        del gradient
    del denominator
