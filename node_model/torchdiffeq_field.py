"""Fields written for torchdiffeq, where a batch has one t, as fields whose lanes have times of their own."""

from torch import Tensor, nn

from node_model.types import Args


class TorchdiffeqField(nn.Module):
    """`func(t, y)` as `field(t, y, args)`: t comes to func with axes of length one, so that it broadcasts against y.

    That is right where func uses t as a number (`torch.ones_like(y[:, :1]) * t`, `torch.sin(t) * y`) or not at all. A
    func that reshapes t, or makes its weights of it, has to be written for lanes; `odetrain pack` holds it against
    func itself, called lane by lane.

    Shapes: t [lane], y [lane, ...] -> as y.
    """

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func

    def forward(self, t: Tensor, y: Tensor, args: Args) -> Tensor:
        """The field; args are not passed on."""
        f: Tensor = self.func(t.reshape(-1, *[1] * (y.dim() - 1)), y)
        return f
