"""One BLAS thread inside the kernels: they bring their own threads, and threads of threads only wait for each other."""

import functools
from contextlib import AbstractContextManager

import scipy.linalg.cython_blas  # noqa: F401  # the library that numba's np.dot calls; it must be there to be limited
from threadpoolctl import ThreadpoolController


@functools.cache
def _controller() -> ThreadpoolController:
    """Finding the libraries takes a millisecond, limiting them a hundredth of that."""
    return ThreadpoolController()


def single_threaded_blas() -> AbstractContextManager[object]:
    """A context in which BLAS uses one thread."""
    return _controller().limit(limits=1, user_api="blas")
