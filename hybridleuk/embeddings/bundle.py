"""A bundle: the weights of several backbones in one zip, for a site without internet.

It holds ``bundle.json`` (format, and for each backbone its record, file, size and SHA-256), a
``README.txt`` for whoever finds it, and the files as their sources published them, uncompressed.
The same files give the same bundle, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hybridleuk import progress
from hybridleuk.embeddings.records import Backbone, record_from_json, record_to_json
from hybridleuk.exceptions import OutputError, WeightsError

__all__ = [
    "BundleEntry",
    "bundle_entry",
    "bundled_record",
    "is_bundle",
    "member_sha256",
    "read_bundle",
    "read_member",
    "write_bundle",
]

FORMAT = 1
_INDEX = "bundle.json"
_README = "README.txt"
_PIECE = 1 << 20
_LARGEST_INDEX = 1 << 24
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: no time of writing in a bundle


class BundleEntry(NamedTuple):
    """One backbone in a bundle: its record, the member with its weights, and their hash."""

    record: Backbone
    member: str
    sha256: str
    size: int


def is_bundle(path: Path) -> bool:
    """Tell a bundle, or what was meant as one, from a file of weights (``.pth`` is a zip too)."""
    if path.suffix.lower() == ".zip":
        return True
    if path.suffix.lower() == ".safetensors" or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _INDEX in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


def write_bundle(target: Path, weights: Sequence[tuple[Backbone, Path]]) -> dict[str, Any]:
    """Write the weights of backbones into one file, which appears only when it is complete.

    Parameters
    ----------
    target : Path
    weights : sequence of (Backbone, Path)
        Each backbone once, with the file of its weights.

    Returns
    -------
    dict
        The index, as it stands in the bundle.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from hybridleuk.embeddings.backbones import file_name
    from hybridleuk.embeddings.weights import file_sha256

    index: dict[str, Any] = {"format": FORMAT, "backbones": []}
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    total = sum(path.stat().st_size for _, path in weights)
    try:
        with (
            zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive,
            progress.task(f"Writing {target.name}", total, "bytes") as task,
        ):
            for record, path in weights:
                member = f"weights/{file_name(record.name)}/{path.name}"
                index["backbones"].append(_indexed(record, member, path, file_sha256(path)))
                _store(archive, member, path, task)
            archive.writestr(zipfile.ZipInfo(_INDEX, _EPOCH), json.dumps(index, indent=1))
            archive.writestr(zipfile.ZipInfo(_README, _EPOCH), _readme(index, target.name))
        os.replace(unfinished, target)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({error.strerror or error}); free some space or choose "
            "another folder."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return index


