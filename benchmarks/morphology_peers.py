"""What other libraries offer of the morphology, on the masks and crops of the same cells.

Each function measures one image's cells and returns how many values it got for each. They get
what makes them fast: crops instead of whole images, separable footprints, conversions once a cell.
"""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2hed, rgb2hsv, rgb2lab
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.filters import rank
from skimage.measure import find_contours, label, regionprops_table
from skimage.measure._regionprops import PROP_VALS
from skimage.morphology import closing, disk, footprint_rectangle, h_maxima, opening

EVERY_PROPERTY = tuple(sorted(PROP_VALS))
FORM = ("area", "perimeter_crofton", "equivalent_diameter_area", "axis_major_length")
FORM += ("axis_minor_length", "eccentricity", "solidity", "area_convex", "feret_diameter_max")
FORM += ("moments_hu", "centroid", "euler_number")
HARALICK = ("contrast", "homogeneity", "energy", "correlation", "entropy", "dissimilarity")
ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
DISTANCES = (1, 8)
SIDES = (5, 11, 21)


def parts_of(image, cells):
    """Cut each cell out: its image, nucleus, cytoplasm and whole."""
    for cell in cells.cells:
        y0, x0, y1, x1 = cell.box
        whole = cells.instances[y0:y1, x0:x1] == cell.number
        nucleus = whole & cells.nucleus[y0:y1, x0:x1]
        yield np.ascontiguousarray(image[y0:y1, x0:x1]), nucleus, whole & ~nucleus, whole


