"""Does the data agree with the radiometric offset that the metadata state?

Dark pixels decide. Over a whole scene something is dark in some band: water and shadow in the infrared, and in B10
(cirrus) nearly everything, since water vapour absorbs what comes from the ground. An offset that was not applied leaves
nothing below about 1000 DN in any band; one that is applied twice, or to data without it, makes dark pixels negative by
hundreds of DN, which noise cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skytrigger.core.card import ModelCard
from skytrigger.core.errors import InputError
from skytrigger.core.progress import say
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.radiometry import NO_DATA, SATURATED

OFFSET = -1000.0
PERCENTILE = 1.0
TOO_DARK = -300.0  # DN: no scene has 1 % of its pixels below
NOTHING_DARK = 900.0  # DN: in no scene are 99 % of the pixels above in the darkest band
SIDE = 256
WATCHED = ("B10", "B12", "B11", "B09", "B04", "B05", "B03", "B02", "B01")
ENOUGH = 200  # pixels with data


@dataclass(frozen=True)
class DarkPixels:
    """The darkest band and its 1st percentile, in model DN as the metadata have it.

    Attributes
    ----------
    as_stated
        With the offset that is stated.
    other
        With the other hypothesis: -1000 where none is stated, none where one is.
    """

    band: str
    as_stated: float
    other: float
    stated_offset: float

    @property
    def verdict(self) -> str:
        """``agrees``, ``missed`` (an offset that nothing states), ``twice`` (applied already), or ``bright``."""
        if self.as_stated < TOO_DARK:
            return "twice"
        if self.as_stated > NOTHING_DARK:
            return "bright" if self.stated_offset else "missed"
        return "agrees"


def dark_pixels(scene: Scene) -> DarkPixels | None:
    """Look at the bands of `WATCHED` that the scene has; None where too little of it has data."""
    best: DarkPixels | None = None
    for name in WATCHED:
        if name not in scene.bands:
            continue
        band = scene.bands[name]
        dn = band.reader.sample(SIDE)
        values = dn[(dn != NO_DATA) & (dn != SATURATED)]
        if values.size < ENOUGH:
            continue
        r = band.radiometry
        raw = float(np.percentile(values, PERCENTILE)) * r.gain
        other = raw if r.offset else raw + OFFSET
        found = DarkPixels(name, raw + r.shift, other, r.offset)
        if name == "B10":
            return found  # the surest: no other band is as dark everywhere
        if best is None or found.as_stated < best.as_stated:
            best = found
    return best


def check_offset(scene: Scene, card: ModelCard, *, force: bool = False) -> dict[str, object]:
    """Refuse a contradiction between what is stated and what is seen; what was seen goes into the summary.

    Raises
    ------
    InputError
        The stated offset contradicts the data; both figures and the options are named.
    """
    found = dark_pixels(scene)
    stated = next((b.radiometry for n, b in scene.bands.items() if n != "SCL"), None)
    source = stated.stated_by if stated and stated.stated else ""
    offsets = sorted({b.radiometry.offset for n, b in scene.bands.items() if n != "SCL"})
    facts: dict[str, object] = {
        "offset_dn": offsets[0] if len(offsets) == 1 else offsets,
        "stated_by": source or "nothing: no offset is assumed",
        "checked": found is not None,
    }
    if found is None:
        return facts
    facts |= {"dark_band": found.band, "dark_dn": found.as_stated, "dark_dn_otherwise": found.other}
    if found.verdict == "agrees":
        return facts
    facts["contradiction"] = found.verdict
    problem, remedy = _explain(found, source, card)
    if not force:
        raise InputError(f"{scene.source}: {problem}", expected="metadata and data that agree", remedy=remedy)
    say(f"going on by --force: {problem}")
    return facts


def _explain(found: DarkPixels, source: str, card: ModelCard) -> tuple[str, str]:
    said = source or "nothing in the product"
    sigma = ""
    if found.band in card.channels:
        i = card.channels.index(found.band)
        z = [(v - card.mean[i]) / card.std[i] for v in (found.as_stated, found.other)]
        sigma = f" ({z[0]:+.0f} against {z[1]:+.0f} standard deviations from what the model was trained on)"
    if found.verdict == "missed":
        problem = (
            f"{said} states an offset, yet 99 % of the pixels of {found.band} are above {found.as_stated:.0f} DN; "
            f"with an offset of -1000 that is {found.other:.0f} DN{sigma}"
        )
        if source:
            problem = problem.replace(f"{said} states an offset", f"{said} states no offset")
        return problem, "--offset -1000 if the offset is still in the data, --force to go on without it"
    if found.verdict == "bright":
        problem = (
            f"{said} states an offset of {found.stated_offset:.0f} DN, and with it 99 % of the pixels of {found.band} "
            f"are still above {found.as_stated:.0f} DN{sigma}"
        )
        return problem, "--offset, if it is another one, or --force, if nothing in the scene is dark"
    problem = (
        f"{said} states an offset of {found.stated_offset:.0f} DN, with which 1 % of the pixels of {found.band} are "
        f"below {found.as_stated:.0f} DN; without it that is {found.other:.0f} DN{sigma}"
    )
    return problem, "--offset none if the offset was applied already, --force to go on with it"
