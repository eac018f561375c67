"""Cards of the data sets that hold leukemic cells."""

from __future__ import annotations

from hybridleuk.data.datasets.card import ByHand, DatasetCard, Kaggle, Part

__all__ = ["CARDS"]

_ALL_LABELS = {
    "Benign": "Benign",
    "Malignant-Early": "Early",
    "Malignant-Pre": "Pre",
    "Malignant-Pro": "Pro",
}
_ALL_COUNTS = {"Benign": 504, "Early": 985, "Pre": 963, "Pro": 804}
_ALL_FILE = r"WBC-(?P<code>Benign|Malignant-(?:Early|Pre|Pro))-(?P<number>\d+)\.jpe?g$"

ALL = DatasetCard(
    name="all",
    title="Acute lymphoblastic leukemia image dataset (Taleqani Hospital)",
    shows="fields",
    parts=(
        Part("Original", _ALL_FILE, labels=_ALL_LABELS, counts=_ALL_COUNTS, size=(224, 224)),
        Part(
            "Segmented",
            _ALL_FILE,
            labels=_ALL_LABELS,
            counts=_ALL_COUNTS,
            size=(224, 224),
            dark=True,
        ),
    ),
    cells={},
    licence="see the data set's page on Kaggle",
    terms="Kaggle asks for an account and for agreement with the terms on the data set's page.",
    citation=(
        "Ghaderzadeh M, Aria M, Hosseini A, et al. A fast and efficient CNN model for B-ALL "
        "diagnosis and its subtypes classification using peripheral blood smear images. "
        "International Journal of Intelligent Systems 37 (2022) 5113-5133"
    ),
    homepage="https://www.kaggle.com/datasets/mehradaria/leukemia",
    doi="10.34740/KAGGLE/DSV/2175623",
    source=Kaggle("mehradaria/leukemia"),
    defects=(
        "89 patients, but nothing in a file tells which image is whose: images of one patient "
        "stand on both sides of every split. Use pseudo-groups, and call them that.",
        "The abstract of the paper counts 3,562 images, the files are 3,256.",
        "At least 40 pairs of images are identical byte for byte.",
        "Color and light of the background alone tell the classes apart (98.0 % of random folds).",
        "Many images carry a burnt-in scale bar.",
    ),
)

CNMC = DatasetCard(
    name="c-nmc",
    title="C-NMC 2019: ALL challenge, single cells on black",
    shows="cells",
    parts=(
        Part(
            "C-NMC_training_data",
            r"UID_(?P<group>H?\d+)_(?P<number>\d+_\d+)_(?P<code>all|hem)\.bmp$",
            labels={"all": "all", "hem": "hem"},
            counts={"all": 7272, "hem": 3389},
            size=(450, 450),
            split="train",
            dark=True,
        ),
        Part(
            "C-NMC_test_prelim_phase_data",
            r"prelim[^/]*/(?:[^/]+/)*(?P<number>\d+)\.bmp$",
            counts={"": 1867},
            size=(450, 450),
            split="test",
            dark=True,
        ),
        Part(
            "labels of the preliminary test",
            r"prelim_phase_data_labels\.csv$",
            role="labels",
        ),
        Part(
            "C-NMC_test_final_phase_data",
            r"final[^/]*/(?:[^/]+/)*(?P<number>\d+)\.bmp$",
            counts={"": 2586},
            size=(450, 450),
            dark=True,
        ),
    ),
    cells={"all": "lymphoblast", "hem": "normal lymphoid cell"},
    licence="CC BY 3.0",
    terms="The Cancer Imaging Archive: its data usage policy applies.",
    citation=(
        "Gupta R, Gehlot S, Gupta A. C-NMC: B-lineage acute lymphoblastic leukaemia: a blood "
        "cancer dataset. Medical Engineering & Physics 103 (2022) 103793"
    ),
    homepage="https://www.cancerimagingarchive.net/collection/c-nmc-2019/",
    doi="10.7937/tcia.2019.dc64i46r",
    source=ByHand(
        (
            "Open the homepage above and download the collection C-NMC 2019.",
            "Unpack the zip files so that C-NMC_training_data/fold_0 to fold_2 lie side by side.",
            "Check it: hybridleuk datasets check FOLDER",
        )
    ),
    groups=(
        "the number after UID_ in the file name; H before it marks a healthy person. The "
        "preliminary test names its patients in its table, the final one does not."
    ),
    group_kind="patient",
    defects=(
        "Each patient has one class, so folds must keep patients apart (random folds add about "
        "0.04 AUROC).",
        "Cells are cut out and painted on black, so nothing of the smear is left to compare with.",
        "The final test has no labels.",
    ),
)

