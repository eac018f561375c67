"""The weights in the package say where they come from, and are what they say."""

import hashlib
from importlib import resources

WEIGHTS = resources.files("hybridleuk.segmentation") / "weights"


def test_the_notice_beside_the_weights_names_their_hash_sources_and_licences():
    notice = (WEIGHTS / "NOTICE.md").read_text(encoding="utf-8")
    for file in WEIGHTS.iterdir():
        if file.name.endswith(".safetensors"):
            assert file.name in notice
            assert hashlib.sha256(file.read_bytes()).hexdigest() in notice
    for words in ("MIT License", "Copyright (c) 2017 shenggan", "BCCD", "PBC", "Seed: 0"):
        assert words in notice
    assert "Attribution 4.0 International" in notice
    assert "benchmarks/train_detector.py" in notice
