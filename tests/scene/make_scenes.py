"""Small scenes in the forms that products come in, made on the spot; their pixels are noise on a slope, with a hole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from skytrigger.eo.bands import BANDS, EUROSAT_ORDER

CRS, LEFT, TOP = "EPSG:32633", 499_980.0, 5_300_040.0
RESOLUTION = {b.name: b.resolution_m for b in BANDS}
SAFE_NAME = "S2B_MSIL1C_20240601T100559_N0510_R022_T33TWN_20240601T121035.SAFE"
# about what real scenes have, so that the guard is content: (mean, spread) in DN without offset
LEVELS = dict.fromkeys(EUROSAT_ORDER, (1200.0, 300.0)) | {
    "B10": (12.0, 3.0),
    "B11": (900.0, 500.0),
    "B12": (500.0, 300.0),
}


def pixels(
    width: int = 330, height: int = 270, offset: float = 0.0, seed: int = 0, hole: bool = True
) -> dict[str, np.ndarray]:
    """Band -> uint16 at its own resolution; `offset` is what the product says is to be added."""
    random = np.random.default_rng(seed)
    out = {}
    for name in EUROSAT_ORDER:
        factor = RESOLUTION[name] // 10
        h, w = -(-height // factor), -(-width // factor)
        mean, spread = LEVELS[name]
        slope = np.linspace(0.4, 1.6, w)[None, :] * np.linspace(0.7, 1.3, h)[:, None]
        values = np.clip(mean * slope + spread * random.normal(size=(h, w)) * 0.4, 2, 20_000) - offset
        dn = np.round(values).astype(np.uint16)
        if hole:  # no data in the lower left corner, along a slanted edge, the same ground in all bands
            y, x = np.mgrid[0:h, 0:w] * factor
            dn[x + 60 < (y - 0.55 * height) * 1.1] = 0
        out[name] = dn
    return out


def write_band(path: Path, dn: np.ndarray, resolution: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    jp2 = path.suffix == ".jp2"
    blocks = {"TILED": True, "BLOCKXSIZE": 128, "BLOCKYSIZE": 128, "RESOLUTIONS": 3}  # else one is left out
    lossless = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", **blocks}
    tiled = {"driver": "GTiff", "compress": "LERC_ZSTD", "tiled": True, "blockxsize": 64, "blockysize": 64}
    more = (lossless if jp2 else tiled) | options.pop("profile", {})
    with rasterio.open(
        path, "w", width=dn.shape[1], height=dn.shape[0], count=1, dtype="uint16", crs=options.pop("crs", CRS),
        transform=from_origin(options.pop("left", LEFT), TOP, resolution, resolution), **more,
    ) as target:  # fmt: skip
        target.write(dn, 1)
        if "scale" in options:
            target.scales, target.offsets = (options["scale"],), (options.get("offset", 0.0),)
    return path


def band_folder(folder: Path, bands: dict[str, np.ndarray], suffix: str = ".tif", **options) -> Path:
    for name, dn in bands.items():
        write_band(folder / f"T33TWN_20240601T100559_{name}{suffix}", dn, RESOLUTION[name], **options)
    return folder


def multiband(
    path: Path, bands: dict[str, np.ndarray], named: bool = True, order: tuple[str, ...] = EUROSAT_ORDER
) -> Path:
    """All bands on the 10 m grid, repeated pixels."""
    height, width = bands["B02"].shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=len(order), dtype="uint16", crs=CRS,
        transform=from_origin(LEFT, TOP, 10, 10), tiled=True, blockxsize=64, blockysize=64,
    ) as target:  # fmt: skip
        for i, name in enumerate(order, 1):
            factor = RESOLUTION[name] // 10
            target.write(np.repeat(np.repeat(bands[name], factor, 0), factor, 1)[:height, :width], i)
            if named:
                target.set_band_description(i, name)
    return path


def product_xml(
    offset: float | None, level: str = "L1C", quantification: int = 10_000, offsets: dict[int, float] | None = None,
    time: str = "2024-06-01T10:05:59.024Z", baseline: str = "05.10", images: list[str] | None = None,
) -> str:  # fmt: skip
    tag, kind = (
        ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE")
        if level == "L1C"
        else ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE")
    )
    values = offsets if offsets is not None else {} if offset is None else dict.fromkeys(range(13), offset)
    listed = "".join(f'<{tag} band_id="{k}">{v:g}</{tag}>' for k, v in values.items())
    physical = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
    spectral = "".join(f'<Spectral_Information bandId="{i}" physicalBand="{n}"/>' for i, n in enumerate(physical))
    files = "".join(f"<IMAGE_FILE>{i}</IMAGE_FILE>" for i in images or [])
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level[1:]}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level[1:]}.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>{time}</PRODUCT_START_TIME>
<PRODUCT_URI>{SAFE_NAME.replace("L1C", level)}</PRODUCT_URI><PROCESSING_LEVEL>Level-{level[1:]}</PROCESSING_LEVEL>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Granule_List><Granule imageFormat="JPEG2000">{files}</Granule></Granule_List></Product_Info>
<Product_Image_Characteristics><{kind} unit="none">{quantification}</{kind}><List>{listed}</List>
<Spectral_Information_List>{spectral}</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info>
</n1:Level-{level[1:]}_User_Product>"""


