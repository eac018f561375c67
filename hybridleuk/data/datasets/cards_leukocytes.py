"""Cards of the data sets of normal leukocytes and of whole fields."""

from __future__ import annotations

from hybridleuk.data.datasets.card import ByHand, DatasetCard, Download, Part

__all__ = ["CARDS"]

_PBC_LABELS = {
    "BA": "basophil",
    "EO": "eosinophil",
    "ERB": "erythroblast",
    "IG": "ig",
    "MMY": "ig",
    "MY": "ig",
    "PMY": "ig",
    "LY": "lymphocyte",
    "MO": "monocyte",
    "BNE": "neutrophil",
    "SNE": "neutrophil",
    "NEUTROPHIL": "neutrophil",
    "PLATELET": "platelet",
}
_PBC_COUNTS = {  # in the order in which BloodMNIST numbers them
    "basophil": 1218,
    "eosinophil": 3117,
    "erythroblast": 1551,
    "ig": 2895,
    "lymphocyte": 1214,
    "monocyte": 1420,
    "neutrophil": 3329,
    "platelet": 2348,
}
_PBC_CITATION = (
    "Acevedo A, Merino A, Alférez S, Molina Á, Boldú L, Rodellar J. A dataset of microscopic "
    "peripheral blood cell images for development of automatic recognition systems. Data in Brief "
    "30 (2020) 105474"
)
_PBC_CELLS = {name: name for name in _PBC_COUNTS} | {"ig": "immature granulocyte"}

PBC = DatasetCard(
    name="pbc",
    title="PBC: peripheral blood cells of healthy people (Hospital Clínic de Barcelona)",
    shows="cells",
    parts=(
        Part(
            "PBC_dataset_normal_DIB",
            rf"(?:^|/)(?P<code>{'|'.join(_PBC_LABELS)})_(?P<number>\d+)\.jpe?g$",
            labels=_PBC_LABELS,
            counts=_PBC_COUNTS,
            size=(363, 360),
        ),
    ),
    cells=_PBC_CELLS,
    licence="CC BY 4.0",
    terms="Free with attribution.",
    citation=_PBC_CITATION,
    homepage="https://data.mendeley.com/datasets/snkd93bnjr/1",
    doi="10.17632/snkd93bnjr.1",
    source=ByHand(
        (
            "Open the homepage above and choose Download All.",
            "Unpack the zip file, and PBC_dataset_normal_DIB.zip in it.",
            "Check it: hybridleuk datasets check FOLDER",
        )
    ),
    defects=(
        "Nothing in a file tells the patient.",
        "Some images are identical byte for byte.",
        "neutrophil/.DS_169665.jpg is a file of the macOS desktop and no image.",
        "A few images are not 360 x 363.",
    ),
)

BLOODMNIST = DatasetCard(
    name="bloodmnist",
    title="BloodMNIST of MedMNIST v2: PBC made small",
    shows="cells",
    parts=(
        Part(
            "npz",
            r"(?:^|/)(?P<code>[0-7])/(?P<split>train|val|test)_(?P<number>\d{5,})\.ppm$",
            labels={str(number): name for number, name in enumerate(_PBC_COUNTS)},
            counts=_PBC_COUNTS,
        ),
    ),
    witness=r"bloodmnist[^/]*\.npz/",
    cells=_PBC_CELLS,
    licence="CC BY 4.0",
    terms="Free with attribution.",
    citation=(
        "Yang J, Shi R, Wei D, et al. MedMNIST v2: a large-scale lightweight benchmark for 2D and "
        f"3D biomedical image classification. Scientific Data 10 (2023) 41. And: {_PBC_CITATION}"
    ),
    homepage="https://medmnist.com/",
    doi="10.5281/zenodo.10519652",
    source=Download(
        {
            "bloodmnist_224.npz": (
                "https://zenodo.org/records/10519652/files/bloodmnist_224.npz?download=1"
            )
        },
        md5={"bloodmnist_224.npz": "b718ff6835fcbdb22ba9eacccd7b2601"},
        medmnist="bloodmnist",
    ),
    defects=(
        "The same cells as in PBC: never train on one and test on the other.",
        "Split at random, with no regard to patients, which nobody knows.",
        "At 28 px, what morphology measures is gone.",
    ),
)

