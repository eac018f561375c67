"""Public data sets drawn small, each in the layout and file naming it has on people's disks."""

import numpy as np
import pytest
from PIL import Image

from hybridleuk import progress


def save_picture(path, size=(24, 24), color=(220, 205, 215)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), color, np.uint8)
    number = sum(path.as_posix().encode()) % 200
    pixels[4:12, 4:12] = (110, 40 + number // 4, 130)  # no two alike
    Image.fromarray(pixels).save(path)
    return path


def draw_all(root):
    codes = {"Benign": "Benign", "Early": "Malignant-Early", "Pre": "Malignant-Pre"}
    codes["Pro"] = "Malignant-Pro"
    for part, color in (("Original", (220, 205, 215)), ("Segmented", (0, 0, 0))):
        for label, code in codes.items():
            for number in (1, 2):
                save_picture(
                    root / part / label / f"WBC-{code}-{number:03d}.jpg", (224, 224), color
                )


def draw_cnmc(root):
    cells = {"all": ("1_1_1", "1_1_2", "11_8_2"), "hem": ("H6_12_1", "H24_2_1")}
    for fold, (label, names) in enumerate(cells.items()):
        for name in names:
            path = root / "C-NMC_training_data" / f"fold_{fold}" / label / f"UID_{name}_{label}.bmp"
            save_picture(path, (45, 45), (0, 0, 0))
    test = root / "C-NMC_test_prelim_phase_data"
    for number in (1, 2):
        save_picture(test / "C-NMC_test_prelim_phase_data" / f"{number}.bmp", (45, 45), (0, 0, 0))
    (test / "C-NMC_test_prelim_phase_data_labels.csv").write_text(
        "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_H49_29_1_hem.bmp,2.bmp,0\n"
    )
    for number in (1, 2, 3):
        path = root / "C-NMC_test_final_phase_data" / f"{number}.bmp"
        save_picture(path, (45, 45), (0, 0, 0))


def draw_idb1(root):
    for name in ("Im001_1", "Im002_1", "Im034_0"):
        save_picture(root / "ALL_IDB1" / "im" / f"{name}.jpg", (30, 40))
        points = root / "ALL_IDB1" / "xyc" / f"{name}.xyc"
        points.parent.mkdir(parents=True, exist_ok=True)
        points.write_text("12\t7\n" if name.endswith("1") else "")


def draw_idb2(root):
    for name in ("Im001_1", "Im131_0"):
        save_picture(root / "ALL_IDB2" / "img" / f"{name}.tif", (257, 257))


def draw_pbc(root):
    names = {"basophil": "BA_1", "ig": "PMY_2", "neutrophil": "SNE_3", "platelet": "PLATELET_4"}
    for label, name in names.items():
        save_picture(root / "PBC_dataset_normal_DIB" / label / f"{name}.jpg", (363, 360))
    save_picture(root / "PBC_dataset_normal_DIB" / "ig" / "MMY_12.jpg", (360, 360))
    (root / "PBC_dataset_normal_DIB" / "neutrophil" / ".DS_169665.jpg").write_bytes(b"\0\0Bud1")


def draw_bccd(root):
    for number in range(3):
        save_picture(root / "BCCD" / "JPEGImages" / f"BloodImage_{number:05d}.jpg", (480, 640))
        box = root / "BCCD" / "Annotations" / f"BloodImage_{number:05d}.xml"
        box.parent.mkdir(parents=True, exist_ok=True)
        box.write_text("<annotation></annotation>")
    lists = root / "BCCD" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("BloodImage_00000\nBloodImage_00001\n")
    (lists / "val.txt").write_text("BloodImage_00002\n")
    (lists / "trainval.txt").write_text("BloodImage_00000\nBloodImage_00001\nBloodImage_00002\n")


def draw_raabin(root):
    for part in ("Train", "TestA", "TestB"):
        for label in ("Basophil", "Neutrophil"):
            save_picture(root / part / label / f"95-5-1-1_{part}_{label[0]}.jpg", (57, 57))


def draw_lisc(root):
    for folder in ("Baso", "eosi", "mixt"):
        save_picture(root / "Main Dataset" / folder / "1.bmp", (576, 720))
        truth = root / "Ground Truth Segmentation" / folder / "areaforexpert1"
        save_picture(truth / "1_expert.bmp", (576, 720))


def draw_aml(root):
    for code, number in (("MYO", 1), ("MYO", 2), ("NGS", 1), ("KSC", 15)):
        save_picture(root / "AML-Cytomorphology" / code / f"{code}_{number:04d}.tiff", (400, 400))
    (root / "annotations.dat").write_text("MYO/MYO_0001.tiff MYO nan nan\n")


def draw_zheng(root, number, side):
    folder = root / f"Dataset {number}"
    for image in (1, 2, 3):
        save_picture(folder / f"{image:03d}.bmp", (side, side))
        save_picture(folder / f"{image:03d}.png", (side, side))
    labels = "image ID,class label\n1,2\n2,1\n3,5\n"
    (root / f"Class Labels of Dataset {number}.csv").write_text(labels)


def draw_bloodmnist(root):
    root.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = np.full((n, 28, 28, 3), 200, np.uint8)
        arrays[f"{split}_labels"] = np.arange(n, dtype=np.uint8)[:, None]
    np.savez(root / "bloodmnist.npz", **arrays)


DRAWN = {
    "all": draw_all,
    "c-nmc": draw_cnmc,
    "all-idb1": draw_idb1,
    "all-idb2": draw_idb2,
    "pbc": draw_pbc,
    "bccd": draw_bccd,
    "raabin": draw_raabin,
    "lisc": draw_lisc,
    "aml-matek": draw_aml,
    "zheng-1": lambda root: draw_zheng(root, 1, 120),
    "zheng-2": lambda root: draw_zheng(root, 2, 300),
    "bloodmnist": draw_bloodmnist,
}


@pytest.fixture
def save():
    """Write a small picture of one's own."""
    return save_picture


@pytest.fixture
def notes():
    """Collect what the user is told."""

    class Collecting(progress.Listener):
        def noted(self, text):
            said.append(text)

    said = []
    with progress.report_to(Collecting()):
        yield said


@pytest.fixture
def draw(tmp_path):
    """Draw a data set and return the folder that it was unpacked into."""

    def make(name):
        root = tmp_path / "downloads" / "unpacked"
        DRAWN[name](root)
        return root

    return make
