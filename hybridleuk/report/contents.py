"""The parts and sections of the report, in order, with their headings: what the contents list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

__all__ = ["CONTENTS", "Part", "Section", "contents_of"]


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes
    ----------
    id : str
        Where links lead.
    heading : str
        The question it answers, or its name.
    short : str
        What the contents call it.
    """

    id: str
    heading: str
    short: str


@dataclass(frozen=True)
class Part:
    """Sections on one question.

    Attributes
    ----------
    id, heading : str
    sections : tuple of Section
    """

    id: str
    heading: str
    sections: tuple[Section, ...]


CONTENTS = (
    Part(
        "part-accuracy",
        "How accurate?",
        (
            Section("results", "Results", "Results"),
            Section("differences", "Is the best really better?", "Differences"),
            Section("leakage", "What random folds hide", "Leakage gap"),
            Section("external", "On other images", "External test"),
            Section("patients", "From cells to patients", "Patients"),
        ),
    ),
    Part(
        "part-read",
        "Were the cells read?",
        (
            Section("shortcuts", "How far a shortcut gets alone", "Shortcuts"),
            Section("counterfactuals", "What a changed picture costs", "Changed pictures"),
        ),
    ),
    Part(
        "part-mistakes",
        "Which mistakes?",
        (
            Section("classes", "Class by class", "Classes"),
            Section("roc", "Ranking", "ROC"),
            Section("precision", "Precision and recall", "Precision-recall"),
            Section("errors", "Most confidently wrong", "Error gallery"),
        ),
    ),
    Part(
        "part-certainty",
        "How certain?",
        (
            Section("reliability", "Can the probabilities be believed?", "Reliability"),
            Section("calibration", "What calibration would mend", "Calibration"),
            Section("sets", "Prediction sets", "Prediction sets"),
            Section("abstention", "If it may stay silent", "Abstention"),
        ),
    ),
    Part(
        "part-use",
        "Is it of use?",
        (
            Section("mistake-costs", "What mistakes cost", "Costs of mistakes"),
            Section("decision", "Is it worth acting on?", "Decision curve"),
            Section("learning", "Would more images help?", "Learning curve"),
            Section("training", "How the networks learned", "Training"),
            Section("cost", "What accuracy costs", "Time and size"),
        ),
    ),
    Part(
        "part-seen",
        "What does it look at?",
        (
            Section("importance", "Which features matter", "Features"),
            Section("map", "Map of the images", "Map"),
            Section("attention", "Where networks look", "Grad-CAM"),
        ),
    ),
    Part(
        "part-protocol",
        "How was it done?",
        (Section("protocol", "Protocol", "Protocol"), Section("repeat", "To repeat it", "Repeat")),
    ),
)


def contents_of(present: Collection[str], contents: Sequence[Part] = CONTENTS) -> list[Part]:
    """List the parts with those of their sections that are in the report."""
    kept = [
        Part(part.id, part.heading, tuple(s for s in part.sections if s.id in present))
        for part in contents
    ]
    return [part for part in kept if part.sections]
