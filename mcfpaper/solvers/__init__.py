"""Engines for one minimising-movement step, on plain numpy arrays."""
