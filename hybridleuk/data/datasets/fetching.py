"""Coming by a data set: from Kaggle, from plain addresses, or by steps that a person must take.

Terms are shown, never accepted on anybody's behalf. What cannot be fetched ends in an error that
says how to do it by hand.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

from hybridleuk import progress
from hybridleuk.data.datasets.card import ByHand, DatasetCard, Download, Kaggle
from hybridleuk.data.download import download
from hybridleuk.exceptions import DownloadError, OutputError

__all__ = ["fetch_dataset", "steps_by_hand", "unpack"]

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def fetch_dataset(card: DatasetCard, folder: str | os.PathLike[str]) -> list[Path]:
    """Fetch a data set into a folder, and unpack it there.

    A download that was cut short goes on where it stopped; what is there and complete is kept.

    Parameters
    ----------
    card : DatasetCard
    folder : path

    Returns
    -------
    list of Path
        What was written: folders of unpacked archives, or files.

    Raises
    ------
    DownloadError
        It cannot be reached, needs an account, or has to be fetched by hand; the message says how.
    OutputError
        An archive is damaged or would write outside the folder.
    """
    target = Path(folder)
    if isinstance(card.source, ByHand):
        raise DownloadError(f"{card.name} cannot be fetched by a program. {steps_by_hand(card)}")
    try:
        if isinstance(card.source, Kaggle):
            return [_from_kaggle(card.source, target)]
        return _from_addresses(card.source, target)
    except DownloadError as error:
        with suppress(OSError):  # it stays where anything is in it
            target.rmdir()
        raise DownloadError(f"{error}. By hand: {steps_by_hand(card)}") from error


def steps_by_hand(card: DatasetCard) -> str:
    """Tell what a person does to come by a data set."""
    if isinstance(card.source, ByHand):
        steps = card.source.steps
    elif isinstance(card.source, Kaggle):
        steps = (
            f"Log in to Kaggle, open {card.homepage} and agree to the terms.",
            f"Download it there, or type: kaggle datasets download -d {card.source.slug} --unzip",
            "Check it: hybridleuk datasets check FOLDER",
        )
    else:
        addresses = " and ".join(card.source.files.values())
        steps = (
            f"Download {addresses} with a browser.",
            "Check it, unpacked or as it is: hybridleuk datasets check FOLDER",
        )
    numbered = " ".join(f"({i}) {step}" for i, step in enumerate(steps, 1))
    return f"{numbered} Homepage: {card.homepage}"


def _from_kaggle(source: Kaggle, target: Path) -> Path:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target} is not empty; name another folder for the data set.")
    try:
        import kagglehub
    except ImportError as error:
        raise DownloadError(
            f"{source.slug} lies at Kaggle, and kagglehub is not installed: pip install "
            "'hybridleuk[kaggle]'"
        ) from error
    try:
        with progress.task(f"Fetching {source.slug} from Kaggle", None):
            kept = Path(kagglehub.dataset_download(source.slug))
    except Exception as error:  # kagglehub raises what its transport does
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DownloadError(f"Kaggle did not hand out {source.slug} ({first})") from error
    shutil.copytree(kept, target, dirs_exist_ok=True)
    return target


def _from_addresses(source: Download, target: Path) -> list[Path]:
    written = []
    for name, url in source.files.items():
        file, md5 = target / name, source.md5.get(name, "")
        if not file.exists() and source.medmnist is not None:
            url, md5 = _from_medmnist(source.medmnist, file) or (url, md5)
        if not file.exists():
            download(url, file, sha256=source.sha256.get(name, ""), md5=md5)
        written.append(unpack(file) if name.endswith(_ARCHIVES) else file)
    return written


def _from_medmnist(flag: str, target: Path) -> tuple[str, str] | None:
    """Ask the package medmnist, where it is installed: take what it has, or its address and hash.

    Returns
    -------
    (address, md5) or None
    """
    try:
        from medmnist.info import DEFAULT_ROOT, INFO
    except ImportError:
        return None
    size = target.stem.removeprefix(flag)
    url, md5 = str(INFO[flag][f"url{size}"]), str(INFO[flag][f"MD5{size}"])
    kept = None if DEFAULT_ROOT is None else Path(DEFAULT_ROOT) / target.name
    if kept is not None and kept.is_file() and _md5(kept) == md5:
        progress.note(f"Copied from {kept}, where medmnist keeps it.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(kept, target)
    return url, md5


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def unpack(archive: Path) -> Path:
    """Unpack a zip or tar file into a folder beside it, and return the folder.

    The folder gets its name when all is in it, so that one that is there is complete. Nothing
    is written outside of it: names that lead out, links and devices are refused.

    Raises
    ------
    OutputError
        The archive is damaged, or holds what is not to be trusted.
    """
    folder = archive.with_name(archive.name.removesuffix(_suffix(archive)))
    if folder.is_dir():
        return folder
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        draft.mkdir(parents=True)
        if _suffix(archive) == ".zip":
            _unzip(archive, draft)
        else:
            with tarfile.open(archive) as file:
                file.extractall(draft, filter="data")
        os.replace(draft, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{archive} cannot be unpacked ({error}); remove it and fetch it again."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _suffix(archive: Path) -> str:
    return next(suffix for suffix in _ARCHIVES[::-1] if archive.name.endswith(suffix))


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as file, progress.task("Unpacking", len(file.infolist())) as task:
        for member in file.infolist():
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
                raise OutputError(
                    f"{archive} holds {member.filename!r}, which leads out of its folder; it is "
                    "not to be trusted, and nothing was kept of it."
                )
            file.extract(member, folder)
            task.advance()
