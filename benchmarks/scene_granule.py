"""A full-size 13-band synthetic granule in the layout of real products: tiles of generated land cover side by side.

Each 64 x 64 cell is one of the package's generated tiles, turned and mirrored at random; bands of 20 and 60 m are block
means. Synthetic: good for time and memory, says nothing on accuracy. DN carry the offset of -1000 as products do today.

    python benchmarks/scene_granule.py OUT [--form safe|geotiff|zarr] [--side 10980] [--compress LERC_ZSTD]
"""

from __future__ import annotations

import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from skytrigger.eo.bands import BANDS
from skytrigger.eo.load import load

NAME = "S2A_MSIL1C_20240601T100559_N0510_R022_T33TWN_20240601T121035"
CRS, LEFT, TOP, OFFSET, TILE = "EPSG:32633", 499_980.0, 5_300_040.0, 1000, 64
GRANULE = "GRANULE/L1C_T33TWN_A046700_20240601T101231"
PHYSICAL = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")


def layout(side: int, tiles: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which tile lies in each cell, and how it is turned (0 to 7)."""
    cells = math.ceil(side / TILE)
    random = np.random.default_rng(seed)
    return random.integers(0, tiles, (cells, cells)), random.integers(0, 8, (cells, cells))


def mosaic(tiles: np.ndarray, which: np.ndarray, turned: np.ndarray, side: int) -> np.ndarray:
    """(side, side) of one band, from its (n, 64, 64) tiles."""
    ways = [np.rot90(np.flip(tiles, 2) if k & 4 else tiles, k & 3, axes=(1, 2)) for k in range(8)]
    pool = np.stack(ways)
    cells = len(which)
    out = np.empty((cells * TILE, cells * TILE), np.uint16)
    for row in range(cells):
        picked = pool[turned[row], which[row]]
        out[row * TILE : (row + 1) * TILE] = picked.transpose(1, 0, 2).reshape(TILE, -1)
    return out[:side, :side]


def coarser(band: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return band
    h, w = (-(-n // factor) for n in band.shape)
    padded = np.pad(band, ((0, h * factor - band.shape[0]), (0, w * factor - band.shape[1])), mode="edge")
    return padded.reshape(h, factor, w, factor).mean(axis=(1, 3)).round().astype(np.uint16)


def metadata(side: int, images: list[str]) -> tuple[str, str]:
    """MTD_MSIL1C.xml and MTD_TL.xml, as far as they are read."""
    offsets = "".join(f'<RADIO_ADD_OFFSET band_id="{i}">-{OFFSET}</RADIO_ADD_OFFSET>' for i in range(13))
    spectral = "".join(f'<Spectral_Information bandId="{i}" physicalBand="{n}"/>' for i, n in enumerate(PHYSICAL))
    files = "".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    product = (
        '<?xml version="1.0" encoding="UTF-8"?><n1:Level-1C_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/'
        'User_Product_Level-1C.xsd"><n1:General_Info><Product_Info><PRODUCT_START_TIME>2024-06-01T10:05:59.024Z'
        f"</PRODUCT_START_TIME><PRODUCT_URI>{NAME}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-1C</PROCESSING_LEVEL>"
        f"<PROCESSING_BASELINE>05.10</PROCESSING_BASELINE><Granule_List><Granule>{files}</Granule></Granule_List>"
        '</Product_Info><Product_Image_Characteristics><QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
        f"<Radiometric_Offset_List>{offsets}</Radiometric_Offset_List><Spectral_Information_List>{spectral}"
        "</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info></n1:Level-1C_User_Product>"
    )
    sizes = "".join(
        f'<Size resolution="{r}"><NROWS>{-(-side * 10 // r)}</NROWS><NCOLS>{-(-side * 10 // r)}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{LEFT:.0f}</ULX><ULY>{TOP:.0f}</ULY><XDIM>{r}</XDIM><YDIM>-{r}</YDIM>'
        "</Geoposition>"
        for r in (10, 20, 60)
    )
    tile = (
        '<n1:Level-1C_Tile_ID xmlns:n1="x"><n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_CODE>'
        f"{CRS}</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding></n1:Geometric_Info></n1:Level-1C_Tile_ID>"
    )
    return product, tile


def options(form: str, compress: str, resolution: int) -> dict:
    """As the products are written: JPEG 2000 lossless in tiles of 1024 (192 at 60 m), or GeoTIFF in blocks of 512."""
    if form == "safe":
        block = 192 if resolution == 60 else 1024
        return {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", "BLOCKXSIZE": block, "BLOCKYSIZE": block}
    return {
        "driver": "GTiff",
        "compress": compress,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "MAX_Z_ERROR": 0,
    }


def write_zarr(path: Path, bands: dict[str, np.ndarray]) -> None:
    import zarr

    about = {"stac_discovery": {"properties": {"proj:epsg": 32633, "processing:level": "L1C",
                                               "processing:version": "05.12",
                                               "datetime": "2024-06-01T10:05:59Z"}}}  # fmt: skip
    root = zarr.create_group(str(path), zarr_format=2, attributes=about)
    group = root.create_group("measurements").create_group("reflectance")
    groups = {r: group.create_group(f"r{r}m") for r in (10, 20, 60)}
    for band in BANDS:
        r = band.resolution_m
        attributes = {"scale_factor": 1e-4, "add_offset": -OFFSET / 1e4, "proj:epsg": 32633,
                      "proj:transform": [r, 0, LEFT, 0, -r, TOP]}  # fmt: skip
        array = groups[r].create_array(
            band.name.lower(), shape=bands[band.name].shape, chunks=(1024, 1024), dtype="uint16", fill_value=0,
            attributes=attributes,
        )  # fmt: skip
        array[:] = bands[band.name]


def make(
    out: Path, form: str, side: int, tiles: int, seed: int = 0, compress: str = "LERC_ZSTD", threads: int = 2
) -> Path:
    """Write the granule; returns what `open_scene` takes."""
    data = load([f"synthetic:{tiles}:{seed}"])
    which, turned = layout(side, len(data), seed)
    root = out / (f"{NAME}.SAFE" if form == "safe" else f"{NAME}.zarr" if form == "zarr" else f"{NAME}_{compress}")
    root.mkdir(parents=True, exist_ok=True)
    images: list[str] = []

    def one(band) -> np.ndarray | None:
        stored = np.ascontiguousarray(data.x[:, data.channels.index(band.name)])
        r = band.resolution_m
        values = coarser(mosaic(stored, which, turned, side), r // 10) + np.uint16(OFFSET)
        if form == "zarr":
            return values
        place = f"{GRANULE}/IMG_DATA/T33TWN_20240601T100559_{band.name}"
        images.append(place)
        path = root / (f"{place}.jp2" if form == "safe" else f"T33TWN_20240601T100559_{band.name}.tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path, "w", width=values.shape[1], height=values.shape[0], count=1, dtype="uint16", crs=CRS,
            transform=from_origin(LEFT, TOP, r, r), **options(form, compress, r),
        ) as target:  # fmt: skip
            target.write(values, 1)
            if form == "geotiff":
                target.scales, target.offsets = (1e-4,), (-OFFSET / 1e4,)
        return None

    with ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(one, BANDS))
    if form == "zarr":
        write_zarr(root, {band.name: values for band, values in zip(BANDS, made, strict=True)})
        return root
    if form == "safe":
        product, tile = metadata(side, sorted(images))
        (root / "MTD_MSIL1C.xml").write_text(product)
        (root / GRANULE / "MTD_TL.xml").write_text(tile)
    return root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--form", choices=("safe", "geotiff", "zarr"), default="geotiff")
    parser.add_argument("--side", type=int, default=10_980)
    parser.add_argument("--tiles", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compress", default="LERC_ZSTD")
    args = parser.parse_args()
    print(make(args.out, args.form, args.side, args.tiles, args.seed, args.compress))


if __name__ == "__main__":
    main()
