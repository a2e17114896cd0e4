"""The table of the z-transform: every rule against the sum over the sequence, with its region of convergence."""

from functools import partial, reduce

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ungrid._base.errors import InputError
from ungrid.reference import z_transform as zt
from ungrid.reference.z_transform import DampedCosine, Exponential, Finite

FAR = 300  # 0.6^300 is 1e-67: beyond it the tails are nothing
NEAR = np.arange(-12, 13)

few = settings(max_examples=40)  # forty sequences for each line of the table
angles = st.floats(-np.pi, np.pi)
sizes = st.floats(0.3, 2.0) | st.floats(-2.0, -0.3)
whole = st.integers(-3, 3).map(float)


def exponentials(side, low, high, degree=2):
    make = lambda r, angle, d, a: partial(Exponential, complex(r * np.exp(1j * angle)), d, side, a)  # noqa: E731
    return st.builds(make, st.floats(low, high), angles, st.integers(0, degree), sizes)


def cosines(side, low, high):
    return st.builds(partial, st.just(DampedCosine), st.floats(low, high), angles, angles, st.just(side))


def finites(first):
    return st.builds(partial, st.just(Finite), st.lists(whole, min_size=1, max_size=4).map(tuple), first)


right = exponentials("right", 0.2, 0.6) | cosines("right", 0.2, 0.6)
left = exponentials("left", 1.7, 3.0) | cosines("left", 1.7, 3.0)
finite = finites(st.integers(-3, 3))


class Sum:
    """A sequence of several parts, and its transform. The parts are made when they are used, not while hypothesis draws."""

    def __init__(self, makers):
        self.makers = makers

    def __call__(self, n):
        return sum(make()(n) for make in self.makers)

    def transform(self):
        return reduce(zt.add, [make().transform() for make in self.makers])

    def __repr__(self):
        return f"Sum({self.makers})"


def sums(*kinds):
    return st.tuples(*kinds).map(lambda parts: Sum(list(parts)))


one_sided = sums(right) | sums(left) | sums(finite) | sums(right, finite) | sums(left, finite)
two_sided = sums(right, left) | sums(right, left, finite)
sequences = one_sided | two_sided
causal = sums(right) | sums(right, right) | sums(finites(st.integers(0, 3)), right)
places = st.tuples(st.floats(0.3, 0.7), angles)  # where between the region's edges, and at what angle


def point(region, place):
    """A z inside the region, well away from its edges."""
    low, high = max(region.inner, 0.2), min(region.outer, 6.0)
    return low ** (1 - place[0]) * high ** place[0] * np.exp(1j * place[1])


def assert_transform(found, y, place):
    """`found` is the sum of y(n) z^-n inside its region, and gives y back."""
    z = point(found.region, place)
    n = np.arange(-FAR, FAR + 1)
    terms = y(n) * z ** (-n.astype(float))
    assert abs(found(z) - terms.sum()) <= 1e-9 * np.abs(terms).sum() + 1e-12
    weights = np.abs(z) ** (-NEAR.astype(float))  # the scale on which the sequence decays to both sides
    scale = np.abs(terms).max() + 1e-12
    np.testing.assert_allclose(found.sequence(NEAR) * weights / scale, y(NEAR) * weights / scale, atol=1e-6)


@few
@given(sequences, places)
def test_sequences(x, place):
    assert_transform(x.transform(), x, place)


@few
@given(sequences, sequences, sizes, sizes, places)
def test_linearity(x, y, a, b, place):
    found = zt.add(zt.scale(x.transform(), a), zt.scale(y.transform(), b))
    assert_transform(found, lambda n: a * x(n) + b * y(n), place)


@few
@given(sequences, st.complex_numbers(min_magnitude=0.1, max_magnitude=10), places)
def test_homogeneity_in_amplitude(x, factor, place):
    found = zt.scale(x.transform(), factor)
    z = point(found.region, place)
    assert abs(found(z) - factor * x.transform()(z)) <= 1e-12 * abs(found(z))
    assert_transform(found, lambda n: factor * x(n), place)