_BCCD_FILE = r"BloodImage_(?P<number>\d{5})"

BCCD = DatasetCard(
    name="bccd",
    title="BCCD: smear fields with boxes",
    shows="fields",
    parts=(
        Part("JPEGImages", rf"{_BCCD_FILE}\.jpe?g$", counts={"": 364}, size=(480, 640)),
        Part("Annotations", rf"{_BCCD_FILE}\.xml$", role="boxes"),
        Part("ImageSets", r"(?:^|/)(?P<split>train|val|test)\.txt$", role="labels"),
    ),
    cells={"WBC": "leukocyte", "RBC": "red cell", "Platelets": "platelet"},
    licence="MIT",
    terms="Free with the notice of the licence.",
    citation="BCCD dataset, https://github.com/Shenggan/BCCD_Dataset",
    homepage="https://github.com/Shenggan/BCCD_Dataset",
    source=Download(
        {
            "BCCD_Dataset.zip": (
                "https://github.com/Shenggan/BCCD_Dataset/archive/refs/heads/master.zip"
            )
        }
    ),
    defects=(
        "Boxes miss visible cells, mostly red cells at the border; some boxes are a few pixels.",
        "Nothing in a file tells the patient.",
    ),
)

_FIVE = ("Basophil", "Eosinophil", "Lymphocyte", "Monocyte", "Neutrophil")
_FIVE_FOLDERS = rf"(?P<label>{'|'.join(_FIVE)})s?"

RAABIN = DatasetCard(
    name="raabin",
    witness=r"(?:^|/)Test[AB]/|raabin|double[-_ ]label",
    title="Raabin-WBC: double-labelled cells of two microscopes",
    shows="cells",
    parts=(
        Part(
            "Train",
            rf"(?:^|/)Train/{_FIVE_FOLDERS}/[^/]+\.jpe?g$",
            counts=dict(zip(_FIVE, (212, 744, 2427, 561, 6231), strict=True)),
            split="train",
        ),
        Part(
            "TestA",
            rf"(?:^|/)TestA/{_FIVE_FOLDERS}/[^/]+\.jpe?g$",
            counts=dict(zip(_FIVE, (89, 322, 1034, 234, 2660), strict=True)),
            split="test",
        ),
        Part("TestB", rf"(?:^|/)TestB/{_FIVE_FOLDERS}/[^/]+\.jpe?g$", split="test-b"),
    ),
    cells={name: name.lower() for name in _FIVE},
    licence="free access, see the data set's page",
    terms="See the data set's page; cite the paper.",
    citation=(
        "Mousavi Kouzehkanan Z, Saghari S, Tavakoli S, et al. A large dataset of white blood cells "
        "containing cell locations and types, along with segmented nuclei and cytoplasm. "
        "Scientific Reports 12 (2022) 1123"
    ),
    homepage="https://raabindata.com/free-data/",
    doi="10.1038/s41598-021-04426-x",
    source=ByHand(
        (
            "Open the homepage above and download Train, TestA and TestB of the double-labelled "
            "cropped cells.",
            "Unpack each into a folder of its name, side by side.",
            "Check it: hybridleuk datasets check FOLDER",
        )
    ),
    defects=(
        "TestB comes from another microscope and camera: networks that read 98 % of TestA read a "
        "third of it. Keep it for the test.",
        "Cells of one slide stand in Train and in TestA.",
    ),
)

_LISC = {
    "Baso": "Basophil",
    "Eosi": "Eosinophil",
    "Lymp": "Lymphocyte",
    "Mono": "Monocyte",
    "Neut": "Neutrophil",
    "Mixt": "Mixed",
}

