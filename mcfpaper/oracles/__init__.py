"""Exact answers to test against (theory.md O1-O5, O7), and the smooth formulae of T4 and D10.

Everything here takes numbers and numpy arrays, in length units; densities are callables of the radius or of the
coordinate that accept arrays, or numbers for constant ones.
"""

from mcfpaper.oracles.adversarial import adversarial_plane, adversarial_radius
from mcfpaper.oracles.balls import ball_critical_radius, ball_profile, ball_step, ball_survival_radius
from mcfpaper.oracles.flows import (
    area_law,
    gaussian_plane,
    gaussian_radius,
    grim_reaper,
    grim_reaper_level,
    paperclip_area,
    paperclip_level,
    paperclip_points,
    planar_limit,
    radial_limit,
    shrinking_radius,
)
from mcfpaper.oracles.smooth import (
    ellipse_normals,
    limit_velocity,
    normals,
    subgradient_density,
    subgradient_expansion,
)
from mcfpaper.oracles.steps import (
    planar_energy,
    planar_flow,
    planar_step,
    planar_subgradient,
    radial_energy,
    radial_flow,
    radial_perimeter,
    radial_profile,
    radial_step,
    radial_subgradient,
)

__all__ = [
    "adversarial_plane",
    "adversarial_radius",
    "area_law",
    "ball_critical_radius",
    "ball_profile",
    "ball_step",
    "ball_survival_radius",
    "ellipse_normals",
    "gaussian_plane",
    "gaussian_radius",
    "grim_reaper",
    "grim_reaper_level",
    "limit_velocity",
    "normals",
    "paperclip_area",
    "paperclip_level",
    "paperclip_points",
    "planar_energy",
    "planar_flow",
    "planar_limit",
    "planar_step",
    "planar_subgradient",
    "radial_energy",
    "radial_flow",
    "radial_limit",
    "radial_perimeter",
    "radial_profile",
    "radial_step",
    "radial_subgradient",
    "shrinking_radius",
    "subgradient_density",
    "subgradient_expansion",
]