@few
@given(sequences, st.integers(-5, 5), places)
def test_translation(x, delay, place):
    assert_transform(zt.translate(x.transform(), delay), lambda n: x(n - delay), place)


@few
@given(sequences, st.floats(0.7, 1.4), angles, places)
def test_modulation(x, radius, angle, place):
    factor = radius * np.exp(1j * angle)
    assert_transform(zt.modulate(x.transform(), factor), lambda n: factor ** n.astype(float) * x(n), place)


@few
@given(sequences, places)
def test_time_reversal(x, place):
    assert_transform(zt.reverse(x.transform()), lambda n: x(-n), place)


@few
@given(sequences, st.integers(1, 3), places)
def test_upsampling(x, factor, place):
    found = zt.upsample(x.transform(), factor)
    assert_transform(found, lambda n: np.where(n % factor == 0, x(n // factor), 0), place)


@few
@given(sequences, st.integers(1, 3), places)
def test_downsampling(x, factor, place):
    assert_transform(zt.downsample(x.transform(), factor), lambda n: x(factor * n), place)


@few
@given(sequences, places)
def test_conjugation(x, place):
    assert_transform(zt.conjugate(x.transform()), lambda n: np.conj(x(n)), place)


@few
@given(sequences, sequences, places)
def test_convolution(x, y, place):
    n = np.arange(-FAR, FAR + 1)
    full = np.convolve(x(n), y(n))
    assert_transform(zt.convolve(x.transform(), y.transform()), lambda m: full[m + 2 * FAR], place)


@few
@given(sequences, places)
def test_differentiation(x, place):
    assert_transform(zt.differentiate(x.transform()), lambda n: n * x(n), place)


@few
@given(sequences, places)
def test_differencing(x, place):
    assert_transform(zt.difference(x.transform()), lambda n: x(n) - x(n - 1), place)


@few
@given(sequences, places)
def test_accumulation(x, place):
    total = np.cumsum(x(np.arange(-2 * FAR, FAR + 1)))
    found = zt.accumulate(x.transform())
    assert found.inner >= 1 or found.numerator == (0,)
    assert_transform(found, lambda n: total[n + 2 * FAR], place)


@few
@given(causal)
def test_initial_value(x):
    assert abs(zt.initial_value(x.transform()) - x(np.array([0]))[0]) <= 1e-12 * (1 + abs(x(np.array([0]))[0]))


@few
@given(causal)
def test_final_value(x):
    """Of a sequence that dies out: 0. Of its running sum: the sum, which is a simple pole at 1."""
    assert zt.final_value(x.transform()) == 0
    total = x(np.arange(0, FAR)).sum()
    assert abs(zt.final_value(zt.accumulate(x.transform())) - total) <= 1e-8 * (1 + np.abs(x(np.arange(FAR))).sum())


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (Exponential(1.1), "a pole at 1.1"),
        (Exponential(-1.0), "a pole at -1"),  # the formula's limit would be 0
        (Exponential(1.0, degree=1), r"a pole at 1.* besides that at 1"),
        (Exponential(1.0, degree=2), r"a pole at .* besides that at 1"),
        (DampedCosine(1.0, 0.4), "a pole at"),
        (Exponential(2.0, side="left"), "causal"),
        (Finite((1.0, 1.0), -1), "causal"),
    ],
)
def test_final_value_needs_its_condition(x, words):
    with pytest.raises(InputError, match=words):
        zt.final_value(x.transform())


def test_final_value_sees_through_cancelled_poles():
    """A pole at 2 whose zero cancels it does not count; the unit step's value is 1."""
    step = Exponential(1.0).transform()
    hidden = zt.convolve(Finite((1.0, -2.0)).transform(), Exponential(2.0).transform())
    assert abs(zt.final_value(zt.convolve(hidden, step)) - 1) < 1e-9


# Regions of convergence: Cauchy's and Hadamard's radii of the sequence itself

SHORT = st.floats(0.85, 0.97)
LONG = st.floats(1.04, 1.15)
RULES = {
    "translation": (lambda x: zt.translate(x, 4), lambda x: lambda n: x(n - 4)),
    "modulation": (lambda x: zt.modulate(x, 0.9 + 0.3j), lambda x: lambda n: (0.9 + 0.3j) ** n.astype(float) * x(n)),
    "time reversal": (zt.reverse, lambda x: lambda n: x(-n)),
    "upsampling": (lambda x: zt.upsample(x, 2), lambda x: lambda n: np.where(n % 2 == 0, x(n // 2), 0)),
    "downsampling": (lambda x: zt.downsample(x, 2), lambda x: lambda n: x(2 * n)),
    "conjugation": (zt.conjugate, lambda x: lambda n: np.conj(x(n))),
    "differentiation": (zt.differentiate, lambda x: lambda n: n * x(n)),
    "differencing": (zt.difference, lambda x: lambda n: x(n) - x(n - 1)),
    "homogeneity": (lambda x: zt.scale(x, -3.0), lambda x: lambda n: -3.0 * x(n)),
}


def growth(y, first):
    """|y(n)| grows as this to the power n, measured far out over an even number of places."""
    a, b = (abs(y(np.array([first * k]))[0]) for k in (1000, 1010))
    return float(b / a) ** (1 / (10 * first))


@pytest.mark.parametrize("rule", RULES)
@few
@given(short=SHORT, long=LONG, angle=angles)
def test_regions_of_the_rules(rule, short, long, angle):
    transform, sequence = RULES[rule]
    x = Sum(
        [
            partial(Exponential, complex(r * np.exp(1j * angle)), 0, side)
            for r, side in ((short, "right"), (long, "left"))
        ]
    )
    y, region = sequence(x), transform(x.transform()).region
    assert region.inner == pytest.approx(growth(y, 1), rel=2e-3)
    assert region.outer == pytest.approx(growth(y, -1), rel=2e-3)


@few
@given(SHORT, SHORT, LONG, LONG)
def test_region_of_sums_and_products_is_the_intersection(a, b, c, d):
    assume(abs(a - b) > 1e-3 and abs(c - d) > 1e-3)
    x = Sum([partial(Exponential, a), partial(Exponential, c, 0, "left")]).transform()
    y = Sum([partial(Exponential, b), partial(Exponential, d, 0, "left")]).transform()
    for found in (zt.add(x, y), zt.convolve(x, y)):
        assert (found.inner, found.outer) == (max(a, b), min(c, d))


@few
@given(right, left)
def test_terms_fall_inside_the_region_and_grow_outside(x, y):
    """5 % inside the edges the terms far out are small, 5 % outside they are large."""
    n = np.array([900, 901, 902, 903])  # not all of a cosine's samples vanish
    x, y = x(), y()
    for part, sign, edge in ((x, 1, x.transform().inner), (y, -1, y.transform().outer)):
        logs = np.log(np.abs(_scaled(part, sign * n)).max())
        inside, outside = (logs - 900 * np.log(1.05**s) for s in (1, -1))
        assert inside < np.log(1e-6)
        assert outside > np.log(1e6)
        assert part.transform().region.contains(edge * 1.05**sign)
        assert not part.transform().region.contains(edge * 1.05**-sign)


def _scaled(part, n):
    """The sequence over the edge's power, so that nothing overflows."""
    if isinstance(part, DampedCosine):
        return DampedCosine(1.0, part.angle, part.phase, part.side)(n)
    return Exponential(part.ratio / abs(part.ratio), part.degree, part.side, part.amplitude)(n)


@few
@given(st.lists(whole, min_size=1, max_size=5), st.integers(-4, 4), st.sampled_from(list(RULES)))
def test_0_and_infinity(values, first, rule):
    """Infinity belongs to a region that reaches it if nothing stands left of n = 0; 0 if nothing stands to its right."""
    transform, sequence = RULES[rule]
    x = Finite(tuple(values), first)
    y, region = sequence(x)(np.arange(-20, 21)), transform(x.transform()).region
    assert region.infinity == (not y[:20].any())
    assert region.zero == (not y[21:].any())
    assert region.contains(np.array([0.0, np.inf])).tolist() == [region.zero, region.infinity]
    if region.zero:
        assert transform(x.transform())(0.0) == pytest.approx(y[20])
    if region.infinity:
        assert transform(x.transform())(np.inf) == pytest.approx(y[20])


def test_regions_that_do_not_meet():
    outside, inside = Exponential(2.0).transform(), Exponential(0.5, side="left").transform()
    for combine in (zt.add, zt.convolve):
        with pytest.raises(InputError, match=r"\|z\| > 2 and \|z\| < 0.5, which do not meet"):
            combine(outside, inside)
    with pytest.raises(InputError, match="do not meet"):
        zt.accumulate(inside)


def test_cancelled_poles_widen_the_region():
    step = Exponential(1.0)
    impulse = zt.cancelled(zt.difference(step.transform()))
    assert impulse.region.describe() == "all z"
    assert impulse(np.array([0.0, 2.0, np.inf])).tolist() == [1, 1, 1]
    assert impulse.poles().size == 0
    np.testing.assert_allclose(impulse.sequence(NEAR), NEAR == 0, atol=1e-15)
    both = zt.convolve(
        Exponential(0.5).transform(), zt.add(Exponential(0.25).transform(), Finite((1.0, -2.0)).transform())
    )
    assert zt.cancelled(both).inner == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (Exponential(0.5), "|z| > 0.5"),
        (Exponential(0.5, side="left"), "|z| < 0.5"),
        (Sum([partial(Exponential, 0.5), partial(Exponential, 2.0, side="left")]), "0.5 < |z| < 2"),
        (Finite((1.0,)), "all z"),
        (Finite((1.0, 2.0)), "all z except 0"),
        (Finite((1.0, 2.0), -1), "all z except infinity"),
        (Finite((1.0, 2.0, 3.0), -1), "all z except 0 and infinity"),
        (Sum([partial(Exponential, 0.5), partial(Finite, (1.0,), -1)]), "|z| > 0.5 except infinity"),
        (Sum([partial(Exponential, 0.5, side="left"), partial(Finite, (1.0,), 1)]), "|z| < 0.5 except 0"),
    ],
)
def test_words(x, words):
    assert x.transform().region.describe() == words


def test_drawing():
    x = Sum([partial(Exponential, 0.5j), partial(Exponential, -2.0, side="left")]).transform()
    drawing = zt.region_drawing(x)
    np.testing.assert_allclose([np.hypot(*circle.T).mean() for circle in drawing.circles], [0.5, 2.0])
    np.testing.assert_allclose(np.sort(np.hypot(*drawing.poles.T)), [0.5, 2.0])
    assert drawing.text == "0.5 < |z| < 2"
    assert not drawing.unbounded
    for zero in drawing.zeros:
        z = complex(*zero)
        assert z == 0 or abs(x.formula(z)) < 1e-12


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Exponential(0.5).transform()(0.25), r"z with \|z\| = 0.25; expected \|z\| > 0.5"),
        (lambda: Exponential(0.0).transform(), "ratio of 0"),
        (lambda: zt.modulate(Exponential(0.5).transform(), 0.0), "factor of 0"),
        (lambda: zt.upsample(Exponential(0.5).transform(), 0), "positive integer"),
        (lambda: zt.rational([1.0], [0.0, 0.0]), "denominator"),
        (lambda: zt.rational([1.0], [1.0, np.nan]), "finite"),
        (lambda: zt.rational([1.0], [1.0, -1.0], inner=0.5), "region without poles"),
        (lambda: zt.rational([1.0], inner=2.0, outer=1.0), "empty"),
    ],
)
def test_wrong_use_names_the_part(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()
