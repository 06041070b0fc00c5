"""The ODE-Net: its size, its names, and that serving and training compute the same."""

import re

import pytest
import torch

from node_model.adjoint import odeint, odeint_adjoint
from node_model.odenet import ODENet, ODENetConfig
from node_model.solvers import solve_ivp


@pytest.fixture(autouse=True)
def _fresh_weights(rng):
    torch.manual_seed(int(rng.integers(2**31)))


def test_it_has_about_the_parameters_of_the_paper():
    assert sum(p.numel() for p in ODENet(ODENetConfig()).parameters()) == pytest.approx(210_000, rel=0.02)


def test_weights_have_the_agreed_names_and_the_time_channel_unfolded():
    state = ODENet(ODENetConfig()).state_dict()
    assert all(re.fullmatch(r"(stem|head)\.\d+\.(weight|bias)|field\.\w+\.(weight|bias)", name) for name in state)
    layers = {name.split(".")[1] for name in state if name.startswith("field.")}
    assert layers == {"norm1", "conv1", "norm2", "conv2", "norm3"}
    assert state["field.conv1.weight"].shape == state["field.conv2.weight"].shape == (64, 65, 3, 3)


@pytest.mark.parametrize(("image_size", "channels"), [(28, 64), (8, 8)])
def test_features_are_maps_of_six_by_six(image_size, channels):
    model = ODENet(ODENetConfig(image_size=image_size, channels=channels))
    assert model.features(torch.rand(2, image_size, image_size)).shape == (2, channels, 6, 6)


def test_an_image_size_without_a_stem_is_refused():
    with pytest.raises(ValueError, match="image_size: expected one of"):
        ODENet(ODENetConfig(image_size=32))


def test_the_program_computes_what_the_model_is_trained_to():
    model = ODENet(ODENetConfig(image_size=8, channels=8))
    images = torch.rand(5, 8, 8)
    (program,) = model.programs()
    with torch.no_grad():
        trained = model(images, lambda field, y, t: odeint(field, y, t, rtol=1e-5, atol=1e-5))
        solution = solve_ivp(
            program.field,
            program.encode(images),
            program.interval[0],
            [program.interval[1]],
            rtol=1e-5,
            atol=1e-5,
            parts=program.parts,
        )
        (served,) = program.decode(solution.ys[-1])
    assert program.dim == 8 * 36
    assert served.shape == (5, *program.outputs[0].shape)
    torch.testing.assert_close(served, trained, rtol=0, atol=1e-3)


def test_every_parameter_learns():
    model = ODENet(ODENetConfig(image_size=8, channels=8))
    logits = model(torch.rand(4, 8, 8), lambda field, y, t: odeint_adjoint(field, y, t, rtol=1e-3, atol=1e-3))
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    assert float(model.field.conv1.weight.grad[:, 0].abs().sum()) > 0
