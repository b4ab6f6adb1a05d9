"""What pairs of measurements say of a ratio, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

# Student's t for a two-sided 95 % interval, by degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_T95_MORE = 2.131
"""For more pairs than the table has: that of its last entry, which makes the interval a little too wide."""


@dataclass(frozen=True)
class Ratio:
    """The geometric mean of the pairs' ratios, and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def ratio_of(launched: Sequence[float], alone: Sequence[float]) -> Ratio:
    """Of pairs, by Student's t of the logarithms.

    Raises:
        ValueError: these are not pairs, or fewer than two of them.

    """
    if len(launched) != len(alone) or len(launched) < 2:  # noqa: PLR2004
        raise ValueError(f"{len(launched)} measurements against {len(alone)}: two pairs at least are needed")
    logs = [math.log(ours / base) for ours, base in zip(launched, alone, strict=True)]
    freedom = len(logs) - 1
    t = _T95[freedom - 1] if freedom <= len(_T95) else _T95_MORE
    margin = t * stdev(logs) / math.sqrt(len(logs))
    middle = fmean(logs)
    return Ratio(*(math.exp(each) for each in (middle, middle - margin, middle + margin)))
