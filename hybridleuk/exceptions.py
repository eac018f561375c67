"""Everything hybridleuk raises on purpose, as one tree.

.. code-block:: text

    HybridLeukError
    ├── InputError (ValueError)       what the caller gave cannot be used
    │   ├── ImageError                one image cannot be decoded or is not allowed
    │   ├── ManifestError             a list of images is missing, malformed or contradicts itself
    │   └── SplitError                labels or groups do not allow the split that was asked for
    ├── WeightsError                  a backbone's weights cannot be had, or do not fit it
    ├── DownloadError (OSError)       a file cannot be fetched, or is not the one expected
    ├── ModelFileError (ValueError)   a ``.hleuk`` file is damaged, newer or not to be trusted
    ├── CacheError (OSError)          the cache cannot be opened or written
    └── OutputError (OSError)         a result cannot be written (disk full, it exists, ...)

Every message says what was found, what was expected and what to do about it.
"""

__all__ = [
    "CacheError",
    "DownloadError",
    "HybridLeukError",
    "ImageError",
    "InputError",
    "ManifestError",
    "ModelFileError",
    "OutputError",
    "SplitError",
    "WeightsError",
]


class HybridLeukError(Exception):
    """Base of every error raised on purpose by hybridleuk."""


class InputError(HybridLeukError, ValueError):
    """An argument, a file or a table given by the caller cannot be used."""


class ImageError(InputError):
    """One image cannot be decoded, is no image, or is larger than allowed."""


class ManifestError(InputError):
    """A list of images is missing, malformed, or contradicts itself."""


class SplitError(InputError):
    """Labels or groups do not allow the split that was asked for."""


class WeightsError(HybridLeukError):
    """Weights of a backbone cannot be had, or do not fit the backbone."""


class DownloadError(HybridLeukError, OSError):
    """A file cannot be fetched from where it is said to be, or is not the one expected."""


class ModelFileError(HybridLeukError, ValueError):
    """A model file is damaged, of unknown or newer format, or holds what is not trusted."""


class CacheError(HybridLeukError, OSError):
    """The cache cannot be opened or written."""


class OutputError(HybridLeukError, OSError):
    """A result cannot be written: it exists, the disk is full, or permission is missing."""
