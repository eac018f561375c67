"""Weight files from a plain address, fetched into torch hub's cache as torchvision would."""

from __future__ import annotations

from pathlib import Path

from hybridleuk.data.download import download
from hybridleuk.embeddings.records import Backbone
from hybridleuk.embeddings.weights import ways_out
from hybridleuk.exceptions import DownloadError, WeightsError

__all__ = ["download_weights", "weights_url"]


def weights_url(record: Backbone) -> str:
    """Find the address of a backbone's weights; torchvision is asked for those of its own."""
    if record.url:
        return record.url
    import torchvision.models

    weights = torchvision.models.get_model_weights(record.architecture)[record.weights_tag]
    return str(weights.url)


def download_weights(record: Backbone, target: Path) -> None:
    """Download the source's file, check its hash, and put it in place only when complete.

    Raises
    ------
    WeightsError
        It cannot be reached, was cut off, has another hash, or cannot be written. What was
        downloaded of it is kept when the connection broke, and gone on with next time.
    """
    try:
        download(weights_url(record), target, sha256=record.sha256)
    except DownloadError as error:
        raise WeightsError(
            f"The weights of {record.name} are not in {target.parent}: {error}; {ways_out(record)}"
        ) from error