def read_bundle(path: Path) -> dict[str, BundleEntry]:
    """List the backbones of a bundle by name.

    Raises
    ------
    WeightsError
        It is no bundle, was cut off, or is of a newer format.
    """
    with _opened(path) as archive:
        names = set(archive.namelist())
        if _INDEX not in names or archive.getinfo(_INDEX).file_size > _LARGEST_INDEX:
            raise WeightsError(
                f"{path} is not a bundle of weights: it has no {_INDEX}; make one with 'hybridleuk "
                "backbones bundle NAME -o bundle.zip', or give a .pth or .safetensors file."
            )
        content = archive.read(_INDEX)
    try:
        document = json.loads(content)
        number = int(document["format"])
        if number > FORMAT:
            raise WeightsError(
                f"{path} is a bundle of format {number}, this hybridleuk reads up to {FORMAT}; "
                "update hybridleuk, or make the bundle with this version."
            )
        entries = [_entry(item) for item in document["backbones"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"{_INDEX} is unreadable") from error
    missing = [entry.member for entry in entries if entry.member not in names]
    if missing:
        raise _damaged(path, f"{missing[0]} is missing")
    return {entry.record.name: entry for entry in entries}


def bundle_entry(path: Path, name: str) -> BundleEntry:
    """Find a backbone in a bundle.

    Raises
    ------
    WeightsError
        It is not in there; the message lists what is.
    """
    entries = read_bundle(path)
    if name not in entries:
        raise WeightsError(
            f"{path} has no weights of {name}; it has {', '.join(entries) or 'none at all'}. Name "
            "one of these, or make a bundle with it on a machine with internet."
        )
    return entries[name]


def bundled_record(path: Path, name: str) -> Backbone | None:
    """Return the record that a bundle holds of a backbone, or None."""
    entry = read_bundle(path).get(name)
    return entry.record if entry else None


_sha256_of: dict[tuple[str, int, int, str], str] = {}


def member_sha256(path: Path, entry: BundleEntry) -> str:
    """Hash a member; remembered while the bundle's size and time stay the same.

    Raises
    ------
    WeightsError
        The hash is not that of the index, or the bundle is damaged.
    """
    with _opened(path) as archive:
        status = path.stat()
        key = (str(path.absolute()), status.st_size, status.st_mtime_ns, entry.member)
        if key not in _sha256_of:
            digest = hashlib.sha256()
            with archive.open(entry.member) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            _sha256_of[key] = digest.hexdigest()
    if _sha256_of[key] != entry.sha256:
        raise _wrong_hash(path, entry, _sha256_of[key])
    return _sha256_of[key]


def read_member(path: Path, entry: BundleEntry) -> bytes:
    """Read the weights of a backbone, whose hash has to be that of the index."""
    with _opened(path) as archive:
        content = archive.read(entry.member)
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise _wrong_hash(path, entry, found)
    return content


def _wrong_hash(path: Path, entry: BundleEntry, found: str) -> WeightsError:
    return WeightsError(
        f"{path}: {entry.member} has SHA-256 {found[:16]}..., expected {entry.sha256[:16]}...: the "
        "bundle was changed or damaged after it was made; copy it again from its source."
    )


def _damaged(path: Path, reason: object) -> WeightsError:
    return WeightsError(
        f"{path} is not a bundle of weights, or was cut off ({reason}); copy it again from its "
        "source."
    )


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise WeightsError(
            f"{path}: the bundle cannot be read ({error.strerror or error}); check path and "
            "permissions."
        ) from error


def _entry(item: Any) -> BundleEntry:
    sha256 = str(item["sha256"])
    if len(sha256) != 64:
        raise ValueError("no SHA-256")
    return BundleEntry(
        record_from_json(item["record"]), str(item["file"]), sha256, int(item["bytes"])
    )


def _indexed(record: Backbone, member: str, path: Path, sha256: str) -> dict[str, Any]:
    return {
        "name": record.name,
        "source": record.source,
        "weights": record.weights_tag,
        "licence": record.licence,
        "reference": record.reference,
        "from": _origin(record),
        "file": member,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "record": record_to_json(record),
    }


def _origin(record: Backbone) -> str:
    if record.hub:
        return f"Hugging Face {record.hub}"
    if record.source == "package":
        return "the package hybridleuk"
    if record.sha256 or record.url:
        from hybridleuk.embeddings.download import weights_url

        return weights_url(record)
    return "given by whoever made the bundle"


def _store(archive: zipfile.ZipFile, member: str, path: Path, task: progress.Task) -> None:
    info = zipfile.ZipInfo(member, _EPOCH)
    info.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(info, "w") as target:
        while piece := source.read(_PIECE):
            target.write(piece)
            task.advance(len(piece))


def _readme(index: dict[str, Any], name: str) -> str:
    first = index["backbones"][0]["name"] if index["backbones"] else "NAME"
    lines = [
        "Weights of frozen networks for hybridleuk, made by 'hybridleuk backbones bundle'.",
        "",
        "On a machine without internet, with this file as it is:",
        "",
        f"    hybridleuk extract smears/ -o features.parquet --backbone {first} --weights {name}",
        "",
        f"Each file is as it came, and is checked against its SHA-256 in {_INDEX} before it is",
        "used. The licences are those of the authors:",
        "",
    ]
    for item in index["backbones"]:
        lines += [
            f"{item['name']} ({item['bytes'] / 1e6:.1f} MB)",
            f"    file       {item['file']}",
            f"    SHA-256    {item['sha256']}",
            f"    source     {item['source']}, {item['weights']}, {item['from']}",
            f"    licence    {item['licence']}",
            f"    reference  {item['reference']}",
            "",
        ]
    return "\n".join(lines)
