"""A minimising-movement problem with its input checked: what `step`, `evolve` and `proximal` share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mcfpaper import __version__, _checks, geometry
from mcfpaper.kernels import morphology, quadrature
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import energies, front, mincut
from mcfpaper.solvers.newton import WIDTH
from mcfpaper.trajectory import problem_digest

SIDES = ("minimal", "maximal")
LATTICE_BALLS = ("lattice", "box", "diamond")
DEFAULT_TOL = 0.02  # cells
LONG_NAMES = {
    "perimeter": ("weighted perimeter", "mass/length"),
    "nonlocal_perimeter": ("nonlocal perimeter", "mass/length"),
    "volume": ("volume", "length^{d}"),
    "risk": ("risk", "mass"),
    "adversarial_risk": ("adversarial risk", "mass"),
    "dissipation": ("distance term of the step", "mass/length"),
    "gap": ("bound on the front's error", "length"),
    "certified": ("bound is a theorem", "1"),
    "converged": ("gap is within tol", "1"),
    "iterations": ("iterations of the solver", "1"),
}


class Problem:
    """Densities, budget, time step and method on one grid; the arguments are those of `scheme.step`."""

    def __init__(self, u, densities, eps, tau=None, method="smooth", ball=None, side="minimal", tol=None):
        u = _checks.field(u)
        if taken := {"time", "u", *SIDES, *LONG_NAMES} & set(u.dims):
            raise ValueError(f"u must not have a dimension named like a result, got {sorted(taken)}")
        self.h = _checks.spacing(u)
        rho = _checks.densities(densities, like=u)
        self.eps = _checks.budget(eps, self.h)
        self.tau = self.eps if tau is None else _checks.number(tau, "tau", above=0.0)
        self.method = _checks.option(method, "method", ("smooth", "exact"))
        self.side = _checks.option(side, "side", SIDES)
        allowed = LATTICE_BALLS if method == "exact" else ("isotropic",)
        self.ball = _checks.option(allowed[0] if ball is None else ball, "ball", allowed)
        self.tol = DEFAULT_TOL * float(min(self.h)) if tol is None else _checks.number(tol, "tol", above=0.0)
        # Other coordinates (a time, say) and the encoding of a file that `u` came from are no part of the problem.
        self._load(u.reset_coords(drop=True).drop_encoding(), rho)

    def _load(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        """Take in the fields, whose values may not have been looked at."""
        self.u = u.compute()
        _checks.finite_or_constant_infinity(self.u.values, "u")  # not looked at before if it was lazy
        self.rho = rho.compute()
        self.rho0, self.rho1 = (np.ascontiguousarray(self.rho[v].values, float) for v in ("rho0", "rho1"))
        if (self.rho0 + self.rho1).max() <= 0:
            raise ValueError("densities must not vanish everywhere: rho0 + rho1 is 0")

    @property
    def parameters(self) -> dict:
        """Everything that determines the result, as attributes."""
        own = {k: getattr(self, k) for k in ("eps", "tau", "method", "ball", "side", "tol")}
        return own | {"mcfpaper": __version__}

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields that determine the result."""
        coords = {f"coordinate {axis} {d}": self.u[d].values for axis, d in enumerate(self.u.dims)}
        return {"u": self.u.values, "rho0": self.rho0, "rho1": self.rho1} | coords

    def digest(self) -> str:
        """Digest of the input of a run."""
        return problem_digest(self.arrays(), self.parameters)

    def start(self) -> xr.DataArray:
        """Signed distance to the boundary of the initial set, a set of whole cells for the exact method.

        For the smooth method that of a boolean set is made one to the front that its splines see. Farther from a front
        than a step sees or moves it is that to paraboloids, see `redistance`.
        """
        if self.method == "exact":
            return self._field(geometry.signed_distance(self.u > 0).values)
        f = geometry.signed_distance(self.u) if self.u.dtype == bool else self.u
        band = self.eps + 3.0 * self.tau**0.5 + WIDTH * max(self.h)
        return self._field(redistance(f.values, self.h, exact=band))

    def taken_up(self, state: xr.Dataset) -> xr.Dataset:
        """A state that a store holds, as this class of problem keeps it: in memory."""
        return state.compute()

    def step(self, f: xr.DataArray) -> xr.Dataset:
        """One step with data `f`; an empty or full set stays. A value that is not finite is an error."""
        result = self._step(f)
        u, gap = result["u"].values, float(result["gap"])
        bad = np.isnan(u) | (np.isinf(u) & (u != u.flat[0]))
        if bad.any():
            place = {d: float(result[d][i]) for d, i in zip(result["u"].dims, np.argwhere(bad)[0], strict=True)}
            raise FloatingPointError(f"the signed distance is not finite at {place}")
        if not np.isfinite(gap):
            raise FloatingPointError(f"the bound on the front's error is not finite: gap = {gap}")
        return result

    def _step(self, f: xr.DataArray) -> xr.Dataset:
        if np.isinf(f.values).all():
            result = {"u": f.values, "gap": 0.0, "certified": True, "converged": True, "iterations": 0}
            sides = dict.fromkeys(SIDES, f.values > 0) if self.method == "exact" else {}
            return self._dataset(result | sides)
        return self._exact(f.values) if self.method == "exact" else self._smooth(f.values)

    def _exact(self, f: np.ndarray) -> xr.Dataset:
        g = f * (self.rho0 + self.rho1) / self.tau
        guess = mincut.predicted(f, self.tau, self.h)
        cut = mincut.solve(self.rho0, self.rho1, g, self.eps, self.h, norm=self.ball, guess=guess)
        u = geometry.signed_distance(self._field(getattr(cut, self.side))).values
        outcome = {"gap": 0.0, "certified": True, "converged": True, "iterations": cut.info["rounds"]}
        return self._dataset({"u": u, **outcome, "minimal": cut.minimal, "maximal": cut.maximal})

    def _smooth(self, f: np.ndarray) -> xr.Dataset:
        r = front.step(f, self.rho0, self.rho1, self.eps, self.tau, self.h, tol=self.tol)
        outcome = {k: getattr(r, k) for k in ("u", "gap", "certified", "converged", "iterations")}
        return self._dataset(outcome)

    def vanished(self, before: xr.DataArray, after: xr.DataArray) -> str:
        """Why a set that was neither empty nor the whole box is so after one step; empty text if it is not."""
        if np.isinf(before.values).all() or not np.isinf(after.values).all():
            return ""
        return self._wiped_out(bool(after.values.flat[0] > 0))

    def _wiped_out(self, full: bool) -> str:
        d = self.u.ndim
        name, which = ("whole box", "hole") if full else ("empty set", "ball")
        bound = {1: "", 2: f": 2.31 sqrt(tau) = {2.31 * self.tau**0.5:.3g} for d = 2"}.get(
            d, f": at least 3 sqrt(tau) = {3 * self.tau**0.5:.3g} for d = 3"
        )
        return (
            f"the exact answer of this step is the {name}: with tau = {self.tau:g} a {which} survives a step only if "
            f"its radius exceeds the bound of O2{bound}; take a smaller tau to follow the flow"
        )

    def complaints(self, before: xr.DataArray, result: xr.Dataset) -> list[str]:
        """What a caller should be warned of."""
        slow = f"the step stopped at gap {float(result['gap']):.3g}, above tol = {self.tol:.3g}"
        return [m for m in (self.vanished(before, result["u"]), "" if bool(result["converged"]) else slow) if m]

    def state(self, result: xr.Dataset | xr.DataArray, before: xr.DataArray | None = None) -> xr.Dataset:
        """Everything a trajectory holds at one time; `before` is the state's predecessor, None at the start."""
        first = before is None
        u = result if first else result["u"]
        outcome = {"gap": 0.0, "certified": True, "converged": True, "iterations": 0}
        if not first:
            outcome = {k: result[k].values for k in outcome}
        measure = self._measure_cells if self.method == "exact" else self._measure_subcell
        figures = measure(u, before)
        if bad := {name: value for name, value in figures.items() if not np.isfinite(value)}:
            raise FloatingPointError(f"figures of the set are not finite: {bad}")
        return self._dataset({"u": u.data} | figures | outcome)

    def _measure_subcell(self, u: xr.DataArray, before: xr.DataArray | None) -> dict[str, float]:
        moves = before is not None and bool(np.isfinite(before.values).all())
        f = before.values if moves else None
        return self._figures(energies.masses(u.values, self.rho0, self.rho1, self.h, self.eps, f))

    def _figures(self, masses: Sequence[float]) -> dict[str, float]:
        """The figures of a set from what `energies.masses` found."""
        total = dict(zip(energies.MASSES, masses, strict=True))
        risk, adversarial = total["hit0"] + total["missed1"], total["outer0"] + total["inner1"]
        return {
            "perimeter": total["perimeter"],
            "nonlocal_perimeter": (adversarial - risk) / self.eps,
            "volume": total["volume"],
            "risk": risk,
            "adversarial_risk": adversarial,
            "dissipation": (total["was"] - total["is"]) / self.tau,
        }

    def _measure_cells(self, u: xr.DataArray, before: xr.DataArray | None) -> dict[str, float]:
        a, cell = u.values > 0, float(np.prod(self.h))
        grown, shrunk = (move(a, self.eps, self.h, norm=self.ball) for move in (morphology.dilate, morphology.erode))
        layers = self.rho0[grown & ~a].sum() + self.rho1[a & ~shrunk].sum()
        out = {
            "perimeter": quadrature.surface_integral(u.values, self.h, self.rho0 + self.rho1),
            "nonlocal_perimeter": float(layers) * cell / self.eps,
            "volume": float(a.sum()) * cell,
            "risk": float(self.rho0[a].sum() + self.rho1[~a].sum()) * cell,
            "adversarial_risk": float(self.rho0[grown].sum() + self.rho1[~shrunk].sum()) * cell,
            "dissipation": 0.0,
        }
        if before is not None and np.isfinite(before.values).all():
            moved = (before.values > 0) ^ a
            weight = np.abs(before.values) * (self.rho0 + self.rho1)
            out["dissipation"] = float(weight[moved].sum()) * cell / self.tau
        return out

    def proximal_exact(self, depth: int) -> xr.DataArray:
        """T5 by nested minimum cuts."""
        f = self.u.values.astype(float)
        out = mincut.proximal(self.rho0, self.rho1, f, self.eps, self.tau, self.h, norm=self.ball, depth=depth)
        middle = self._field((out.lower + out.upper) / 2)
        middle.attrs |= self.parameters | {"long_name": "proximal solution", "resolution": out.info["resolution"]}
        return middle

    def proximal_smooth(self, levels: np.ndarray) -> xr.DataArray:
        """T5 from the fronts of the given levels: linear in the distances to the two fronts about each cell."""
        f = self.u.values.astype(float)
        steps = [self.step(self._field(f - t)) for t in levels]
        fronts = np.clip([s["u"].values for s in steps], -1e300, 1e300)
        u = np.full(f.shape, levels[0])
        for low, high, t, s in zip(fronts[:-1], fronts[1:], levels[:-1], levels[1:], strict=True):
            share = np.clip(low / np.where(low > high, low - high, 1.0), 0.0, 1.0)
            u = np.where(low > 0, t + (s - t) * np.where(high > 0, 1.0, share), u)
        out = self._field(u)
        gaps = [float(s["gap"]) for s in steps]
        out.attrs |= self.parameters | {
            "long_name": "proximal solution",
            "resolution": float(np.diff(levels).max(initial=0.0)),
            "gap": max(gaps),
            "unconverged": sum(not bool(s["converged"]) for s in steps),
        }
        return out

    def _field(self, values: np.ndarray) -> xr.DataArray:
        attrs = {"long_name": "signed distance to the boundary, positive inside", "units": "length"}
        return xr.DataArray(values, coords=self.u.coords, dims=self.u.dims, name="u", attrs=attrs)

    def _dataset(self, values: dict) -> xr.Dataset:
        out = {}
        for name, value in values.items():
            if name in ("u", *SIDES):
                attrs = {} if name == "u" else {"long_name": f"{name} minimiser", "units": "1"}
                out[name] = self._field(value).assign_attrs(attrs)
            else:
                long_name, units = LONG_NAMES[name]
                attrs = {"long_name": long_name, "units": units.format(d=self.u.ndim).removesuffix("^1")}
                out[name] = xr.DataArray(np.asarray(value)[()], attrs=attrs)
        return xr.Dataset(out, attrs=self.parameters)
