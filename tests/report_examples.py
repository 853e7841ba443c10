"""Made-up but realistic reports for the tests of the report room."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import report_trust as trust
from headstart.report import content, mistakes
from headstart.scores import Baseline, ClassScore, Evaluation, LearningCurve, Metric
from headstart.types import (
    Backbone,
    Candidate,
    Decision,
    Finding,
    Head,
    Preprocess,
    Roles,
    Skipped,
    Split,
    Table,
)

WASTE = ("cardboard", "glass", "metal", "paper", "plastic", "trash")
HOSTILE = "<img src=x onerror=alert(1)>"
ATTACKS = (
    HOSTILE,
    "</script><script>alert(2)</script>",
    "<!--<script>",
    '"><svg onload=alert(3)>',
    "' onmouseover='alert(4)",
    "{{ 7 * 7 }}",
    "javascript:alert(5)",
    "</style><style>body{display:none}",
    "a\u2028b\u2029c\x00\x1b[31m\u202egnp.exe",
    "&lt;b&gt; &amp; <b>",
    "name | with | pipes ` and * stars * ]( http://x )",
    "---\nlicense: evil",
)


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """A JPEG with a few shapes."""
    rng = np.random.default_rng(seed)
    ground = tuple(int(c) for c in rng.integers(150, 240, 3))
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = (int(rng.integers(0, side)) for side in size)
        r = int(rng.integers(20, 90))
        colour = tuple(int(c) for c in rng.integers(20, 220, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - r, y - r, x + r, y + r), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def answers(codes: np.ndarray, k: int, right: float, seed: int, near: int = 2) -> np.ndarray:
    """(n, k) probabilities that are right so often; mistakes fall on neighbouring classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 0.6, (len(codes), k))
    hard = rng.random(len(codes)) > right
    shift = rng.integers(1, near + 1, len(codes))
    answer = np.where(hard, (codes + shift) % k, codes)
    logits[np.arange(len(codes)), codes] += 2.0
    logits[np.arange(len(codes)), answer] += rng.uniform(1.5, 5.0, len(codes)) + np.log(k) / 2
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def evaluation(
    p: np.ndarray,
    codes: np.ndarray,
    labels: Sequence[str],
    *,
    split: str = "held-out",
    protocol: str = "",
    rivals: Sequence[tuple[str, float, float, str]] = (),
) -> Evaluation:
    """Scores with rough normal intervals: enough to be shown."""
    k, n = len(labels), len(codes)
    matrix = np.zeros((k, k), dtype=np.int64)
    np.add.at(matrix, (codes, p.argmax(axis=1)), 1)
    hits = np.diag(matrix)
    recall = hits / np.maximum(matrix.sum(axis=1), 1)
    precision = hits / np.maximum(matrix.sum(axis=0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    loss = float(-np.log(p[np.arange(n), codes]).mean())

    def share(value: float) -> Metric:
        half = 1.96 * float(np.sqrt(max(value * (1 - value), 1e-4) / n))
        return Metric(value, max(value - half, 0.0), min(value + half, 1.0))

    def scores(accuracy: float, f1: float, loss: float) -> dict[str, Metric]:
        return {
            "accuracy": share(accuracy),
            "balanced_accuracy": share(f1),
            "macro_f1": share(f1),
            "log_loss": Metric(loss, loss * 0.9, loss * 1.1),
        }

    metrics = scores(float(hits.sum() / n), float(f1.mean()), loss)
    metrics["balanced_accuracy"] = share(float(recall.mean()))
    return Evaluation(
        metrics=metrics,
        per_class=tuple(
            ClassScore(label, *(float(x[i]) for x in (precision, recall, f1)), int(matrix[i].sum()))
            for i, label in enumerate(labels)
        ),
        labels=tuple(labels),
        confusion=matrix,
        n=n,
        split=split,
        protocol=protocol or f"{n:,} of {5 * n:,} rows held out, drawn within every class (seed 0)",
        baselines=tuple(
            Baseline(name, None if accuracy < 0 else scores(accuracy, f1, 1.6), note)
            for name, accuracy, f1, note in rivals
        ),
        coverage=0.912,
        set_size=1.43,
    )


def assemble(
    *,
    title: str,
    modality: str,
    labels: Sequence[str],
    inputs: Sequence[object],
    codes: np.ndarray,
    p: np.ndarray,
    measured: Evaluation,
    train_counts: Sequence[int],
    names: Sequence[str],
    skipped: Sequence[Skipped] = (),
    findings: Sequence[Finding] = (),
    notes: Sequence[str] = (),
    source: str = "photos/",
    licence: str = "Apache-2.0",
    why: str = "the starter for pictures",
    command: str = "",
    roles: Roles | None = None,
    decision: Decision | None = None,
) -> content.Report:
    """Put the nouns together as `fit` does."""
    train = np.repeat(np.arange(len(labels)), train_counts)
    targets = [labels[c] for c in (*codes, *train)]
    n_test, n = len(codes), len(targets)
    table = Table(
        inputs=(*inputs, *([b"" if modality == "image" else "seen"] * len(train))),
        targets=tuple(targets),
        names=(*names, *(f"row {i}" for i in range(len(train)))),
        modality=modality,  # type: ignore[arg-type]
        roles=roles or Roles("file", "folder"),
        source=source,
        skipped=tuple(skipped[: len(skipped) // 2]),
        notes=tuple(notes),
    )
    split = Split(
        np.arange(n_test, n),
        np.arange(n_test),
        measured.protocol,
        "held-out",
        np.arange(n - n_test) % 5,
    )
    test = table.take(split.test)
    name = "starter:lite0" if modality == "image" else "starter:minilm"
    return content.build(
        title=title,
        table=table,
        split=split,
        test=test,
        features_skipped=skipped[len(skipped) // 2 :],
        backbone=Backbone(
            name,
            modality,
            1280,
            licence,
            "3f" * 32,
            Preprocess(modality, ()),
            Path("m.onnx"),
            "0" * 64,
            why=why,  # type: ignore[arg-type]
        ),
        candidate=Candidate(
            "probe",
            Head(np.zeros((1, 1)), np.zeros(1)),
            np.zeros((1, 1)),
            {
                "penalty": np.float64(0.01),
                "class_weight": "none",
                "folds": 5,
                "path": [{"penalty": 10.0, "log_loss": np.nan}],
                "by": "cross-validated log loss, 5 folds, 1,360 rows held out",
            },
            2.1,
        ),
        evaluation=measured,
        decision=decision or Decision(temperature=1.31, coverage=0.9, set_threshold=0.07),
        findings=findings,
        mistakes=mistakes.worst(test, p, codes, labels),
        seconds={
            "read": 0.08,
            "backbone": 0.4,
            "features": 21.3,
            "split": 0.2,
            "fit": 1.9,
            "evaluate": 3.2,
        },
        command=command or f"headstart fit {source} --out {title}.headstart",
        version="0.1.0",
        created="2026-11-24T09:30:00+00:00",
    )


def waste(n: int = 340) -> content.Report:
    """Six classes of pictures, one of them small; the model is good, not perfect."""
    shares = np.array([0.16, 0.2, 0.16, 0.235, 0.19, 0.055])
    codes = np.random.default_rng(1).choice(6, n, p=shares)
    p = answers(codes, 6, 0.8, 2)
    names = [f"{WASTE[c]}/{WASTE[c]}{i:03d}.jpg" for i, c in enumerate(codes)]
    doubted = names[: min(8, n)]
    wrong = [WASTE[c] for c in codes[: len(doubted)]], [WASTE[c - 1] for c in codes[: len(doubted)]]
    return assemble(
        title="waste",
        modality="image",
        labels=WASTE,
        inputs=[picture(i, (320, 240) if i % 3 else (200, 320)) for i in range(n)],
        codes=codes,
        p=p,
        measured=trust.trusted(evaluation(p, codes, WASTE, rivals=IMAGE_RIVALS), p, codes, 1317),
        train_counts=[219, 272, 221, 330, 258, 17],
        names=names,
        skipped=[
            Skipped(
                "glass/IMG_0231.heic", "an HEIC picture, which is not supported: convert it to JPEG"
            ),
            Skipped("metal/notes.txt", "not a picture (.txt)"),
            Skipped("paper/scan 4.jpg", "the picture is cut off or damaged"),
        ],
        findings=(*WASTE_FINDINGS, *trust.suspects(tuple(doubted), *map(tuple, wrong))),
        notes=["folder: the 6 folders directly below it are the classes"],
        decision=trust.DECIDED,
    )


IMAGE_RIVALS = (
    ("majority", 0.235, 0.06, "always the most frequent class"),
    (
        "knn",
        0.74,
        0.70,
        "the 5 nearest neighbours by cosine in the same features; chosen by leave-one-out; accuracy of "
        "the model minus this: +5.1 points (+1.2 to +9.0, p = 0.012), beyond noise",
    ),
)
WASTE_FINDINGS = (
    Finding(
        "duplicates",
        "info",
        "14 of 1,657 rows repeat another row (12 groups of equal rows).",
        "nothing to do: equal rows are kept on one side of the split",
        tuple(f"paper/paper{i}.jpg" for i in range(26)),
    ),
    Finding(
        "imbalance",
        "warning",
        "The classes are uneven: 'paper' has 330 rows, 'trash' has 17.",
        "look at balanced accuracy rather than accuracy, and add rows of the rare classes",
    ),
    Finding(
        "animated",
        "info",
        "2 animated pictures: only their first frame is used",
        "",
        ("a.gif", "b.gif"),
    ),
)


def intents(k: int = 150, n: int = 1500) -> content.Report:
    """Many classes of short texts."""
    verbs = (
        "book",
        "cancel",
        "change",
        "find",
        "check",
        "report",
        "order",
        "pay",
        "ask about",
        "confirm",
    )
    things = (
        "flight", "hotel", "card", "bill", "order", "password", "insurance", "appointment", "meeting room",
        "restaurant", "refund", "exchange rate", "alarm", "playlist", "recipe",
    )  # fmt: skip
    every = [f"{verb} {thing}" for verb in verbs for thing in things]
    labels = sorted(every[i] if i < len(every) else f"topic {i}" for i in range(k))
    codes = np.arange(n) % k
    p = answers(codes, k, 0.93, 3, near=3)
    texts = [f"hi, could you please {labels[c]} for me, it is number {i} and rather urgent" for i, c in enumerate(codes)]  # fmt: skip
    return assemble(
        title="intents",
        modality="text",
        labels=labels,
        inputs=texts,
        codes=codes,
        p=p,
        measured=trust.trusted(
            evaluation(p, codes, labels, split="test", rivals=TEXT_RIVALS), p, codes, 13_000
        ),
        train_counts=[100 if i % 7 else 25 for i in range(k)],
        names=[f"intents.csv:{i + 2}" for i in range(n)],
        notes=['columns: "text" is the input, "intent" the target (150 classes); "id" is not used'],
        source="intents.csv",
        roles=Roles("text", "intent", "part"),
        decision=replace(
            trust.DECIDED, sets="class", class_thresholds=(0.1,) * k, scale=(1.0,) * k
        ),
        why="the texts are English (41 % of words are common English ones), which starter:minilm reads fastest",
    )


TEXT_RIVALS = (
    ("majority", 0.007, 0.001, "always the most frequent class"),
    ("knn", 0.89, 0.885, "the nearest neighbour by cosine in the same features; chosen by leave-one-out"),
    ("tfidf", 0.86, 0.855, "TF-IDF of words and pairs of words, linear support vector machine, no pretrained model"),
)  # fmt: skip


def reviews(n: int = 120) -> content.Report:
    """Two classes of Chinese reviews, where word counts do as well."""
    labels = ("好评", "差评")
    codes = np.random.default_rng(5).integers(0, 2, n)
    p = answers(codes, 2, 0.86, 6, near=1)
    stems = (
        "物流很快，包装也完好，",
        "用了两天就坏了，客服态度很差，",
        "性价比一般，",
        "孩子很喜欢，",
    )
    tails = ("下次还会再买。", "不推荐。", "希望改进。")
    texts = [stems[i % 4] * (1 + 9 * (i % 5 == 0)) + tails[i % 3] for i in range(n)]
    rivals = (
        ("majority", 0.52, 0.34, "always the most frequent class"),
        (
            "knn",
            0.8,
            0.8,
            "the 10 nearest neighbours by cosine in the same features; chosen by leave-one-out",
        ),
        ("tfidf", -1, -1, "scikit-learn is not installed: pip install 'headstart[sklearn]'"),
    )
    return assemble(
        title="评论",
        modality="text",
        labels=labels,
        inputs=texts,
        codes=codes,
        p=p,
        measured=evaluation(p, codes, labels, rivals=rivals),
        train_counts=[240, 240],
        names=[f"评论.csv:{i + 2}" for i in range(n)],
        source="评论.csv",
        roles=Roles("正文", "标签"),
        licence="unknown",
        why="",
        findings=(
            Finding("leak", "error", "3 of 120 test rows are also among the training rows.",
                    "remove them from the training or the test data", ("评论.csv:8",)),
        ),
    )  # fmt: skip


def hostile(k: int = 200, n: int = 600, skipped: int = 2000) -> content.Report:
    """Everything that comes from data attacks the page: labels, names, reasons, texts, the source."""
    labels = [f"{ATTACKS[i % len(ATTACKS)]} {i}" for i in range(k)]
    codes = np.arange(n) % k
    p = answers(codes, k, 0.6, 7)
    return assemble(
        title=HOSTILE,
        modality="image",
        labels=labels,
        inputs=[picture(i % 16) for i in range(n)],
        codes=codes,
        p=p,
        measured=attacked(evaluation(p, codes, labels, protocol=HOSTILE, rivals=((HOSTILE, 0.5, 0.5, HOSTILE), *IMAGE_RIVALS)), p, codes),
        train_counts=[3 + i % 40 for i in range(k)],
        names=[f"{ATTACKS[i % len(ATTACKS)]}/{i}.jpg" for i in range(n)],
        skipped=[
            Skipped(f"photos/{ATTACKS[i % len(ATTACKS)]}/holiday pictures {i:05d}.jpg", f"{i % 7} x 3 {ATTACKS[i % 5]}")
            for i in range(skipped)
        ],
        findings=[
            Finding(HOSTILE, "warning", HOSTILE, HOSTILE, tuple(ATTACKS) * 100),
            Finding("leak", "error", ATTACKS[1], "", (ATTACKS[1],)),
            Finding("wrong-labels", "warning", HOSTILE, HOSTILE, tuple(f"{ATTACKS[i]}/{i}.jpg" for i in range(6)),
                    confidence=0.5, suggestions=ATTACKS[:6], sure=(0.5,) * 6),
        ],
        notes=ATTACKS,
        source=HOSTILE,
        licence=ATTACKS[1],
        why=HOSTILE,
        command=f"headstart fit '{HOSTILE}'",
        roles=Roles(*ATTACKS[:4]),
        decision=trust.DECIDED,
    )  # fmt: skip


def attacked(measured: Evaluation, p: np.ndarray, codes: np.ndarray) -> Evaluation:
    """Trust whose reasons and notes attack the page."""
    measured = trust.leaky(trust.trusted(measured, p, codes, 4000), 12)
    assert measured.answered is not None
    assert measured.learning is not None
    reasons = {attack: i + 1 for i, attack in enumerate(ATTACKS)}
    return replace(
        measured,
        answered=replace(measured.answered, reasons=reasons),
        learning=replace(measured.learning, note=HOSTILE),
    )


def spam(n: int = 240) -> content.Report:
    """Texts of which many were also learned from; nothing is withheld, and more labels will not help."""
    labels = ("ham", "spam")
    codes = np.random.default_rng(8).integers(0, 2, n)
    p = answers(codes, 2, 0.97, 9, near=1)
    stems = (
        "see you at the meeting at nine, ",
        "you have won a prize, call now, ",
        "the invoice is attached, ",
    )
    texts = [f"{stems[i % 3] * (1 + i % 4)}number {i}" for i in range(n)]
    names = [f"mail.csv:{i + 2}" for i in range(n)]
    measured = trust.leaky(trust.trusted(evaluation(p, codes, labels), p, codes, 960), 40)
    bad = trust.reliability(trust.calm(p, codes), codes)
    measured = replace(
        measured,
        answered=None,
        reliability=replace(bad, ece=bad.noise + 0.041, before=bad.noise + 0.02),
        learning=trust.learning(960, measured.metrics["accuracy"].value, 500, 0.002),
    )
    gain = Metric(0.002, -0.002, 0.006)
    measured = replace(measured, learning=replace(measured.learning, gain=gain))  # type: ignore[type-var]
    return assemble(
        title="mail",
        modality="text",
        labels=labels,
        inputs=texts,
        codes=codes,
        p=p,
        measured=measured,
        train_counts=[480, 480],
        names=names,
        source="mail.csv",
        roles=Roles("text", "label", time="sent"),
        why="",
        decision=Decision(coverage=0.95, set_threshold=0.62, sets="aps"),
        findings=(
            Finding("leak", "error", "40 of 240 test rows are also among the training rows.",
                    "remove them from the training or the test data", tuple(names[:40]), confidence=1.0),
            Finding("conflicting-labels", "warning",
                    f"2 rows have the same content but different labels, e.g. {names[0]} is 'ham', {names[9]} is 'spam'.",
                    "decide which label is right, and mend or remove the other rows", (names[0], names[9])),
            trust.suspects(tuple(names[:3]), ("ham", "ham", "spam"), ("spam", "spam", "ham"))[0],
        ),
    )  # fmt: skip


def tiny() -> content.Report:
    """Five rows measured, two classes, hardly anything to say."""
    labels = ("no", "yes")
    codes = np.array([0, 1, 0, 1, 1])
    p = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.55, 0.45], [0.1, 0.9]])
    measured = replace(
        evaluation(p, codes, labels),
        coverage=1.0,
        set_size=2.0,
        reliability=trust.reliability(p, codes),
        risk=trust.risk(p, codes),
        answered=trust.answered(p, codes, 0.95, 0),
        learning=LearningCurve(
            (8,), (Metric(0.6, 0.2, 0.9),), note="no learning curve: too few rows of each class"
        ),
        notes=("only 5 rows were measured: the intervals are rough",),
    )
    return assemble(
        title="tiny",
        modality="text",
        labels=labels,
        inputs=[f"text {i}" for i in range(5)],
        codes=codes,
        p=p,
        measured=measured,
        train_counts=[4, 4],
        names=[f"tiny.csv:{i + 2}" for i in range(5)],
        source="tiny.csv",
        roles=Roles("text", "answer"),
        why="",
        decision=Decision(set_threshold=0.0, abstain_below=0.95),
    )  # fmt: skip
