"""What one pass of a model's copy cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from analyzer.tracing.attribution import Modules, ModuleTally, Shape

if TYPE_CHECKING:
    from analyzer.tracing.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Pass:
    """What one forward (and its backward, where asked for) cost, module by module in the order they ran.

    `by_operator` has MACs and `uncounted` has calls, both by module and operator.
    `wrote_out_attention` says that scaled_dot_product_attention ran as the products it is made of. `depth` is that of
    the result: convolutions and products with a weight on the longest path to it. `unregistered` are the sizes of the
    parameters that the model reaches and does not own. `chose` says that random numbers may have chosen the path;
    `modeless` that a forward in the other mode has the same products and shapes (which says nothing of what is saved).
    `notes` say what could not be seen; `work` is what its time follows, where the ladder `follows_work`.
    """

    rows: dict[str, ModuleTally]
    outputs: dict[str, Shape | None]
    by_operator: dict[tuple[str, str], int]
    uncounted: dict[tuple[str, str], int]
    conventions: tuple[str, ...]
    backward_macs: int
    wrote_out_attention: bool
    depth: int
    unregistered: tuple[int, ...]
    chose: bool
    modeless: bool
    notes: tuple[str, ...]
    work: dict[str, int]

    @property
    def macs(self) -> int:
        """MACs of the forward."""
        return sum(row.macs for row in self.rows.values())

    @property
    def conv_activations(self) -> int:
        """Elements of the layers' results."""
        return sum(row.conv_activations for row in self.rows.values())

    @property
    def saved_bytes(self) -> int:
        """Bytes that are kept for the backward pass."""
        return sum(row.saved_bytes for row in self.rows.values())


def pass_of(
    modules: Modules, tracer: Tracer, depth: int, held: Sequence[Tensor], *, chose: bool, modeless: bool
) -> Pass:
    """What a tracer saw of a forward; `held` are the tensors that it reached and that no module owns."""
    return Pass(
        rows=modules.rows,
        outputs=modules.outputs,
        by_operator=dict(tracer.by_operator),
        uncounted=dict(tracer.uncounted),
        conventions=tuple(tracer.conventions),
        backward_macs=tracer.backward_macs,
        wrote_out_attention=tracer.wrote_out_attention,
        depth=depth,
        unregistered=tuple(tensor.numel() for tensor in held if isinstance(tensor, nn.Parameter)),
        notes=tuple(tracer.notes),
        chose=chose,
        modeless=modeless,
        work=dict(tracer.work_done),
    )
