"""Captured takes: the CSV that Live Link Face records of ARKit's blend shapes, as an expression signal.

A row is a timecode, a count and 61 numbers, of which 51 drive our units; the tongue and the turns of the head
and the eyes do not. A timecode counts hours, minutes, seconds and frames, the last with a fraction:
`00:32:09:07.867`. Nothing in the file says how many frames make a second, so that is read off its own
roll-over.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expression import ARKIT_UNITS, MAX_WEIGHT, UNIT_INDEX, UNIT_NAMES

TIMECODE_RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 120.0)
USUAL_RATE = 60.0
"""Frames per second of a timecode that ends before its frames roll over: what an iPhone records at."""
GAP_SECONDS = 0.25
"""Our choice: a hole longer than this is worth telling; a shorter one is a few lost frames."""
DAY = 86400.0


@dataclass(frozen=True)
class Take:
    """A signal (K, 57) at `frame_rate` frames per second; `gaps` are (begin, end) in seconds."""

    expression_signal: NDArray[np.float32]
    frame_rate: float
    gaps: tuple[tuple[float, float], ...]


def read_live_link(path: Path, frame_rate: float) -> Take:
    """Read a take and resample it, whatever rate it was recorded at, to `frame_rate` frames per second.

    Columns may come in any order, with any capitals. Rows without numbers (no face seen) and lost frames
    leave gaps, over which the weights run straight. Raises InputError where there is no such file, where
    columns are missing, where a row cannot be read, where time runs backwards and where fewer than two
    moments are seen.
    """
    if not np.isfinite(frame_rate) or frame_rate <= 0.0:
        raise InputError(f"The frame rate must be a number above 0, not {frame_rate}.")
    times, captured = _read_rows(path)
    moments = times[0] + np.arange(round((times[-1] - times[0]) * frame_rate) + 1) / frame_rate
    signal = np.zeros((len(moments), len(UNIT_NAMES)), np.float32)
    for column, units in zip(captured.T, ARKIT_UNITS.values(), strict=True):
        for unit in units:
            signal[:, UNIT_INDEX[unit]] = np.interp(moments, times, column)
    before = np.flatnonzero(np.diff(times) > GAP_SECONDS)
    gaps = tuple((float(times[i] - times[0]), float(times[i + 1] - times[0])) for i in before)
    return Take(signal, frame_rate, gaps)


def _read_rows(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times (T,) in seconds, strictly rising, and the weights (T, 51) in the order of ARKIT_UNITS."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise InputError(f"{path} cannot be opened; choose the CSV of a Live Link Face take.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} is not CSV; choose the CSV of a Live Link Face take.") from error
    columns = {name.strip().lower(): i for i, name in enumerate(rows[0])} if rows else {}
    if missing := [name for name in ("Timecode", *ARKIT_UNITS) if name.lower() not in columns]:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(f"{path.name} has no column {named}; export the take with all of ARKit's shapes.")
    wanted = [columns[name.lower()] for name in ARKIT_UNITS]
    stamps: list[tuple[float, float]] = []
    weights: list[list[float]] = []
    numbers: list[int] = []
    for number, row in enumerate(rows[1:], start=2):
        cells = [row[i].strip() if i < len(row) else "" for i in wanted]
        if not any(cells):
            continue  # no face was seen
        try:
            stamps.append(_parse_timecode(row[columns["timecode"]]))
            weights.append([float(cell) for cell in cells])
        except ValueError as error:
            raise InputError(f"Row {number} of {path.name} cannot be read; mend or delete it.") from error
        numbers.append(number)
    if len(stamps) < 2:
        raise InputError(f"{path.name} shows fewer than two moments of a face; record a longer take.")
    captured = np.array(weights)
    if not np.isfinite(captured).all() or captured.min() < 0.0 or captured.max() > MAX_WEIGHT:
        raise InputError(f"{path.name} has weights that are not between 0 and {MAX_WEIGHT}; export it anew.")
    times = _seconds(np.array(stamps))
    fresh = np.append(True, np.diff(times) > 0.0)  # a frame written twice counts once
    if (np.diff(times) < 0.0).any():
        row = numbers[int(np.argmax(np.diff(times) < 0.0)) + 1]
        raise InputError(f"Time runs backwards at row {row} of {path.name}; split the file there.")
    if np.count_nonzero(fresh) < 2:
        raise InputError(f"{path.name} shows fewer than two moments of a face; record a longer take.")
    return times[fresh], captured[fresh]


def _parse_timecode(text: str) -> tuple[float, float]:
    """Whole seconds and frames. Raises ValueError for anything but four numbers between colons."""
    hours, minutes, seconds, frames = (float(part) for part in text.split(":"))
    return (hours * 60.0 + minutes) * 60.0 + seconds, frames


def _seconds(stamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds from the first of the stamps (T, 2), past midnight if need be."""
    seconds, frames = stamps.T
    seconds = seconds + DAY * np.cumsum(np.append(0.0, np.diff(seconds)) < -DAY / 2.0)
    rate = _timecode_rate(seconds, frames)
    return seconds - seconds[0] + (frames - frames[0]) / rate


def _timecode_rate(seconds: NDArray[np.float64], frames: NDArray[np.float64]) -> float:
    """How many frames make a second: at a roll-over, the lowest rate that holds the highest frame seen."""
    rolled = len(np.unique(seconds)) > 1
    highest = float(np.floor(frames.max())) + 1.0
    if not rolled:
        return max(USUAL_RATE, highest)
    # the step at a roll-over is an ordinary one: of the known rates, the one under which it is
    steps, changes = np.diff(frames), np.diff(seconds)
    usual = float(np.median(steps[changes == 0.0])) if (changes == 0.0).any() else 1.0
    over = np.median(usual - steps[changes == 1.0]) if (changes == 1.0).any() else highest
    fitting = [rate for rate in TIMECODE_RATES if rate >= highest]
    return min(fitting, key=lambda rate: abs(rate - float(over)), default=highest)