LISC = DatasetCard(
    name="lisc",
    title="LISC: leukocyte fields with masks drawn by an expert",
    shows="fields",
    parts=(
        Part(
            "Main Dataset",
            rf"(?<!expert)/(?P<code>{'|'.join(_LISC)})[a-z]*/(?P<number>\d+)\.bmp$",
            labels=_LISC,
            size=(576, 720),
            distinctive=False,
        ),
        Part(
            "Ground Truth Segmentation",
            rf"Ground[ _]?Truth[^/]*/(?P<code>{'|'.join(_LISC)})[a-z]*/(?:[^/]+/)*"
            r"(?P<number>\d+)[^/]*\.bmp$",
            role="masks",
            labels=_LISC,
        ),
    ),
    cells={name: name.lower() for name in _FIVE},
    licence="for research",
    terms="See the authors' page; cite the paper.",
    citation=(
        "Rezatofighi SH, Soltanian-Zadeh H. Automatic recognition of five types of white blood "
        "cells in peripheral blood. Computerized Medical Imaging and Graphics 35 (2011) 333-343"
    ),
    homepage="http://users.cecs.anu.edu.au/~hrezatofighi/Data/Leukocyte%20Data.htm",
    doi="10.1016/j.compmedimag.2011.01.003",
    source=ByHand(
        (
            "Open the homepage above and download the data set.",
            "Unpack it so that 'Main Dataset' and 'Ground Truth Segmentation' lie side by side.",
            "Check it: hybridleuk datasets check FOLDER",
        )
    ),
    defects=("Eight people, but no file tells which field is whose.",),
)

_ZHENG_LABELS = {
    "1": "neutrophil",
    "2": "lymphocyte",
    "3": "monocyte",
    "4": "eosinophil",
    "5": "basophil",
}


def _zheng(
    number: int, size: tuple[int, int], counts: dict[str, int], *defects: str
) -> DatasetCard:
    return DatasetCard(
        name=f"zheng-{number}",
        title=f"Zheng {number}: single cells with masks of nucleus and cytoplasm",
        shows="cells",
        parts=(
            Part(
                f"Dataset {number}",
                r"(?:^|/)(?P<number>\d{3})\.bmp$",
                labels=_ZHENG_LABELS,
                counts=counts,
                size=size,
                distinctive=False,
            ),
            Part("masks", r"(?:^|/)(?P<number>\d{3})\.png$", role="masks"),
            Part("labels", r"(?:^|/)class[ _]labels[^/]*\.csv$", role="labels"),
        ),
        cells={name: name for name in _ZHENG_LABELS.values()},
        licence="GPL-3.0",
        terms="Free under the licence; cite the paper.",
        citation=(
            "Zheng X, Wang Y, Wang G, Liu J. Fast and robust segmentation of white blood cell "
            "images by self-supervised learning. Micron 107 (2018) 55-71"
        ),
        homepage="https://github.com/zxaoyou/segmentation_WBC",
        doi="10.1016/j.micron.2018.01.010",
        source=Download(
            {
                "segmentation_WBC.zip": (
                    "https://github.com/zxaoyou/segmentation_WBC/archive/refs/heads/master.zip"
                )
            }
        ),
        defects=("The authors did not have the class labels checked by experts.", *defects),
    )


ZHENG_1 = _zheng(
    1,
    (120, 120),
    {"neutrophil": 176, "lymphocyte": 53, "monocyte": 48, "eosinophil": 22, "basophil": 1},
    "One basophil only: a balanced accuracy over five classes hangs on it.",
    "A quarter of the images (76 of 300) are not 120 x 120.",
)
ZHENG_2 = _zheng(2, (300, 300), {}, "Collected from many slides of a manufacturer's blog.")

CARDS = (PBC, BLOODMNIST, BCCD, RAABIN, LISC, ZHENG_1, ZHENG_2)
