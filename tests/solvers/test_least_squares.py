import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.kernels.lattice import extend_add, extend_add_plain
from ungrid.solvers.dissection import Cholesky, band_offsets
from ungrid.solvers.least_squares import Lattice, NormalEquations, Posterior, SplinePrior, normal_equations

RNG = np.random.default_rng(0)
LATTICES = [Lattice((9,), 0.5), Lattice((7, 8), 0.7), Lattice((6, 5, 7), 1.3)]
SEVERAL_FRONTS = [Lattice((400,), 0.5), Lattice((31, 23), 0.7), Lattice((14, 5, 17), 1.3)]
PRIOR = SplinePrior(weight=0.4, tension=1.5, decay=0.6)


def positions(lattice: Lattice, n: int) -> np.ndarray:
    return RNG.uniform(1, np.array(lattice.shape) - 2, (n, len(lattice.shape)))


def nodes(lattice: Lattice) -> np.ndarray:
    axes = [np.arange(n, dtype=float) for n in lattice.shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(lattice.size, -1)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: str(lattice.shape))
def test_splines_reproduce_constants_and_linear_functions(lattice: Lattice) -> None:
    at, slope = positions(lattice, 40), np.arange(1.0, len(lattice.shape) + 1)
    np.testing.assert_allclose(lattice.design(at) @ np.ones(lattice.size), 1)
    np.testing.assert_allclose(lattice.design(at) @ (nodes(lattice) @ slope), at @ slope)
    for k, expected in enumerate(slope):
        np.testing.assert_allclose(lattice.slope_design(at, k) @ (nodes(lattice) @ slope), expected / lattice.spacing)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: str(lattice.shape))
def test_stencils_are_the_splines_at_the_lattice_points(lattice: Lattice) -> None:
    weights, at = RNG.standard_normal((lattice.size, 2)), nodes(lattice)
    inner = ((at >= 1) & (at <= np.array(lattice.shape) - 2)).all(axis=1)
    np.testing.assert_allclose(lattice.at_nodes(weights)[inner], lattice.design(at[inner]) @ weights, atol=1e-12)
    for k in range(len(lattice.shape)):
        found = lattice.at_nodes(weights, slope=k)[inner]
        np.testing.assert_allclose(found, lattice.slope_design(at[inner], k) @ weights, atol=1e-12)


def test_the_prior_is_the_symbol_of_its_operator() -> None:
    """Cosines of the lattice's cell grid are eigenvectors: weight h^d (mu + decay^2) (mu + decay^2 + tension)."""
    n, m = 7, 8
    lattice, h = LATTICES[1], LATTICES[1].spacing
    wave = np.outer(np.cos(np.pi * 2 * (np.arange(n) + 0.5) / n), np.cos(np.pi * 3 * (np.arange(m) + 0.5) / m)).ravel()
    mu = (4 / h**2) * (np.sin(np.pi * 2 / (2 * n)) ** 2 + np.sin(np.pi * 3 / (2 * m)) ** 2)
    root = PRIOR.root(lattice)
    expected = 0.4 * h**2 * (mu + 0.36) * (mu + 0.36 + 1.5)
    np.testing.assert_allclose(root.T @ (root @ wave), expected * wave, atol=1e-10)


def dense(shape: tuple[int, ...], bands: np.ndarray) -> np.ndarray:
    """The matrix that bands stand for, entry by entry."""
    full, place = np.zeros((bands.shape[1], bands.shape[1])), nodes(Lattice(shape, 1.0)).astype(int)
    for band, offset in zip(bands, band_offsets(len(shape)), strict=True):
        for j in np.flatnonzero(band):
            row = np.ravel_multi_index(tuple(place[j] + offset), shape)
            full[row, j] = full[j, row] = band[j]
    return full


@pytest.mark.parametrize("harmonic", [0.0, 3.0])
@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: str(lattice.shape))
def test_bands_are_the_matrices_of_the_sparse_twins(lattice: Lattice, harmonic: float) -> None:
    prior = SplinePrior(weight=0.4, tension=1.5, decay=0.6, harmonic=harmonic)
    root = prior.root(lattice).toarray()
    np.testing.assert_allclose(dense(lattice.shape, prior.bands(lattice)), root.T @ root, atol=1e-11)
    at, weights = positions(lattice, 60), RNG.uniform(0.5, 2, 60)
    y, design = RNG.standard_normal((60, 2)), lattice.design(at).toarray()
    found = normal_equations(lattice, at, weights, y)
    np.testing.assert_allclose(dense(lattice.shape, found.bands), design.T @ (weights[:, None] * design), atol=1e-13)
    np.testing.assert_allclose(found.right, design.T @ (weights[:, None] * y), atol=1e-13)