_IDB = r"Im(?P<number>\d{3})_(?P<code>[01])"
_IDB_LABELS = {"0": "healthy", "1": "blast"}
_IDB_STEPS = ByHand(
    (
        "Open the homepage above and ask for the data set by e-mail, as it says there.",
        "Unpack what you are sent; keep the folders as they are.",
        "Check it: hybridleuk datasets check FOLDER",
    )
)
_IDB_CITATION = (
    "Donida Labati R, Piuri V, Scotti F. ALL-IDB: the acute lymphoblastic leukemia image database "
    "for image processing. IEEE ICIP 2011, 2045-2048"
)

ALL_IDB1 = DatasetCard(
    name="all-idb1",
    title="ALL-IDB1: fields with and without lymphoblasts",
    shows="fields",
    parts=(
        Part(
            "im",
            rf"{_IDB}\.jpe?g$",
            labels=_IDB_LABELS,
            counts={"healthy": 59, "blast": 49},
        ),
        Part("xyc", r"Im(?P<number>\d{3})_(?P<code>[01])\.xyc$", "points", _IDB_LABELS),
    ),
    cells={},
    licence="for research, on request",
    terms="Handed out by the authors on request; no redistribution.",
    citation=_IDB_CITATION,
    homepage="https://homes.di.unimi.it/scotti/all/",
    source=_IDB_STEPS,
    defects=(
        "Two cameras and several magnifications are mixed.",
        "The centers in xyc are those of probable lymphoblasts only, not of all leukocytes.",
        "Nothing in a file tells the patient.",
    ),
)

ALL_IDB2 = DatasetCard(
    name="all-idb2",
    title="ALL-IDB2: single cells cut from ALL-IDB1",
    shows="cells",
    parts=(
        Part(
            "img",
            rf"{_IDB}\.tiff?$",
            labels=_IDB_LABELS,
            counts={"healthy": 130, "blast": 130},
            size=(257, 257),
        ),
    ),
    cells={"blast": "lymphoblast"},
    licence="for research, on request",
    terms="Handed out by the authors on request; no redistribution.",
    citation=_IDB_CITATION,
    homepage="https://homes.di.unimi.it/scotti/all/",
    source=_IDB_STEPS,
    defects=(
        "The cells are cut from the fields of ALL-IDB1: never train on one and test on the other.",
        "Nothing in a file tells the patient.",
    ),
)

_AML_CODES = {
    "BAS": 79,
    "EBO": 78,
    "EOS": 424,
    "KSC": 15,
    "LYA": 11,
    "LYT": 3937,
    "MMZ": 15,
    "MOB": 26,
    "MON": 1789,
    "MYB": 42,
    "MYO": 3268,
    "NGB": 109,
    "NGS": 8484,
    "PMB": 18,
    "PMO": 70,
}

AML = DatasetCard(
    name="aml-matek",
    title="AML-Cytomorphology_LMU: single cells of 100 patients and 100 controls",
    shows="cells",
    parts=(
        Part(
            "AML-Cytomorphology",
            rf"(?P<code>{'|'.join(_AML_CODES)})_(?P<number>\d+)\.tiff?$",
            labels={code: code for code in _AML_CODES},
            counts=_AML_CODES,
            size=(400, 400),
        ),
        Part("annotations", r"annotations\.dat$", role="labels"),
    ),
    cells={
        "BAS": "basophil",
        "EBO": "erythroblast",
        "EOS": "eosinophil",
        "KSC": "smudge cell",
        "LYA": "atypical lymphocyte",
        "LYT": "lymphocyte",
        "MMZ": "metamyelocyte",
        "MOB": "monoblast",
        "MON": "monocyte",
        "MYB": "myelocyte",
        "MYO": "myeloblast",
        "NGB": "band neutrophil",
        "NGS": "segmented neutrophil",
        "PMB": "bilobed promyelocyte",
        "PMO": "promyelocyte",
    },
    licence="CC BY 3.0",
    terms="The Cancer Imaging Archive: its data usage policy applies.",
    citation=(
        "Matek C, Schwarz S, Spiekermann K, Marr C. Human-level recognition of blast cells in "
        "acute myeloid leukaemia with convolutional neural networks. Nature Machine Intelligence "
        "1 (2019) 538-544"
    ),
    homepage="https://www.cancerimagingarchive.net/collection/aml-cytomorphology_lmu/",
    doi="10.7937/tcia.2019.36f5o9ld",
    source=ByHand(
        (
            "Open the homepage above and download the collection (about 11 GB).",
            "Keep one folder per class, such as MYO/MYO_0001.tiff, with annotations.dat beside.",
            "Check it: hybridleuk datasets check FOLDER",
        )
    ),
    defects=(
        "200 people, but no file tells which cell is whose.",
        "Five classes hold fewer than 20 cells; KSC, LYA and MMZ fewer than 16.",
        "Images carry an alpha channel.",
    ),
)

CARDS = (ALL, CNMC, ALL_IDB1, ALL_IDB2, AML)
