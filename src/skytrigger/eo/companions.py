"""Files that GDAL reads together with the tile beside them and this reader does not: refused where they say much."""

from __future__ import annotations

import contextlib
import re

from skytrigger.eo.sources import Listing

_LIMIT_BYTES = 1 << 20
# what changes values or names; statistics and histograms do not
_SAYS = re.compile(rb"<(NoDataValue|Description|Scale|Offset|MaskBand|ColorInterp|ColorTable)>")


def refuse_companions(listing: Listing) -> None:
    """Tiles with a mask beside them (``x.tif.msk``), or with a no-data value or a band's name in ``x.tif.aux.xml``."""
    told: dict[tuple[int, str], str] = {}
    for number, member in listing.companions:
        owner = (number, member.removesuffix(".msk").removesuffix(".aux.xml"))
        if member.endswith(".msk"):
            told[owner] = "a mask (.msk) lies beside it, which is not read: write no-data as a value (GDAL_NODATA)"
        elif said := _says(listing, number, member):
            told[owner] = (
                f"the .aux.xml beside it has a {said}, which is not read: write it into the file (gdal_translate)"
            )
    kept = []
    for candidate in listing.candidates:
        reason = told.get((candidate.source, candidate.member))
        if reason:
            listing.refuse(candidate, reason)
        else:
            kept.append(candidate)
    listing.candidates = kept


def _says(listing: Listing, number: int, member: str) -> str:
    """The first entry of a folder's ``.aux.xml`` that changes what the tile means."""
    source = listing.sources[number]
    content = b""
    if source.kind == "folder":
        with contextlib.suppress(OSError), open(source.path / member, "rb") as stream:
            content = stream.read(_LIMIT_BYTES)
    found = _SAYS.search(content)
    return found[1].decode() if found else ""
