"""Linear layers whose weights are laid out once as the processor's kernels read them, for models that only infer."""

from typing import Any

import torch
from torch import Tensor, nn

_onednn: Any = torch.ops.mkldnn  # what PyTorch's own compiler calls; it has no public name, so its absence is no error


class PackedLinear(nn.Module):
    """x [..., n] to x W' + b [..., m], and through the exact GELU where asked, in one oneDNN kernel. Cannot learn."""

    def __init__(self, linear: nn.Linear, *, gelu: bool = False) -> None:
        """Takes the weights of `linear`, float32 on the CPU."""
        super().__init__()
        self._weight = _onednn._reorder_linear_weight(linear.weight.detach())  # noqa: SLF001
        self._bias = linear.bias.detach()
        self._after = "gelu" if gelu else "none"

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _onednn._linear_pointwise(x, self._weight, self._bias, self._after, [], "none")  # noqa: SLF001
        return y


def can_pack() -> bool:
    """Whether this build of PyTorch brings the kernels."""
    names = ("_reorder_linear_weight", "_linear_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(_onednn, name) for name in names)


def pack(model: nn.Module) -> None:
    """Exchange the linear layers of MiniLM, a BERT, in place; those before a GELU take it along."""
    for name, child in model.named_children():
        if hasattr(child, "intermediate_act_fn"):  # BERT's widening layer
            layer: Any = child
            layer.dense, layer.intermediate_act_fn = PackedLinear(layer.dense, gelu=True), nn.Identity()
        elif isinstance(child, nn.Linear):
            setattr(model, name, PackedLinear(child))
        else:
            pack(child)
