"""Sums that do not know their place; the exported form is proved bit for bit in test_export.py."""

import pytest
import torch

from node_model.rows import row_sum


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 64])
def test_the_exported_form_is_the_plain_sum(monkeypatch, dtype, count, torch_rng):
    x = torch.randn(7, count, generator=torch_rng, dtype=dtype)
    assert torch.equal(row_sum(x), x.sum(-1))
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(row_sum(x), x.sum(-1))


def test_a_number_that_is_not_finite_stays_visible(monkeypatch):
    x = torch.tensor([[1.0, 2.0, float("nan"), 0.0, 0.0], [1.0, 2.0, float("inf"), 0.0, 0.0]])
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert row_sum(x).isfinite().tolist() == [False, False]
