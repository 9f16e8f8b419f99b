"""Numba kernels on plain numpy arrays: no xarray, no validation, no parallelism of their own."""
