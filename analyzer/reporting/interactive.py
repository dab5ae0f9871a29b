"""The plotly figure of the sweep: built here without its points, filled by the page's script; and plotly.js, packed.

The script is plotly.js's basic bundle (`bundle/`, renewed by `make plotly`); the figure is JSON, so that no Python
package of plotly's is needed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_STYLE_ID = re.compile(r'getElementById\("([0-9a-f]{64})"\)')
SKY, BLUE, ORANGE, VERMILLION = "#56B4E9", "#0072B2", "#E69F00", "#D55E00"  # Okabe and Ito 2008


@dataclass(frozen=True)
class Script:
    """A packed script, the Content-Security-Policy source that lets it run, and ids of the styles that it brings.

    The script adds a style (of its maps, which no report has) only where nothing has its id yet.
    """

    packed: str
    source: str
    style_ids: tuple[str, ...]


def csp_source(content: str) -> str:
    """The Content-Security-Policy hash of an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def plotly_script() -> Script:
    """plotly.js as the package carries it, gzipped."""
    packed = (resources.files("analyzer.reporting") / "bundle" / "plotly-basic.min.js.gz").read_bytes()
    content = gzip.decompress(packed).decode()
    return Script(base64.b64encode(packed).decode(), csp_source(content), tuple(_STYLE_ID.findall(content)))


def _trace(name: str, symbol: str, size: int, colour: str, **more: Any) -> dict[str, Any]:
    marker = {"symbol": symbol, "size": size, "color": colour}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [],
        "y": [],
        "hovertext": [],
        "hoverinfo": "text",
        "marker": marker,
        **more,
    }


def sweep_figure() -> dict[str, Any]:
    """A plotly figure, its traces empty: variants, front, baseline, subject, the cloud of what fits; log axes."""
    axis = {"type": "log", "showgrid": True, "zeroline": False, "automargin": True}
    beside = {"textposition": "top right", "cliponaxis": False}
    return {
        "data": [
            _trace("variants", "circle", 7, SKY, opacity=0.55),
            _trace("not selected", "circle", 5, "#999999", opacity=0.25),
            _trace(
                "front",
                "circle",
                9,
                BLUE,
                mode="lines+markers",
                line={"shape": "hv", "color": BLUE, "width": 1.5},
                textposition="bottom right",
            ),
            _trace("baseline", "square", 13, ORANGE, **beside),
            _trace("subject", "diamond", 15, VERMILLION, **beside),
            _trace("fits", "circle", 4, "#999999", opacity=0.3, hoverinfo="skip"),
        ],
        "layout": {
            "xaxis": {**axis, "title": {"text": ""}},
            "yaxis": {**axis, "title": {"text": ""}},
            "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
            "height": 480,
            "hovermode": "closest",
            "hoverlabel": {"align": "left"},
            "dragmode": "zoom",
            "legend": {"orientation": "h", "y": 1.08},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13},
        },
        "config": {"responsive": True, "displaylogo": False, "displayModeBar": False},
    }