@pytest.mark.parametrize("lattice", SEVERAL_FRONTS, ids=lambda lattice: str(lattice.shape))
def test_dissection_gives_the_inverse_and_its_square_root(lattice: Lattice) -> None:
    """Dense algebra; ``L^-T (L^-T)^T = A^-1`` from the columns of the identity."""
    at = positions(lattice, 300)
    bands = normal_equations(lattice, at, np.ones(300), np.zeros((300, 1))).bands + PRIOR.bands(lattice)
    full, factors = dense(lattice.shape, bands), Cholesky(lattice.shape, bands)
    assert len(factors.blocks) > 2
    right = RNG.standard_normal((lattice.size, 3))
    np.testing.assert_allclose(full @ factors.solve(right), right, atol=1e-9)
    root = factors.colour(np.eye(lattice.size))
    np.testing.assert_allclose(full @ (root @ root.T), np.eye(lattice.size), atol=1e-9)
    with pytest.raises(np.linalg.LinAlgError):
        Cholesky(lattice.shape, -bands)


def test_the_kernel_adds_what_its_plain_twin_adds() -> None:
    own, kept = np.array([0, 2, 3]), np.array([1, 4, 5, 7])
    start = [np.asfortranarray(RNG.standard_normal(shape)) for shape in ((5, 5), (8, 5), (8, 8))]
    part = np.asfortranarray(RNG.standard_normal((7, 7)))
    fast, plain = ([block.copy(order="F") for block in start] for _ in range(2))
    extend_add(*fast, part, own, kept)
    extend_add_plain(*plain, part, own, kept)
    for a, b in zip(fast, plain, strict=True):
        square = len(a) == a.shape[1]
        np.testing.assert_array_equal(np.tril(a) if square else a, np.tril(b) if square else b)


def test_equations_of_parts_add_up() -> None:
    lattice = LATTICES[1]
    at, weights, y = positions(lattice, 60), RNG.uniform(0.5, 2, 60), RNG.standard_normal((60, 2))
    parts = [normal_equations(lattice, at[k::2], weights[k::2], y[k::2]) for k in range(2)]
    both: NormalEquations = parts[0] + parts[1]
    whole = normal_equations(lattice, at, weights, y)
    np.testing.assert_allclose(both.bands, whole.bands, atol=1e-13)
    np.testing.assert_allclose(both.right, whole.right, atol=1e-13)


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: str(lattice.shape))
def test_the_posterior_is_the_dense_gaussian_process(lattice: Lattice) -> None:
    """Brute force in the space of the data: K_* (K + D)^-1 y with K the prior covariance of the measured points."""
    at, new, weights = positions(lattice, 60), positions(lattice, 15), RNG.uniform(0.5, 2, 60)
    y, root = RNG.standard_normal((60, 2)), PRIOR.root(lattice)
    covariance = np.linalg.inv((root.T @ root).toarray())
    b, c = lattice.design(at).toarray(), lattice.design(new).toarray()
    gain = c @ covariance @ b.T @ np.linalg.inv(b @ covariance @ b.T + np.diag(1 / weights))
    posterior = Posterior(normal_equations(lattice, at, weights, y), PRIOR)
    np.testing.assert_allclose(lattice.design(new) @ posterior.mean(), gain @ y, rtol=1e-6, atol=1e-9)
    expected = np.diag(c @ covariance @ c.T - gain @ b @ covariance @ c.T)
    np.testing.assert_allclose(posterior.variance(new), expected, rtol=1e-6)


def test_draws_have_the_posterior_variance() -> None:
    """4000 draws: the standard error of a variance is 2.2 %, six of them 13 %."""
    lattice = LATTICES[1]
    at, weights = positions(lattice, 60), RNG.uniform(0.5, 2, 60)
    posterior = Posterior(normal_equations(lattice, at, weights, np.zeros((60, 1))), PRIOR)
    new = positions(lattice, 15)
    drawn = lattice.design(new) @ posterior.draws(4000, 1)
    np.testing.assert_allclose(drawn.var(axis=1), posterior.variance(new), rtol=0.13)
    assert np.abs(drawn.mean(axis=1)).max() < 6 * np.sqrt(posterior.variance(new).max() / 4000)
    assert np.array_equal(posterior.draws(3, 5), posterior.draws(3, 5))


def test_the_harmonic_term_makes_the_laplacian_vanish() -> None:
    lattice, at = LATTICES[2], positions(LATTICES[2], 100)
    y = (at[:, :1] ** 2 + at[:, 1:2] ** 2) + at[:, 2:]  # its Laplacian is 4
    inner = nodes(lattice)[((nodes(lattice) > 1) & (nodes(lattice) < np.array(lattice.shape) - 2)).all(axis=1)]

    def laplacian(harmonic: float) -> np.ndarray:
        prior = SplinePrior(weight=1e-6, tension=0.0, decay=0.01, harmonic=harmonic)
        w = Posterior(normal_equations(lattice, at, np.ones(100), y), prior).mean()
        here, total, step = lattice.design(inner) @ w, np.zeros((len(inner), 1)), 1e-3
        for shift in step * np.concatenate([np.eye(3), -np.eye(3)]):
            total += (lattice.design(inner + shift) @ w - here) / step**2
        return np.abs(total)

    assert laplacian(1e4).mean() < 0.05 * laplacian(0.0).mean()


def test_a_lattice_needs_four_splines() -> None:
    with pytest.raises(InputError, match="4 or more"):
        Lattice((3, 9), 1.0)
