"""Parameter studies: one function at every combination of parameters, in parallel, into one Dataset."""

from __future__ import annotations

import inspect
import itertools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from mcfpaper import _checks, _progress, cluster

if TYPE_CHECKING:
    from distributed import Client

FORWARDED = (UserWarning, RuntimeWarning, FutureWarning)  # what is meant for users, not for developers


def sweep(
    function: Callable,
    parameters: Mapping[str, Sequence | Mapping],
    client: Client | str | None = None,
    progress: bool | None = None,
    join: str = "exact",
) -> xr.Dataset:
    """Run a parameter study on dask: `function` at every combination of `parameters`.

    Parameters
    ----------
    function : callable
        Called with one value of each parameter by name. It returns a number, a string, a DataArray, a Dataset or a
        mapping of names to such; lazy results are computed where the job runs. It and its result travel between
        processes: let it return what the study is about rather than whole trajectories.
    parameters : mapping
        Name -> values. Values are a sequence of numbers or strings (a 1-d DataArray keeps its attributes), or, for
        anything else, a mapping of labels to values: ``{"eps": [0.1, 0.2], "density": {"uniform": rho, ...}}``.
    client : distributed.Client or str, optional
        A dask client or the address of a scheduler. By default the active client, else the scheduler in
        ``MCFPAPER_SCHEDULER``, else processes of this machine (see `mcfpaper.cluster`), or, for one job, this process.
    progress : bool, optional
        Show a progress bar; by default where a terminal or a notebook shows it.
    join : {"exact", "outer", "inner"}
        What to do with results on unlike coordinates, such as trajectories with unlike times: an error, the
        union (filled up with NaN), the intersection.

    Returns
    -------
    xarray.Dataset
        The variables of the results, in memory, with one more dimension per parameter, in the order of `parameters`,
        before their own. A result without a name is called by the function's name, or "value" for a lambda.

    Raises
    ------
    TypeError, ValueError
        For a bad argument, before any work starts; for results that do not fit together.
    RuntimeError
        If a job fails: the message names its parameters. The other jobs are cancelled. So they are by Ctrl-C.

    Warns
    -----
    UserWarning
        What the jobs warn of, with their parameters. Python's record of warnings knows no threads: workers that run
        several jobs at a time in one process may lose warnings or name another job's parameters.
    """
    axes = _axes(parameters)
    _accepts(function, list(axes))
    _checks.option(join, "join", ("exact", "outer", "inner"))
    points = [dict(zip(axes, p, strict=True)) for p in itertools.product(*(values for _, values in axes.values()))]
    titles = [_title(axes, p) for p in itertools.product(*(label.values for label, _ in axes.values()))]
    with cluster.connected(client, len(points)) as workers:
        run = _here if workers is None else _on_workers
        results = run(function, points, titles, _progress.wanted(progress), workers)
    return _combined(results, {name: label for name, (label, _) in axes.items()}, titles, join)


