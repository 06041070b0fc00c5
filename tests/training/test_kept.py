import gc
import weakref

import torch

from training.kept import KeptBytes


def chain(x, length):
    for _ in range(length):
        x = torch.tanh(x)
    return x


def test_what_a_chain_keeps_is_its_results_each_once():
    x = torch.randn(100, 10, requires_grad=True)
    kept = KeptBytes([x])
    with kept.counting():
        chain(x, 5)
    assert kept.total == 5 * x.numel() * x.element_size()


def test_parameters_are_not_counted():
    weight, x = torch.randn(10, 10, requires_grad=True), torch.randn(100, 10, requires_grad=True)
    for own, expected in (([weight], x), ([weight, x], None)):
        kept = KeptBytes(own)
        with kept.counting():
            x @ weight
        assert kept.total == (expected.numel() * expected.element_size() if expected is not None else 0)


def test_gradients_are_those_without_counting():
    x = torch.randn(7, dtype=torch.float64, requires_grad=True)
    (plain,) = torch.autograd.grad(chain(x, 3).sum(), x)
    with KeptBytes([]).counting():
        loss = chain(x, 3).sum()
    assert torch.equal(torch.autograd.grad(loss, x)[0], plain)


def test_what_was_counted_is_let_go_of():
    kept = KeptBytes([])
    with kept.counting():
        result = chain(torch.randn(3, requires_grad=True), 2)
    alive = weakref.ref(result)
    del kept, result
    gc.collect()
    assert alive() is None
