"""Fields one after another along the last axis."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.fields import FunctionField, SlabField


def part(low, high, value):
    box = Box(Axis("x", 0.0, 1.0), Axis("t", low, high))
    return FunctionField(box, lambda x: 0 * x[..., :1] + value, ("u",))


def test_every_point_is_answered_by_its_slab_and_a_cut_by_the_later_one():
    field = SlabField((part(0.0, 1.0, 10.0), part(1.0, 1.5, 20.0), part(1.5, 3.0, 30.0)))
    times = np.array([0.0, 2.9, 0.99, 1.0, 1.49, 1.5, -1.0, 9.0])
    values = field(np.column_stack([np.full(8, 0.3), times]))[:, 0]
    assert values.tolist() == [10, 30, 10, 20, 20, 30, 10, 30]
    assert [(axis.name, axis.low, axis.high) for axis in field.domain.axes] == [("x", 0.0, 1.0), ("t", 0.0, 3.0)]


@pytest.mark.parametrize("parts", [(), (part(0.0, 1.0, 1.0), part(1.1, 2.0, 1.0))])
def test_slabs_that_do_not_follow_each_other_are_refused(parts):
    with pytest.raises(InputError, match=r"at least one|begin where"):
        SlabField(parts)
