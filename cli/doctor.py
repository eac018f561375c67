"""``hybridleuk doctor``: what is there, what is missing, and how to get it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hybridleuk import progress

from .backbones import weights_state
from .console import Outcome

__all__ = ["EXAMPLE", "doctor"]

EXAMPLE = "hybridleuk doctor"
# Distribution -> module that has to import.
_NEEDED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "scikit-learn": "sklearn",
    "scikit-image": "skimage",
    "pillow": "PIL",
    "tifffile": "tifffile",
    "imagecodecs": "imagecodecs",
    "torch": "torch",
    "torchvision": "torchvision",
    "xgboost": "xgboost",
    "safetensors": "safetensors",
    "skops": "skops",
    "matplotlib": "matplotlib",
}
_OPTIONAL = {
    "timm": "pip install 'hybridleuk[timm]' brings Xception, ResNet50V2, NASNetLarge, "
    "InceptionResNetV2, and any network of timm and Hugging Face"
}
_LITTLE_SPACE = 2e9


@dataclass(frozen=True)
class Missing:
    """Something that is not there: what, how to get it, and whether nothing works without."""

    what: str
    how: str
    required: bool = False


def doctor(
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Cache to look at; by default the user's.")
    ] = None,
) -> Outcome:
    """Show versions, device, cache and weights; say what is missing and how to get it."""
    missing: list[Missing] = []
    versions = _versions(missing)
    device = _device(missing)
    place = _cache(cache, missing)
    weights = _weights(missing)
    document = {
        "versions": versions,
        "device": device,
        "cache": place,
        "weights": weights,
        "missing": [asdict(item) for item in missing],
    }
    status = int(any(item.required for item in missing))
    return Outcome(document, _shown(document, missing), essential=True, status=status)


def _versions(missing: list[Missing]) -> dict[str, str | None]:
    from hybridleuk import __version__

    found: dict[str, str | None] = {
        "hybridleuk": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
    }
    with progress.task("Loading libraries", len(_NEEDED), "libraries") as loading:
        for name, module in _NEEDED.items():
            found[name] = _version(name)
            problem = _import_problem(module)
            loading.advance(detail=name)
            if problem:
                what = f"{name} does not import ({problem})"
                missing.append(Missing(what, _remedy(name), required=True))
    for name, how in _OPTIONAL.items():
        found[name] = _version(name)
        if found[name] is None:
            missing.append(Missing(f"{name} is not installed", how))
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _import_problem(module: str) -> str:
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a broken installation raises
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""


def _remedy(name: str) -> str:
    if name in ("torch", "torchvision"):
        return "install torch and torchvision together, from the same place, in one command"
    return f"pip install {name}"


def _device(missing: list[Missing]) -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {"device": None, "name": None, "cores": cores, "threads": None}
    try:
        import torch
    except Exception:  # said among the versions
        return found
    found |= {"threads": torch.get_num_threads(), "device": "cpu", "name": _processor()}
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
        found |= {
            "device": "cuda",
            "name": torch.cuda.get_device_name(0),
            "memory_gb": round(memory / 1e9, 1),
        }
    elif torch.backends.mps.is_available():
        found |= {"device": "mps"}
    else:
        how = "nothing to do; large sets and fine-tuning are faster with one"
        missing.append(Missing("no GPU that torch can use", how))
    return found | {"bf16": _bf16(found["device"])}


def _bf16(device: str) -> str:
    """Tell whether bfloat16 is computed in hardware."""
    import torch

    if device == "cuda":
        return "hardware" if torch.cuda.is_bf16_supported(including_emulation=False) else "emulated"
    flags = set(_cpuinfo("flags").split())
    fast = {"avx512_bf16", "amx_bf16"} & flags
    return "hardware" if fast else "emulated"


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _cache(cache: Path | None, missing: list[Missing]) -> dict[str, Any]:
    from hybridleuk.data.cache import default_cache_directory, open_cache
    from hybridleuk.exceptions import CacheError

    place = default_cache_directory() if cache is None else cache
    found: dict[str, Any] = {"path": place, "results": None, "bytes": 0, "free_bytes": None}
    try:
        store = open_cache(place)
        assert store is not None
        with store:
            found["results"] = len(store)
        found["bytes"] = sum(file.stat().st_size for file in place.glob("cache-*"))
        found["free_bytes"] = shutil.disk_usage(place).free
    except (CacheError, OSError) as error:
        missing.append(Missing(f"no usable cache ({error})", "give --cache DIR", True))
        return found
    if found["free_bytes"] < _LITTLE_SPACE:
        what = f"only {found['free_bytes'] / 1e9:.1f} GB free beside the cache"
        missing.append(Missing(what, "free some space, or give --cache DIR on another disk"))
    return found


def _weights(missing: list[Missing]) -> dict[str, Any]:
    try:
        states = weights_state()
    except Exception as error:  # torchvision itself may be broken
        missing.append(Missing(f"backbones cannot be listed ({error})", "see above", True))
        return {"folder": None, "present": [], "absent": []}
    from hybridleuk.data.download import unfinished_downloads
    from hybridleuk.embeddings.huggingface import hub_cache, is_offline
    from hybridleuk.embeddings.weights import hub_folder

    present = [name for name, there in states.items() if there]
    absent = [name for name, there in states.items() if not there]
    if absent:
        how = (
            "they are fetched when first used, or by 'hybridleuk backbones fetch'; without "
            "internet give --weights bundled for the network that comes in the package, --weights "
            "FILE, or a bundle of 'hybridleuk backbones bundle'"
        )
        missing.append(Missing(f"weights of {len(absent)} of {len(states)} backbones", how))
    damaged = _damaged(present, missing)
    unfinished = [path.name for path in unfinished_downloads(hub_folder())]
    if unfinished:
        how = "'hybridleuk backbones fetch' goes on where it stopped"
        missing.append(Missing(f"the rest of {len(unfinished)} downloads", how))
    return {
        "folder": hub_folder(),
        "huggingface_folder": hub_cache(),
        "huggingface_offline": is_offline(),
        "present": present,
        "absent": absent,
        "damaged": damaged,
        "unfinished": unfinished,
    }


def _damaged(present: list[str], missing: list[Missing]) -> list[str]:
    """Name the backbones whose weights do not have the published hash."""
    from hybridleuk.embeddings.backbones import BACKBONES
    from hybridleuk.embeddings.weights import resolve_weights
    from hybridleuk.exceptions import WeightsError

    damaged = []
    with progress.task("Checking weights", len(present), "files") as checking:
        for name in present:
            try:
                genuine = resolve_weights(BACKBONES[name]).is_genuine
            except WeightsError:  # cannot be read
                genuine = False
            if not genuine:
                damaged.append(name)
                how = f"hybridleuk backbones fetch {name} --overwrite"
                if BACKBONES[name].source == "package":
                    how = "install hybridleuk again"
                missing.append(Missing(f"{name}'s weights are not as published", how))
            checking.advance()
    return damaged


def _shown(document: dict[str, Any], missing: list[Missing]) -> list[Any]:
    versions, device = document["versions"], document["device"]
    cache, weights = document["cache"], document["weights"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    head = ("hybridleuk", "python", "platform")
    table.add_row("hybridleuk", f"{versions['hybridleuk']}, Python {versions['python']}")
    table.add_row("platform", versions["platform"])
    others = [f"{name} {value or '-'}" for name, value in versions.items() if name not in head]
    table.add_row("libraries", ", ".join(others))
    table.add_row("device", f"{device['device']} ({device['name']}), bf16 {device.get('bf16')}")
    table.add_row("cores", f"{device['cores']}, {device['threads']} threads in torch")
    table.add_row("cache", f"{cache['path']}")
    free = "-" if cache["free_bytes"] is None else f"{cache['free_bytes'] / 1e9:.1f} GB free"
    table.add_row("", f"{cache['results']} results, {cache['bytes'] / 1e6:.1f} MB; {free}")
    table.add_row("weights", ", ".join(weights["present"]) or "none downloaded")
    if weights["folder"]:
        table.add_row("", f"in {weights['folder']}")
        offline = ", which is told to stay offline" if weights["huggingface_offline"] else ""
        table.add_row("", f"and {weights['huggingface_folder']}{offline}")
    if not missing:
        return [table, "", Text("Nothing is missing.", style="green")]
    found = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    found.add_column("missing", ratio=2, overflow="fold")
    found.add_column("how to get it", ratio=3, overflow="fold")
    for item in missing:
        found.add_row(Text(item.what, style="red" if item.required else "yellow"), item.how)
    return [table, "", found]
