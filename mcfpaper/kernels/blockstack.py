"""A stack of blocks of cells that are halved until they are small, each with its list of candidates."""

from mcfpaper.kernels._jit import njit

LEAF = 4  # cells a side of the blocks that share one list of candidates


@njit
def split(stack, top, i0, j0, k0, i1, j1, k1, start, count):
    """Push the halves of a block along every axis longer than a leaf."""
    for p0, p1 in _halves(i0, i1):
        for q0, q1 in _halves(j0, j1):
            for r0, r1 in _halves(k0, k1):
                if p0 < p1 and q0 < q1 and r0 < r1:
                    top = store(stack, top, p0, q0, r0, p1, q1, r1, start, count)
    return top


@njit
def _halves(start, stop):
    middle = (start + stop) // 2 if stop - start > LEAF else stop
    return (start, middle), (middle, stop)


@njit
def store(stack, top, i0, j0, k0, i1, j1, k1, start, count):
    stack[top, 0], stack[top, 1], stack[top, 2] = i0, j0, k0
    stack[top, 3], stack[top, 4], stack[top, 5] = i1, j1, k1
    stack[top, 6], stack[top, 7] = start, count
    return top + 1