def _axes(parameters: object) -> dict[str, tuple[xr.DataArray, list]]:
    """Coordinate and values of each parameter."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must map names to values, got {type(parameters).__name__}")
    if not parameters:
        raise ValueError("parameters must hold at least one parameter, got none")
    return {name: _axis(name, given) for name, given in parameters.items()}


def _axis(name: object, given: object) -> tuple[xr.DataArray, list]:
    if not isinstance(name, str):
        raise TypeError(f"parameters must have strings for names, got {name!r}")
    what = f"parameters[{name!r}]"
    if isinstance(given, Mapping):
        labels, values = list(given), list(given.values())
    else:
        if isinstance(given, str) or not np.iterable(given):
            raise TypeError(f"{what} must be a sequence or a mapping of labels to values, got {given!r}")
        values = labels = getattr(given, "values", given).tolist() if hasattr(given, "dtype") else list(given)
    if bad := [x for x in labels if not isinstance(x, Number | str)]:
        raise TypeError(
            f"{what} must hold numbers or strings, got {type(bad[0]).__name__}: "
            "give other values as a mapping of labels to them"
        )
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"{what} must hold at least one value, and none twice, got {labels}")
    return xr.DataArray(labels, dims=name, attrs=getattr(given, "attrs", {})), values


def _accepts(function: object, names: list[str]) -> None:
    if not callable(function):
        raise TypeError(f"function must be callable, got {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        raise TypeError(f"function must take the parameters {', '.join(names)} by name: {error}") from None


def _title(axes: Mapping[str, object], labels: Sequence) -> str:
    return ", ".join(f"{name}={label}" for name, label in zip(axes, labels, strict=True))


def _here(function: Callable, points: list[dict], titles: list[str], show: bool, _: None) -> list[xr.Dataset]:
    """Do the jobs one after the other in this process."""
    results = []
    with _bar(points, show) as bar:
        for point, title in zip(points, titles, strict=True):
            try:
                outcome = _job(function, point)
            except Exception as error:
                raise _failed(title, error) from error
            results.append(_received(outcome, title))
            bar.update()
    return results


def _on_workers(
    function: Callable, points: list[dict], titles: list[str], show: bool, client: Client
) -> list[xr.Dataset]:
    """Send the jobs to workers and take the results as they come."""
    from distributed import as_completed

    results: list = [None] * len(points)
    with warnings.catch_warnings():
        # The function goes with every job: dask sends a job where its data are, even if that worker is busy, so
        # with a scattered function some workers would wait; and scattered data do not outlive their worker.
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        futures = client.map(_job, [function] * len(points), points, pure=False)
    place = {future.key: k for k, future in enumerate(futures)}
    try:
        with _bar(points, show, client) as bar:
            for future in as_completed(futures, loop=client.loop):
                k = place[future.key]
                try:
                    outcome = future.result()
                except Exception as error:
                    raise _failed(titles[k], error) from error
                results[k] = _received(outcome, titles[k])
                future.release()
                bar.update()
    finally:
        client.cancel(futures, force=True)
    return results


def _bar(points: list, show: bool, client: Client | None = None):
    from tqdm.auto import tqdm

    bar = tqdm(total=len(points), disable=not show, unit="job", desc="sweep")
    if show and client is not None:
        if link := cluster.dashboard(client):
            bar.write(f"dask dashboard: {link}", file=sys.stderr)
        if not client.nthreads():
            bar.write(f"{client.scheduler.address} has no workers yet: waiting for one", file=sys.stderr)
    return bar


def _job(function: Callable, point: dict) -> tuple[xr.Dataset, list]:
    """Result of one job, in memory, and what it warned of."""
    import dask

    with warnings.catch_warnings(record=True) as caught, dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("always")
        result = _dataset(function(**point), getattr(function, "__name__", "value"), point).compute()
    said = {(w.category, str(w.message)): None for w in caught if issubclass(w.category, FORWARDED)}
    return result, list(said)


def _dataset(result: object, name: str, point: Mapping) -> xr.Dataset:
    """What a function returned, as a Dataset."""
    unnamed = "value" if name == "<lambda>" else name
    if isinstance(result, xr.DataArray):
        result = result.to_dataset(name=unnamed if result.name is None or result.name in result.coords else result.name)
    elif isinstance(result, Number | str | np.generic) or (isinstance(result, np.ndarray) and result.ndim == 0):
        result = xr.Dataset({unnamed: result})
    elif isinstance(result, Mapping) and not isinstance(result, xr.Dataset):
        result = xr.Dataset(dict(result))
    if not isinstance(result, xr.Dataset):
        raise TypeError(
            "function must return a number, a string, a DataArray, a Dataset or a mapping of names to such, "
            f"got {type(result).__name__}"
        )
    result = result.drop_vars([v for v in point if v in result.coords and v not in result.dims])
    if taken := [v for v in point if v in result.variables or v in result.dims]:
        raise ValueError(f"function must not return variables or dimensions called like a parameter, got {taken}")
    return result


def _received(outcome: tuple[xr.Dataset, list], title: str) -> xr.Dataset:
    result, said = outcome
    for category, message in said:
        warnings.warn(f"{title}: {message}", category, stacklevel=4)
    return result


def _failed(title: str, error: Exception) -> RuntimeError:
    return RuntimeError(f"the job {title} failed: {type(error).__name__}: {error}")


def _combined(results: list[xr.Dataset], labels: dict[str, xr.DataArray], titles: list[str], join: str) -> xr.Dataset:
    names = set(results[0].data_vars)
    for result, title in zip(results, titles, strict=True):
        if set(result.data_vars) != names:
            found = sorted(map(str, result.data_vars))
            raise ValueError(f"all jobs must return the variables {sorted(map(str, names))}, {title} returned {found}")
    nested = results
    for label in reversed(list(labels.values())[1:]):
        nested = [nested[k : k + label.size] for k in range(0, len(nested), label.size)]
    try:
        out = xr.combine_nested(
            nested,
            concat_dim=list(labels),
            data_vars="all",
            coords="different",
            compat="equals",
            join=join,
            combine_attrs="drop_conflicts",
        )
    except ValueError as error:
        raise ValueError(
            f"results of the jobs do not fit together ({error}): return figures, or fields on one grid, or choose join"
        ) from error
    return out.assign_coords(labels).transpose(*labels, ...)
