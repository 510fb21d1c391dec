"""map.html: true colour and classes on one page that needs no network."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.files import write_text
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.decide import LandCover
from skytrigger.eo.scene.legend import NO_DATA
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.pictures import class_colours, nice_length, true_colour
from skytrigger.eo.scene.write_vectors import to_lonlat

TOP = 3  # probabilities shown for a cell
NODES = 17  # a side of the grid of longitudes and latitudes: between its nodes they are linear within metres


def write_page(path: Path, scene: Scene, cells: Cells, cover: LandCover, facts: dict[str, Any]) -> None:
    """Write the page."""
    notes = "".join(f"<li>{escape(n)}</li>" for n in facts["notes"])
    read_first = f"<h2>Read this first</h2><ul>{notes}</ul>" if notes else ""
    off = '<strong class="off">off scale</strong> ' if scene.off_scale else ""
    about = (
        f"{off}{escape(scene.time or 'sensing time unknown')} · {escape(scene.level or 'level unknown')} · "
        f"{facts['tiles']:,} cells of {facts['cell_m']:,.0f} m · model {escape(str(facts['model']))}"
    )
    header = f"<header><h1>{escape(scene.name)}</h1><p>{about}</p></header>"
    main = (
        '<section class="map"><div id="stage" tabindex="0" role="img" aria-label="Map: true colour under land cover">'
        '<canvas id="canvas"></canvas><div id="scale" aria-hidden="true"><span></span></div>'
        '<div id="tip" role="status" aria-live="polite" hidden></div></div>'
        '<div class="controls"><label for="opacity">Classes over true colour</label>'
        '<input id="opacity" type="range" min="0" max="100" value="60"><output id="shown">60 %</output>'
        '<button id="reset" type="button">Whole scene</button></div>'
        '<p class="hint">Wheel or + and - to zoom, drag or arrow keys to move, hover for a cell.</p></section>'
        '<section class="side"><h2>Area</h2><table id="areas"><thead><tr><th>Class</th><th>km²</th><th></th></tr>'
        f'</thead><tbody></tbody></table><p id="error"></p>{read_first}</section>'
    )
    script = resources.files("skytrigger.eo.scene").joinpath("map.js").read_text("utf-8")
    write_text(path, whole_page(f"Land cover: {scene.name}", header, main, script, _data(scene, cells, cover, facts)))


def whole_page(title: str, header: str, main: str, script: str, facts: dict[str, Any]) -> str:
    """A page that may run its own style and script only, and fetches nothing.

    Parameters
    ----------
    header, main
        HTML, escaped already.
    script, facts
        JavaScript, run after ``stage.js``, and what it finds as JSON in the element ``data``.
    """
    files = resources.files("skytrigger.eo.scene")
    style = files.joinpath("map.css").read_text("utf-8")
    script = files.joinpath("stage.js").read_text("utf-8") + script
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = json.dumps(facts, separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>{header}\n<main>{main}"
        f'</main><script type="application/json" id="data">{data}</script><script>{script}</script></body></html>\n'
    )


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _data(scene: Scene, cells: Cells, cover: LandCover, facts: dict[str, Any]) -> dict[str, Any]:
    colour = true_colour(cover, cells)
    order = np.argsort(-cover.probabilities, axis=-1, kind="stable")[..., :TOP].astype(np.uint8)
    shares = np.take_along_axis(cover.probabilities, order.astype(np.int64), axis=-1)
    shares = np.floor(shares * 100 + 0.5).astype(np.uint8)
    grid = cells.grid
    left, bottom, right, top = grid.bounds
    x, y = np.meshgrid(np.linspace(left, right, NODES), np.linspace(top, bottom, NODES))
    nodes = to_lonlat(grid.crs, np.stack([x, y], -1))
    if np.ptp(nodes[..., 0]) > 180:
        nodes[..., 0] %= 360
    return {
        "rows": cells.rows, "columns": cells.columns, "cell": cells.map_grid.pixel_m, "nodata": NO_DATA,
        "width": grid.width * grid.pixel_m, "height": grid.height * grid.pixel_m, "left": left, "top": top,
        "crs": grid.crs if grid.crs.startswith("EPSG:") else "its own CRS", "nodes": NODES,
        "lonlat": np.round(nodes, 6).reshape(-1).tolist(), "nice": nice_length(grid.width * grid.pixel_m / 5),
        "picture": image_uri(colour, "jpeg"), "map": image_uri(class_colours(cover), "png"),
        "codes": byte_text(cover.codes), "best": byte_text(order), "shares": byte_text(shares),
        "count": order.shape[-1],
        "valid": byte_text(np.floor(cover.cells.valid * 100 + 0.5).astype(np.uint8)),
        "cloud": byte_text(np.floor(np.nan_to_num(cover.cells.cloud) * 100 + 0.5).astype(np.uint8)),
        "classes": [{"value": e.value, "title": e.title, "colour": e.colour, "area": facts["area_km2"][e.key],
                     "interval": (facts["area_interval_95_km2"] or {}).get(e.key)} for e in cover.entries],
        "source": facts.get("area_error_source", ""),
    }  # fmt: skip


def image_uri(image: NDArray[np.uint8], kind: str) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"


def byte_text(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
