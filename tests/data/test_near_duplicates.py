"""Near-duplicates planted among drawn smears are found; different cells of one kind are not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from hybridleuk.data.artificial import draw_cell
from hybridleuk.data.fingerprints import SIDE, fingerprint, fingerprints
from hybridleuk.data.near_duplicates import near_duplicates
from hybridleuk.data.registration import Prepared, fit_pictures

KINDS = ("lymphocyte", "neutrophil", "monocyte", "eosinophil")


def picture(image):
    return fingerprint(image)[1][0]


def recompressed(image, quality=30):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def turned(image, angle):
    return np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC))


def cropped(image, top=0.02, left=0.08):
    side = image.shape[0]
    kept, y, x = round(0.9 * side), round(top * side), round(left * side)
    return image[y : y + kept, x : x + kept]


def brighter(image, factor):
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor))


ALTERED = {
    "turned by 37 degrees": lambda image: turned(image, 37),
    "turned by 90 degrees": lambda image: np.rot90(image).copy(),
    "mirrored": lambda image: image[:, ::-1].copy(),
    "upside down": lambda image: image[::-1].copy(),
    "JPEG quality 30": recompressed,
    "cropped by a tenth": cropped,
    "15 % darker": lambda image: brighter(image, 0.85),
    "15 % brighter": lambda image: brighter(image, 1.15),
    "all at once": lambda image: recompressed(cropped(turned(brighter(image, 0.9), 200)), 50),
}


@pytest.fixture(scope="module")
def smears():
    return [draw_cell(KINDS[i % 4], random_state=i).image for i in range(24)]


def test_altered_copies_are_found_among_others_and_nothing_else(smears):
    copies = [change(smears[row]) for row, change in enumerate(ALTERED.values())]
    pairs = near_duplicates([*smears, *copies, smears[20].copy()], cache=None, n_jobs=1)
    found = {(pair.first, pair.second) for pair in pairs}
    assert found == {(row, len(smears) + row) for row in range(len(ALTERED))}, "bytes are not asked"
    assert min(pair.score for pair in pairs) > 0.9


def test_copies_without_color_are_found_among_images_with_color(smears):
    grey = [
        np.asarray(Image.fromarray(turned(smears[row], 10 * row)).convert("L").convert("RGB"))
        for row in range(4)
    ]
    pairs = near_duplicates([*smears, *grey], cache=None, n_jobs=1)
    assert {(pair.first, pair.second) for pair in pairs} == {(row, 24 + row) for row in range(4)}


def test_a_picture_made_ready_fits_as_the_picture_does(smears):
    first, second = (picture(image) for image in (smears[5], turned(smears[5], 70)))
    assert fit_pictures(Prepared(first), Prepared(second)) == fit_pictures(first, second)


def test_many_copies_hang_together(smears):
    copies = [turned(smears[3], angle) for angle in (20, 140, 260)]
    pairs = near_duplicates([*smears[:10], *copies], cache=None, n_jobs=1)
    reached = {3}
    for _ in copies:
        reached |= {i for p in pairs for i in (p.first, p.second) if {p.first, p.second} & reached}
    assert reached == {3, 10, 11, 12}


@pytest.mark.parametrize("angle", [0, 33, 121, 250])
def test_turn_and_scale_are_found(smears, angle):
    fit = fit_pictures(picture(turned(smears[1], angle)), picture(smears[1]))
    off = (fit.angle - angle + 180) % 360 - 180
    assert abs(off) < 1.5
    assert fit.scale == pytest.approx(1, abs=0.02)
    assert not fit.mirrored


def test_a_mirrored_picture_is_told(smears):
    fit = fit_pictures(picture(smears[1]), picture(smears[1][:, ::-1].copy()))
    assert fit.mirrored
    assert fit.score > 0.99


def test_fields_that_are_not_square(smears):
    rng = np.random.default_rng(0)
    fields = [
        np.hstack([smears[i], smears[j]])[:, 40:]
        for i, j in (rng.permutation(24)[:2] for _ in range(6))
    ]
    pairs = near_duplicates([*fields, recompressed(fields[4])], cache=None, n_jobs=1)
    assert (4, 6) in [(pair.first, pair.second) for pair in pairs]


def test_one_color_and_one_image():
    plain = np.full((64, 64, 3), 200, np.uint8)
    assert near_duplicates([plain], cache=None) == []
    assert fit_pictures(picture(plain), picture(plain)).score <= 0
    near_duplicates([plain, plain - 5, plain - 9], cache=None, n_jobs=1)


def test_fingerprints_are_kept_by_content(smears, tmp_path):
    first = fingerprints(smears[:3], cache=tmp_path)
    again = fingerprints(smears[:3], cache=tmp_path)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert first[1].shape == (3, SIDE, SIDE)
    assert np.array_equal(first[0][1:2], fingerprint(smears[1])[0])