def cooccurrence(crop, mask) -> int:
    levels = np.where(mask, 1 + crop[..., 1] // 17, 0).astype(np.uint8)
    for distance in DISTANCES:
        matrix = graycomatrix(levels, [distance], ANGLES, levels=17, symmetric=True)
        for name in HARALICK:
            graycoprops(matrix[1:, 1:], name)
    return len(DISTANCES) * len(HARALICK)


def scikit_image_regionprops(image, cells) -> int:
    """Every property of ``regionprops_table`` for nucleus and cytoplasm, and GLCM."""
    for crop, nucleus, cytoplasm, _ in parts_of(image, cells):
        n_values = 0
        for mask in (nucleus, cytoplasm):
            table = regionprops_table(mask.view(np.uint8), crop, properties=EVERY_PROPERTY)
            n_values += sum(column.dtype != object for column in table.values())
            n_values += cooccurrence(crop, mask)
    return n_values


def scikit_image_equivalent(image, cells) -> int:
    """Build the closest set of what the catalogue holds from scikit-image's calls."""
    for crop, nucleus, cytoplasm, whole in parts_of(image, cells):
        n_values = 0
        for mask in (nucleus, whole):
            n_values += scikit_image_shape(mask)
        channels = [crop, rgb2hsv(crop), rgb2lab(crop), rgb2hed(crop)]
        channels.append(-np.log10(np.maximum(crop, 1) / 255))
        stacked = np.concatenate(channels, axis=-1)
        for mask in (nucleus, cytoplasm):
            n_values += scikit_image_color(stacked, mask)
            n_values += cooccurrence(crop, mask) + scikit_image_texture(crop, mask)
    return n_values


def scikit_image_shape(mask) -> int:
    from scipy.ndimage import distance_transform_edt

    table = regionprops_table(mask.view(np.uint8), properties=FORM)
    depth = distance_transform_edt(np.pad(mask, 1))
    lobes = label(h_maxima(depth, 0.2 * depth.max())).max()
    contour = max(find_contours(np.pad(mask, 1).astype(float), 0.5), key=len)
    outline = np.abs(np.fft.fft(contour @ (1, 1j)))[2:25]
    return len(table) + len([lobes, depth.max(), depth.mean()]) + len(outline)


def scikit_image_color(stacked, mask) -> int:
    properties = ("intensity_mean", "intensity_std", "intensity_median")
    return len(regionprops_table(mask.view(np.uint8), stacked, properties=properties))


def scikit_image_texture(crop, mask) -> int:
    green = np.ascontiguousarray(crop[..., 1])
    for radius in (1, 3):
        codes = local_binary_pattern(green, 8, radius, "uniform")
        np.bincount(codes[mask].astype(int), minlength=10)
    entropy = rank.entropy(green, disk(6), mask=mask)[mask]
    entropy.mean(), entropy.std()
    for side in SIDES:
        square = footprint_rectangle((side, side), decomposition="separable")
        opening(green, square)[mask].mean(), closing(green, square)[mask].mean()
    return 2 * 10 + 2 + 2 * len(SIDES)


def mahotas_equivalent(image, cells) -> int:
    """Haralick at two distances, patterns, Zernike and plain moments, form, Lab, granulometry."""
    import mahotas as mh

    for crop, nucleus, cytoplasm, whole in parts_of(image, cells):
        n_values = 0
        for mask in (nucleus, whole):
            radius = max(mask.shape) / 2
            values = [*mh.features.zernike_moments(mask.view(np.uint8), radius, degree=8)]
            values += [mh.features.roundness(mask), mh.features.eccentricity(mask)]
            values += [*mh.features.ellipse_axes(mask), mh.labeled.perimeter(mask)]
            values += [mh.polygon.fill_convexhull(mask).sum(), mh.label(mask)[1]]
            values += [mh.moments(mask, p, q) for p in range(4) for q in range(4 - p)]
            depth = mh.distance(mask)
            n_values += len([*values, depth.max(), mh.label(mh.regmax(depth))[1]])
        channels = np.concatenate([crop, mh.colors.rgb2lab(crop)], axis=-1)
        for mask in (nucleus, cytoplasm):
            pixels = channels[mask]
            n_values += len([*pixels.mean(axis=0), *pixels.std(axis=0)])
            n_values += mahotas_texture(mh, crop, mask)
    return n_values


def mahotas_texture(mh, crop, mask) -> int:
    green = np.ascontiguousarray(crop[..., 1])
    levels = np.where(mask, 1 + green // 17, 0).astype(np.uint8)
    n_values = 0
    for distance in DISTANCES:
        values = mh.features.haralick(levels, ignore_zeros=True, distance=distance)
        n_values += values.shape[1]
    for radius in (1, 3):
        n_values += mh.features.lbp(green, radius, 8).size
    for side in SIDES:
        square = np.ones((side, side), dtype=bool)
        mh.open(green, square)[mask].mean(), mh.close(green, square)[mask].mean()
        n_values += 2
    return n_values


def cp_measure_equivalent(image, cells) -> int:
    """CellProfiler's measures by ``cp_measure``: form, intensity of three bands, texture."""
    from cp_measure.bulk import get_core_measurements

    measures = get_core_measurements()
    for crop, nucleus, cytoplasm, whole in parts_of(image, cells):
        bands, n_values = np.moveaxis(crop / 255.0, 2, 0), 0
        for mask in (nucleus, whole):
            for name in ("sizeshape", "feret", "zernike"):
                n_values += len(measures[name](mask.astype(np.int32), bands[1]))
        for mask in (nucleus, cytoplasm):
            labels = mask.astype(np.int32)
            n_values += sum(len(measures["intensity"](labels, band)) for band in bands)
            n_values += len(measures["texture"](labels, bands[1], gray_levels=16))
            n_values += len(measures["granularity"](labels, bands[1]))
    return n_values


def of_regionprops_and_glcm(feature) -> bool:
    """Whether a feature of the catalogue is of a kind that regionprops and GLCM measure too."""
    bands = ("_red_", "_green_", "_blue_")
    of_bands = feature.family == "color" and any(band in feature.name for band in bands)
    return feature.family == "shape" or "_glcm_" in feature.name or of_bands


# Name, function, and which of our features to compare with: all, or those of the same kinds.
PEERS = (
    ("scikit-image, equivalent set", scikit_image_equivalent, None),
    ("mahotas, equivalent set", mahotas_equivalent, None),
    ("cp_measure, equivalent set", cp_measure_equivalent, None),
    ("scikit-image, every regionprops + GLCM", scikit_image_regionprops, None),
    ("the same, against ours of these kinds", scikit_image_regionprops, of_regionprops_and_glcm),
)
LIBRARIES = {mahotas_equivalent: "mahotas", cp_measure_equivalent: "cp_measure"}
