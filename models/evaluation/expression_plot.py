"""The curve of AnimateMe's figure 3: how far from the truth, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .comparison import Row

STYLES = {
    "another_performance": ("the person again", "0.6", ":"),
    "linear_blendshape": ("linear blendshape", "#e69f00", "--"),
    "transferred_blendshape": ("transferred blendshape", "#b8860b", "--"),
    "linear_3dmm": ("linear 3DMM", "#8c6d46", "--"),
    "lstm_mesh_decoder": ("LSTM + mesh decoder", "#cc79a7", "-"),
    "landmark_gan": ("landmark GAN", "#d55e00", "-"),
    "ours": ("ours", "#0072b2", "-"),
    "ours_extreme": ("ours, extreme", "#56b4e9", "-."),
    "ours_local": ("ours, local", "#009e73", "-."),
    "ours_varying": ("ours, varying", "#5e4fa2", "-."),
}
"""Row -> its name in the legend, colour and line; the colours tell apart for the colour-blind."""


def plot_specificity(rows: Sequence[Row], path: Path) -> None:
    """Draw the error per frame of every row but the truth's own into a PNG, SVG or PDF."""
    figure = Figure(figsize=(9, 5.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    shown = [row for row in rows if row["name"] in STYLES]
    for row in sorted(shown, key=lambda row: -row["specificity_mm_per_frame"][-1]):
        label, colour, line = STYLES[row["name"]]
        errors = row["specificity_mm_per_frame"]
        wide = 2.6 if row["name"] == "ours" else 1.6
        axes.plot(np.arange(1, len(errors) + 1), errors, line, color=colour, linewidth=wide, label=label)
    axes.set(xlabel="frame, neutral to apex", ylabel="mean distance to the truth, mm", ylim=(0, None))
    axes.set_xlim(1, len(shown[0]["specificity_mm_per_frame"]))
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path)
