"""Detection of codes for a missing value among the readings: -200, -9999 and the like.

A code is recognised by its number and by its distance: it is further from all other readings of its
stream than these are from each other, or it is the only negative number of a stream and occurs
repeatedly. Other readings are unchanged.
"""

from __future__ import annotations

import numpy as np

from eddycast.service.records import Float64

#: Numbers that loggers and archives write for a missing value;
#: the last three are from NetCDF and GRIB.
CODES = (
    *(-99.0, -200.0, -999.0, -9999.0, -99999.0, -999999.0, -32768.0),
    *(-99.99, -999.99, -9999.99, 9999.99),
    *(-99.9, -999.9, 999.9, 9999.9, -6999.0, 6999.0, -7999.0, 7999.0),
    *(32767.0, 65535.0, 2147483647.0, -2147483648.0, 4294967295.0),
    *(999.0, 9999.0, 99999.0, 999999.0, 9.969209968386869e36, 1e20, -1e34),
    *(99.0, 99.99),
)
#: Codes that may as well be a reading, unless they occur repeatedly.
_SMALL = (99.0, 99.99)
#: Minimum count of the only negative number, and of a small number, to be a code.
_AGAIN = 3


def find_codes(values: Float64, kept: tuple[float, ...] = ()) -> dict[float, int]:
    """The codes among a stream's readings [n] (NaN = missing), with their counts.
    Numbers in `kept` are never codes."""
    known = values[~np.isnan(values)]
    at = np.isin(known, [code for code in CODES if code not in kept])
    rest, suspects = known[~at], known[at]
    if not len(suspects):
        return {}
    codes, counts = np.unique(suspects, return_counts=True)
    if not len(rest):  # the sensor never delivered a reading
        return {float(codes[0]): int(counts[0])} if len(codes) == 1 and codes[0] < 0 else {}
    low, high = float(rest.min()), float(rest.max())
    found = {}
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        away = max(low - code, code - high)
        # of two levels of a switch, neither is a code
        far = away > high - low and (low < high or away > -code / 2 > 0)
        if code in _SMALL and count < _AGAIN:
            continue
        if far or (code < 0 <= low and count >= _AGAIN):
            found[code] = count
    return found