def tile_xml(width: int, height: int, crs: str = CRS, left: float = LEFT, top: float = TOP) -> str:
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{-(-height * 10 // r)}</NROWS><NCOLS>{-(-width * 10 // r)}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{left:g}</ULX><ULY>{top:.0f}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM>'
        "</Geoposition>"
        for r in (10, 20, 60)
    )
    return (
        f'<n1:Tile xmlns:n1="x"><n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_CODE>{crs}</HORIZONTAL_CS_CODE>'
        f"{sizes}</Tile_Geocoding></n1:Geometric_Info></n1:Tile>"
    )


def safe(
    folder: Path, bands: dict[str, np.ndarray], offset: float | None = -1000.0, level: str = "L1C",
    xml: str | None = None, tile: str | None = None, suffix: str = ".jp2", scl: np.ndarray | None = None,
) -> Path:  # fmt: skip
    """A product in the layout of real ones; for L2A B10 is left out and images lie in R10m, R20m, R60m."""
    root = folder / SAFE_NAME.replace("L1C", level)
    granule = f"GRANULE/{level}_T33TWN_A037700_20240601T101231"
    height, width = bands["B02"].shape
    images = []
    for name, dn in bands.items():
        if level == "L2A" and name == "B10":
            continue
        r = RESOLUTION[name]
        inner = (
            f"IMG_DATA/T33TWN_20240601T100559_{name}"
            if level == "L1C"
            else f"IMG_DATA/R{r}m/T33TWN_20240601T100559_{name}_{r}m"
        )
        images.append(f"{granule}/{inner}")
        write_band(root / f"{granule}/{inner}{suffix}", dn, r)
    if scl is not None:
        images.append(f"{granule}/IMG_DATA/R20m/T33TWN_20240601T100559_SCL_20m")
        write_band(root / f"{images[-1]}{suffix}", scl.astype(np.uint16), 20)
    text = xml if xml is not None else product_xml(offset, level, images=images)
    text = re.sub("IMAGES_HERE", "".join(f"<IMAGE_FILE>{i}</IMAGE_FILE>" for i in images), text)
    (root / f"MTD_MSI{level}.xml").write_text(text)
    (root / granule / "MTD_TL.xml").write_text(tile or tile_xml(width, height))
    return root


def eopf(path: Path, bands: dict[str, np.ndarray], version: int = 2, groups: bool = True, offset: float | None = -0.1,
         transform: bool = True, chunks: int = 64) -> Path:  # fmt: skip
    import zarr

    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".zip" else str(path)
    properties = {"proj:epsg": 32633, "processing:level": "L1C", "processing:version": "05.12"}
    about = {"stac_discovery": {"properties": properties | {"datetime": "2024-06-01T10:05:59Z"}}}
    root = zarr.create_group(store, zarr_format=version, attributes=about)
    parent = root.create_group("measurements").create_group("reflectance")
    for r in (10, 20, 60):
        group = parent.create_group(f"r{r}m") if groups else parent
        for name, dn in bands.items():
            if RESOLUTION[name] != r:
                continue
            extra = {"dimension_names": (("y", "x") if groups else (f"y_{r}m", f"x_{r}m"))} if version == 3 else {}
            attrs = {"scale_factor": 1e-4, "add_offset": offset} if offset is not None else {}
            if transform:
                attrs |= {"proj:epsg": 32633, "proj:transform": [r, 0, LEFT, 0, -r, TOP]}
            if version == 2:
                attrs["_ARRAY_DIMENSIONS"] = ["y", "x"] if groups else [f"y_{r}m", f"x_{r}m"]
            array = group.create_array(
                name.lower(),
                shape=dn.shape,
                chunks=(chunks, chunks),
                dtype="uint16",
                fill_value=0,
                attributes=attrs,
                **extra,
            )
            array[:] = dn
            h, w = dn.shape
        if not transform:
            x, y = LEFT + r * (np.arange(w) + 0.5), TOP - r * (np.arange(h) + 0.5)
            suffix = "" if groups else f"_{r}m"
            for key, values in ((f"x{suffix}", x), (f"y{suffix}", y)):
                group.create_array(key, shape=values.shape, dtype="float64")[:] = values
    if path.suffix == ".zip":
        store.close()
    return path


def stac_item(folder: Path, bands: dict[str, np.ndarray], *, scale: float | None = 1e-4, offset: float | None = -0.1,
              applied: bool | None = None, href: str = "./", common: bool = False) -> Path:  # fmt: skip
    """An item beside its GeoTIFFs; `common`: asset keys as earth-search has them."""
    from skytrigger.eo.scene.band_names import COMMON_NAMES

    keys = {v: k for k, v in COMMON_NAMES.items()}
    assets = {}
    for name, dn in bands.items():
        write_band(folder / f"{name}.tif", dn, RESOLUTION[name])
        raster = {k: v for k, v in (("scale", scale), ("offset", offset)) if v is not None}
        asset = {"href": f"{href}{name}.tif", "roles": ["data"]} | ({"raster:bands": [raster]} if raster else {})
        assets[keys[name] if common else name] = asset | ({"eo:bands": [{"name": keys[name]}]} if common else {})
    properties = {"datetime": "2024-06-01T10:05:59Z", "s2:processing_baseline": "05.10"}
    if applied is not None:
        properties["earthsearch:boa_offset_applied"] = applied
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "S2B_33TWN_20240601_0_L1C", "geometry": None, "links": []}
    item |= {"collection": "sentinel-2-l1c", "properties": properties, "assets": assets}
    path = folder / "item.json"
    path.write_text(json.dumps(item))
    return path
