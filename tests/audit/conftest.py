"""One drawn study with findings planted in it, audited once."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont

from hybridleuk import Manifest
from hybridleuk.audit.audit import audit
from hybridleuk.data.artificial import draw_study

SIDE = 96


def _save(pixels, path, **options):
    Image.fromarray(pixels).save(path, **options)


def _pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Draw 48 images of 8 patients, spoil some, and list what was done to which."""
    folder = tmp_path_factory.mktemp("planted")
    study = draw_study(
        folder / "study",
        n_patients=8,
        images_per_patient_and_class=6,
        classes=("Benign", "Pro"),
        size=SIDE,
        random_state=3,
    )
    frame = study.frame[["path", "label", "group"]].copy()
    parts = {
        group: "test" if k % 4 == 3 else "train" for k, group in enumerate(frame.group.unique())
    }
    frame["split"] = frame["group"].map(parts)
    paths = [Path(path) for path in frame["path"]]
    extra = folder / "extra"
    extra.mkdir()
    rows = []

    def add(name, row, **changed):
        rows.append({**frame.loc[row].to_dict(), "path": str(extra / name), **changed})
        return extra / name

    shutil.copy(paths[0], add("bytes.png", 0))
    shutil.copy(paths[1], add("label.png", 1, label="Pro"))
    _save(_pixels(paths[2]), add("pixels.bmp", 2, split="test", group="P99"))
    turned = (
        Image.open(paths[3]).convert("RGB").rotate(90).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    )
    turned.save(add("near.jpg", 3), quality=60)
    content = paths[5].read_bytes()
    add("cut.png", 5).write_bytes(content[: len(content) // 2])
    paths[6].rename(paths[6].with_suffix(".jpg"))
    frame.loc[6, "path"] = str(paths[6].with_suffix(".jpg"))
    _save(_pixels(paths[7])[:80, :80], paths[7])
    Image.open(paths[8]).convert("L").save(paths[8])
    exif = Image.Exif()
    exif[274] = 3
    Image.open(paths[9]).save(paths[9], exif=exif)
    barred = Image.open(paths[10]).convert("RGB")
    ImageDraw.Draw(barred).rectangle((60, 88, 90, 91), fill="black")
    barred.save(paths[10])
    written = Image.open(paths[11]).convert("RGB")
    font = ImageFont.load_default(size=12)
    ImageDraw.Draw(written).text((2, 2), "100x 2019", fill="black", font=font)
    written.save(paths[11])
    dark = (_pixels(paths[12]) * 0.5).astype(np.uint8)
    _save(dark, paths[12])
    table = pd.concat([frame, pd.DataFrame(rows)], ignore_index=True)
    table.to_csv(folder / "manifest.csv", index=False)
    current = [Path(path) for path in frame["path"]]
    return SimpleNamespace(folder=folder, paths=current, extra=extra)


@pytest.fixture(scope="session")
def audited(planted, tmp_path_factory):
    """Audit the planted study, with a cache of its own."""
    manifest = Manifest.from_file(planted.folder / "manifest.csv")
    cache = tmp_path_factory.mktemp("audit-cache")
    return SimpleNamespace(
        audit=audit(manifest, cache=cache, workers=1, command="test"),
        manifest=manifest,
        cache=cache,
    )
