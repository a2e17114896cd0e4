"""Axes that are circles.

Convention: an axis in degrees of longitude (by the names that the CF conventions, section 4.2, give this unit) that spans
360 of them closes: its two ends are one meridian, and longitudes outside of it are wrapped.
"""

from ungrid.domains.box import Axis

LONGITUDE_UNITS = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
ROUND = 360.0
CLOSED = 1e-6  # degrees by which the span of float32 coordinates may differ from a full circle, over all samples


def is_circle(axis: Axis) -> bool:
    """Whether the axis is a full circle of longitudes."""
    return axis.unit in LONGITUDE_UNITS and abs(axis.length - ROUND) <= CLOSED * ROUND
