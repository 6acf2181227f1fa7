"""Writes a model card as Markdown."""

from model_training.evaluation.baselines import Baselines
from model_training.evaluation.results import Assessment, CrossValidation, Interval, Metrics, OrderedCurve
from model_training.export.card import Card, leak_warning

EXPLAINED = "Deleting a frame means showing the nearest frame that is kept in its place, as a stalling camera does:"


_LITTLE = 0.05
"""Mean probability below which a gain, however sure, is called little."""


def card_markdown(card: Card) -> str:
    """The card for people."""
    clip, assessment = card.clip, card.assessment
    sections = [
        f"# {card.name} {card.version}",
        card.description,
        (
            f"Labels: {', '.join(card.labels)}. Looks at clips of {clip.num_frames} frames,"
            f" {clip.width}x{clip.height}, {clip.frames_per_second:g} a second ({clip.window_seconds:g} s);"
            f" clips of a longer video combine by `{card.combine}`. Network: {card.network};"
            f" {card.num_parameters:,} numbers."
        ),
        "## Data",
        f"{card.data_source}\n\nLicence: {card.data_licence}",
        _table(
            ("use", "videos", "groups", *card.labels),
            [
                (use, str(data.num_videos), str(data.num_groups), *(str(data.per_label.get(k, 0)) for k in card.labels))
                for use, data in assessment.data.items()
            ],
        ),
        "## Protocol",
        card.protocol,
        "## Figures",
        *_cross_validation(card.cross_validation),
        *_use_sections("Held out", assessment.held_out),
        *_use_sections("Validation", assessment.validation),
        "### Baselines, on the same videos",
        *_baselines(assessment.baselines, assessment.best.accuracy, assessment.best.macro.f1),
        *_pruning(card),
        "## Attention",
        *_attention(card),
        "## Robustness",
        *_robustness(assessment),
        "## Limits",
        card.limits,
        "## Use",
        f"Meant for: {card.intended_use}\n\nRefused: {card.refused_use}",
        "## Making it again",
        "\n".join(["```", *card.commands.values(), "```"]),
        _verified(card),
        (
            f"Hardware: {card.hardware}. Expected: {card.expected_result}. Seed {card.seed};"
            f" {card.num_epochs} epochs were run; made {card.created_at} with"
            f" {', '.join(f'{name} {version}' for name, version in sorted(card.package_versions.items()))}."
        ),
        "Digests (sha256), of the model's files and of the videos of each use with their labels and groups:",
        "\n".join(
            [
                *(f"- `{path}` {digest}" for path, digest in sorted(card.files.items())),
                *(
                    f"- {use.replace('_', '-')} videos {data.digest.removeprefix('sha256:')}"
                    for use, data in assessment.data.items()
                ),
            ]
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _cross_validation(figures: CrossValidation | None) -> list[str]:
    if figures is None:
        return []
    sections = [
        f"### Cross-validation: {figures.num_videos} videos of {figures.num_groups} groups",
        (
            f"What to expect of videos from sources never seen. {len(figures.folds)} folds and {len(figures.seeds)}"
            " seeds: a network like this one was trained on the other folds, exported, and asked about the fold it"
            " never saw; early stopping and temperature came from validation videos inside the training folds. Mean"
            " and standard deviation over seeds:"
        ),
        (
            f"Accuracy {_with_interval(figures.accuracy, figures.accuracy_interval)}"
            f" ± {figures.accuracy_deviation:.3f} (single folds: ± {figures.accuracy_deviation_over_folds:.3f}),"
            f" macro F1 {figures.macro_f1:.3f} ± {figures.macro_f1_deviation:.3f}, expected calibration error"
            f" {figures.expected_calibration_error:.3f} ± {figures.expected_calibration_error_deviation:.3f}."
        ),
    ]
    if figures.attention is not None:
        sections.append(
            f"The peak of attention lies inside the event in {figures.attention.pointing_game_hit_rate:.3f} of the"
            f" clips, and {figures.attention.mass_inside_event:.3f} of it on average."
        )
    if figures.num_leaks:
        sections.append(leak_warning(figures.num_leaks))
    if figures.baselines is not None:
        sections += [
            "Baselines on the same videos, each fold taught on the others:",
            *_baselines(figures.baselines, figures.accuracy, figures.macro_f1),
        ]
    return [*sections, f"Made by `{figures.command}`."]


def _verified(card: Card) -> str:
    """What `verify` does of this card, and who makes the rest of its figures again."""
    aside = ["costs"]
    rest = []
    if card.cross_validation is not None:
        aside.append("cross-validation")
        rest.append(" Cross-validation is of other networks: the command given with its figures makes them again.")
    if card.pruning:
        aside.append("pruning")
        rest.append(" The figures of pruning are of weights on the way to these: only training makes them again.")
    *others, last = aside
    named = f"{', '.join(others)} and {last}" if others else last
    return (
        f"`verify` measures every figure of this card again, {named} aside, from the model and the data, and fails if"
        f" one differs.{''.join(rest)}"
    )


def _use_sections(title: str, figures: Metrics | None) -> list[str]:
    if figures is None:
        return []
    macro, abstention, sets = figures.macro, figures.abstention, figures.label_sets
    error, error_name = figures.expected_calibration_error, "expected_calibration_error"
    rows: list[tuple[str, ...]] = [
        (name, f"{f.precision:.3f}", f"{f.recall:.3f}", f"{f.f1:.3f}", _area(f.roc_auc), _area(f.average_precision))
        for name, f in (*figures.per_label.items(), ("macro", macro))
    ]
    counts = [*(str(f.num_videos) for f in figures.per_label.values()), str(figures.num_videos)]
    sections = [
        f"### {title}: {figures.num_videos} videos of {figures.num_groups} groups, {figures.num_clips} clips",
        (
            f"Accuracy {_with_interval(figures.accuracy, figures.intervals.get('accuracy'))}, balanced accuracy"
            f" {_with_interval(figures.balanced_accuracy, figures.intervals.get('balanced_accuracy'))}, macro F1"
            f" {_with_interval(macro.f1, figures.intervals.get('macro_f1'))}"
            + "".join(f", top-{k} accuracy {share:.3f}" for k, share in figures.top_k_accuracy.items())
            + f". Expected calibration error {_with_interval(error, figures.intervals.get(error_name))}."
        ),
        _table(
            ("label", "precision", "recall", "F1", "ROC AUC", "average precision", "videos"),
            [(*row, count) for row, count in zip(rows, counts, strict=True)],
        ),
    ]
    if figures.confusion is not None:
        confusion = zip(figures.labels, figures.confusion, strict=True)
        sections += [
            "Confusion (a row is a true label, a column an answered one):",
            _table(("", *figures.labels), [(label, *map(str, row)) for label, row in confusion]),
        ]
    if abstention is not None:
        sections.append(
            f"With the abstention threshold {abstention.threshold} (set on validation), {abstention.coverage:.3f} of"
            f" the videos are answered, with accuracy {_area(abstention.accuracy_when_answering)}."
        )
    if sets is not None:
        sections.append(
            f"Label sets that are to hold the true label in {sets.coverage_asked:.0%} of the videos (split conformal,"
            f" fitted on validation) do in {sets.coverage:.3f}, with {sets.mean_size:.2f} labels on average. The"
            " promise is for videos that come from where the validation videos came from; sources never seen may fall"
            " short."
        )
    if figures.cost is not None:
        sections.append(
            f"Cost where this was measured: decoding {figures.cost.decode_milliseconds_per_video:.0f} ms a video,"
            f" model {figures.cost.model_milliseconds_per_clip:.0f} ms a clip (medians)."
        )
    return sections


def _pruning(card: Card) -> list[str]:
    if not card.pruning:
        return []
    rows = [
        (
            effect["stage"],
            when,
            *(f"{effect[when][name]:.3f}" for name in ("sparsity", "validation_loss", "validation_accuracy")),
        )
        for effect in card.pruning
        for when in ("before", "after")
        if when in effect
    ]
    return ["### Pruning", _table(("stage", "weights", "share of zeros", "validation loss", "accuracy"), rows)]


def _baselines(baselines: Baselines, accuracy: float, macro_f1: float) -> list[str]:
    """What stands beside a model of this accuracy and macro F1."""
    rows: list[tuple[str, ...]] = [
        (name, f"{score.accuracy:.3f}", f"{score.macro_f1:.3f}")
        for name, score in baselines.with_model(accuracy, macro_f1)
    ]
    verdict = baselines.verdict(accuracy)
    return [
        _table(("answered by", "accuracy", "macro F1"), rows),
        *([] if verdict is None else [f"**{verdict}**"]),
    ]


def _attention(card: Card) -> list[str]:
    measured, pointing = card.assessment.faithfulness, card.assessment.best.attention
    verdict = {
        True: "Frames of high attention decide the answer more than frames at random do"
        + (
            ", surely but by little: read attention as a hint at where the answer comes from, no more."
            if min(measured.deletion.gain_over_random, measured.insertion.gain_over_random) < _LITTLE
            else ": attention may be read as which frames the answer rests on."
        ),
        False: "**Attention is not an explanation here**: by the data there is, frames of high attention decide the"
        " answer no more than frames at random do, in deletion or in insertion. The service says so with every answer"
        " (`attention_not_explanatory`).",
        None: "With videos of a single group it cannot be told whether attention explains the answer: do not read it"
        " as the moment something happened.",
    }[measured.attention_is_explanation]
    sections = [
        f"The attention of a frame is the weight that the network gives it when it decides. {verdict}",
        (
            f"Measured on {measured.num_clips} clips. {EXPLAINED} what the model sees stays a video, while a frame"
            " marked invalid in mid-clip is nothing it ever meets. The table holds the mean probability of the answer"
            " as frames go, or come, in the order of attention, at random, and evenly spread (the order of equal"
            " weights)."
        ),
        _curve_table("deleted, highest attention first", measured.shares, measured.deletion),
        _curve_table("kept, highest attention first", measured.shares, measured.insertion),
        (
            f"Gain of attention's order in area: over random {_gain(measured.deletion)} for deletion and"
            f" {_gain(measured.insertion)} for insertion; over even"
            f" {_gain(measured.deletion, is_even=True)} and {_gain(measured.insertion, is_even=True)}."
        ),
    ]
    if pointing is not None:
        taught = (
            " Training was told when the event is: its loss asks the attention to lie inside (weight"
            f" {card.attention_weight_in_loss:g}), so this is a learnt pointer and not a by-product of classifying."
            if card.attention_weight_in_loss > 0
            else ""
        )
        sections.append(
            f"Against the true moment, on {pointing.num_clips} clips: the peak of attention lies inside the event in"
            f" {pointing.pointing_game_hit_rate:.3f} of them (pointing game), and {pointing.mass_inside_event:.3f} of"
            f" it lies inside on average (equal attention: {pointing.chance_mass:.3f}).{taught}"
        )
    return sections


def _robustness(assessment: Assessment) -> list[str]:
    measured = assessment.robustness
    rows: list[tuple[str, ...]] = [
        (name, f"{one.accuracy:.3f}", f"{one.agreement:.3f}", f"{one.mean_probability_shift:.3f}")
        for name, one in measured.changes.items()
    ]
    return [
        (
            f"{measured.num_videos} videos (accuracy {measured.clean_accuracy:.3f} as they are), written anew and asked"
            " again. Agreement is the share that get the answer they got before; the shift is how far its probability"
            " moves on average."
        ),
        _table(("change", "accuracy", "agreement", "shift"), rows),
    ]


def _curve_table(what: str, shares: tuple[float, ...], curve: OrderedCurve) -> str:
    rows = [
        (name, *(f"{value:.3f}" for value in values), f"{area:.3f}")
        for name, values, area in (
            ("attention", curve.attention, curve.area_attention),
            ("random", curve.random, curve.area_random),
            ("even", curve.even, curve.area_even),
        )
    ]
    return _table((what, *(f"{share:.0%}" for share in shares), "area"), rows)


def _gain(curve: OrderedCurve, *, is_even: bool = False) -> str:
    if is_even:
        return _with_interval(curve.gain_over_even, curve.gain_over_even_interval)
    return _with_interval(curve.gain_over_random, curve.gain_over_random_interval)


def _with_interval(value: float, interval: Interval | None) -> str:
    return f"{value:.3f}" + ("" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]")


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
