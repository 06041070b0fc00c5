import onnxruntime as ort
import pytest
import torch
from torch import nn

from node_model.export import export_program
from node_model.own import OwnModel, OwnProgram, Shapes


class Still(nn.Module):
    def forward(self, t, y, args):
        return torch.zeros_like(y)


@pytest.mark.parametrize(
    "activation",
    [nn.ELU(0.3), nn.SELU(), nn.LeakyReLU(0.1), nn.Softplus(2.0)],
    ids=lambda module: str(module),
)
def test_an_activation_is_the_same_in_a_float64_graph(activation, tmp_path):
    model = OwnModel("predict", OwnProgram(nn.Identity(), Still(), activation)).double()
    model.take_shapes({"predict": Shapes((1,), 1, ((1,),), (False,))})
    graphs = export_program(model.program("predict"), tmp_path, methods=())
    session = ort.InferenceSession(tmp_path / graphs.decode, providers=["CPUExecutionProvider"])
    y = torch.cat([torch.linspace(-40, 40, 201), torch.tensor([0.0, 1e-9, -1e-9, 800.0, -800.0])]).double()[:, None]
    (found,) = session.run(None, {"y": y.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), activation(y), rtol=1e-13, atol=1e-15)
