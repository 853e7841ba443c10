"""Which column is the input, the target, the split, the group, the time: guess, check, explain.

A well-known name wins if the column's values fit it; then what the values look like: the input is
the one column of pictures or of long free texts, the target the one column of few distinct values.
Where two columns would do, nothing is guessed: the error lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.data import pictures
from headstart.data.columns import missing, text_of
from headstart.errors import DataError
from headstart.registry import suggestion
from headstart.types import Modality, Roles

SPLIT_OF = {
    **dict.fromkeys(("train", "training", "trn", "训练", "训练集"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "验证", "验证集"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "测试", "测试集"), "test"),
}
"""What train, val and test are called, in lower case, and which of them each name is."""

PICTURE_NAMES = (
    "image", "img", "picture", "photo", "file", "path", "filename", "file_name", "filepath",
    "file_path", "image_path", "img_path", "image_file", "image_name", "图片", "图像", "照片", "文件",
    "路径", "文件名", "图片路径", "images", "input", "x",
)  # fmt: skip
TEXT_NAMES = (
    "text", "sentence", "review", "comment", "content", "question", "utterance", "query", "message",
    "tweet", "review_text", "comment_text", "review_body", "body", "document", "post", "feedback",
    "sms", "phrase", "文本", "评论", "内容", "句子", "正文", "问题", "评价", "留言", "texts", "input", "x",
    "description", "title", "headline", "caption", "prompt", "abstract", "描述", "标题",
)  # fmt: skip
_SIDE_NAMES = frozenset(
    TEXT_NAMES[TEXT_NAMES.index("description") :]
)  # beside pictures, not instead
TARGET_NAMES = (
    "label", "target", "class", "category", "intent", "sentiment", "y", "标签", "类别", "分类", "情感",
    "意图", "labels", "label_name", "label_text", "class_name", "class_label", "topic", "tag",
    "species", "emotion", "output", "rating", "stars", "polarity", "类型", "情感倾向", "主题",
)  # fmt: skip
SPLIT_NAMES = ("split", "subset", "partition", "set", "fold", "part", "数据集", "划分")
GROUP_NAMES = (
    "group", "group_id", "groups", "组", "分组", "patient", "patient_id", "subject_id", "speaker",
    "speaker_id", "user", "user_id", "author", "author_id", "session_id", "thread_id", "患者", "用户",
)  # fmt: skip
_MIN_GROUPS = 10  # fewer cannot be divided into fair parts, so they are not taken unasked
_SAMPLE = 500  # cells looked at to tell what a column holds


@dataclass(frozen=True)
class _Profile:
    """What a column looks like."""

    name: str
    kind: str  # "picture", "text", "number", "other" or "empty"
    rows: int
    filled: int
    distinct: int
    length: float  # mean number of characters
    free: bool  # written by people, rather than a code, a date or an identifier
    fractional: bool  # numbers that are no whole numbers

    @property
    def key(self) -> str:
        return re.sub(r"[\s.\-]+", "_", self.name.strip().casefold())

    @property
    def classes(self) -> bool:
        """Whether the values can be classes: fewer than rows, and no measurements."""
        if not self.filled or self.kind in ("picture", "other", "empty"):
            return False
        if self.fractional and self.distinct > max(20, self.rows // 4):
            return False
        return self.distinct < self.rows


def guess(
    columns: Mapping[str, Sequence[Any]],
    *,
    input: str | None = None,
    target: str | None = None,
    split: str | None = None,
    group: str | None = None,
    time: str | None = None,
    modality: str | None = None,
    labelled: bool = True,
) -> tuple[Roles, Modality, tuple[str, ...]]:
    """Give every column its role.

    Args:
        columns: name -> cells.
        input: the column with the inputs, where the caller knows it; the same for the next three.
        target: the column with the labels.
        split: the column that says train, val or test.
        group: the column whose equal values must not be parted.
        time: the column of points in time, by which the rows are divided; never guessed, as it would
            change what is measured.
        modality: "image" or "text", where the caller knows it.
        labelled: whether a target is needed; without, only a named one is taken.

    Returns:
        The roles, the modality, and notes that say what was taken for what.

    Raises:
        DataError: a named column does not exist, or no or several columns could be the input or
            the target; the message lists the columns there are.
    """
    modality = check_modality(modality)
    named = {"input": input, "target": target, "split": split, "group": group, "time": time}
    _check_named(named, list(columns))
    profiles = {name: _profile(name, values) for name, values in columns.items()}
    free = [p for p in profiles.values() if p.name not in named.values()]
    if split is None:
        split = _guess_split(columns, free)
        free = [p for p in free if p.name != split]
    if target is None and labelled:
        target = _first(free, TARGET_NAMES, [p for p in free if p.classes])
        free = [p for p in free if p.name != target]
    if input is None:
        input = _guess_input(free, modality, list(columns), labelled=labelled, target=target)
        free = [p for p in free if p.name != input]
    if target is None and labelled:
        target = _guess_target(free, profiles)
        free = [p for p in free if p.name != target]
    if group is None:
        group = _guess_group(free)
    kind = modality or ("image" if profiles[input].kind == "picture" else "text")
    roles = Roles(input, target, split, group, time)
    return roles, kind, (_explain(roles, profiles, columns),)


def check_modality(modality: str | None) -> Modality | None:
    """The modality, if there is one of this name.

    Raises:
        DataError: there is not.
    """
    if modality not in (None, "image", "text"):
        raise DataError(f"There is no modality called {modality!r}.", fix="one of: image, text")
    return modality  # type: ignore[return-value]


def missing_column(name: str, columns: Sequence[str]) -> DataError:
    """The error for a column that is not there."""
    there = ", ".join(columns)
    return DataError(
        f"There is no column {name!r}; the columns are: {there}.",
        fix=suggestion(name, list(columns)) or f"name one of: {there}",
    )


def _check_named(named: Mapping[str, str | None], columns: Sequence[str]) -> None:
    for name in named.values():
        if name is not None and name not in columns:
            raise missing_column(name, columns)
    taken: dict[str, str] = {}
    for role, name in named.items():
        if name is None:
            continue
        if name in taken:
            raise DataError(
                f"Column {name!r} is named both as {taken[name]} and as {role}.",
                fix="name a column of its own for each",
            )
        taken[name] = role


def _profile(name: str, values: Sequence[Any]) -> _Profile:
    filled = [v for v in values if not missing(v) and not (isinstance(v, str) and not v.strip())]
    if not filled:
        return _Profile(name, "empty", len(values), 0, 0, 0.0, False, False)
    step = max(1, len(filled) // _SAMPLE)
    sample = filled[::step]
    kind = _kind(sample)
    try:
        distinct = len({v.strip() if isinstance(v, str) else v for v in filled})
    except TypeError:  # lists, dicts and arrays cannot be counted so
        distinct = len(filled)
    texts = [v for v in sample if isinstance(v, str)]
    length = sum(map(len, texts)) / max(1, len(texts))
    fractional = kind == "number" and any(_fractional(v) for v in sample)
    return _Profile(
        name, kind, len(values), len(filled), distinct, length, is_free_text(texts), fractional
    )


def _kind(sample: Sequence[Any]) -> str:
    half = len(sample) / 2
    if sum(map(pictures.looks_like, sample)) >= half:
        return "picture"
    texts = [v for v in sample if isinstance(v, str)]
    if len(texts) >= half:
        numbers = sum(1 for v in texts if re.fullmatch(r"\s*[-+]?\d+([.,]\d+)?(e[-+]?\d+)?\s*", v))
        if numbers > 0.9 * len(texts):
            return "number"
        return "other" if sum(map(pictures.is_url, texts)) >= half else "text"
    plain = sum(1 for v in sample if isinstance(v, (bool, int, float)) or hasattr(v, "dtype"))
    return "number" if plain >= half else "other"


def _fractional(value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return number % 1 != 0


def is_free_text(texts: Sequence[str]) -> bool:
    """Whether most texts are words with spaces between, or in a script that needs none."""
    length = sum(map(len, texts)) / max(1, len(texts))
    written = sum(
        1
        for text in texts
        if len(text.split()) > 1 or re.search("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]", text)
    )  # fmt: skip
    return bool(texts) and length >= 5 and written * 2 >= len(texts)


def _first(free: Sequence[_Profile], names: Sequence[str], fit: Sequence[_Profile]) -> str | None:
    """The fitting column with the best known name."""
    by_key = {p.key: p.name for p in reversed(free) if p in fit}
    return next((by_key[name] for name in names if name in by_key), None)


def _guess_split(columns: Mapping[str, Sequence[Any]], free: Sequence[_Profile]) -> str | None:
    """The column whose every value is a name of train, val or test."""
    found = []
    for p in free:
        if p.kind != "text" or p.distinct > len(SPLIT_OF):
            continue
        values = {text_of(v).strip().casefold() for v in columns[p.name] if not missing(v)} - {""}
        if values <= SPLIT_OF.keys() and (len(values) > 1 or p.key in SPLIT_NAMES):
            found.append(p)
    return _first(found, SPLIT_NAMES, found) or (found[0].name if found else None)


def _guess_input(
    free: Sequence[_Profile],
    modality: Modality | None,
    columns: Sequence[str],
    *,
    labelled: bool,
    target: str | None,
) -> str:
    seen = [p for p in free if p.kind == "picture"] if modality != "text" else []
    words = [p for p in free if p.kind == "text"] if modality != "image" else []
    picture = _first(free, PICTURE_NAMES, seen)
    text = _first(free, TEXT_NAMES, words)
    if picture and text and _key(text) not in _SIDE_NAMES:
        raise _unclear("input", [picture, text], columns)
    if picture or text:
        return picture or text or ""
    if len(seen) == 1:
        return seen[0].name
    if seen:
        raise _unclear("input", [p.name for p in seen], columns)
    if modality == "image":  # paths without a known ending, numbered pictures
        known = _first(free, PICTURE_NAMES, [p for p in free if p.kind != "empty"])
        if known:
            return known
        raise _unclear("input", [], columns)
    return _free_text(words, columns, labelled=labelled, target=target)


def _free_text(
    words: Sequence[_Profile], columns: Sequence[str], *, labelled: bool, target: str | None
) -> str:
    """The column of long free texts; else the only text column that is left."""
    long = [p for p in words if p.free and (p.distinct * 2 > p.filled or p.length >= 30)]
    if len(long) > 1:  # a column of much longer texts stands out
        longest = max(long, key=lambda p: p.length)
        if all(p is longest or p.length * 3 < longest.length for p in long):
            return longest.name
        raise _unclear("input", [p.name for p in long], columns)
    if long:
        return long[0].name
    if len(words) == 1 and (target is not None or not labelled):
        return words[0].name
    raise _unclear("input", [p.name for p in words], columns)


def _key(name: str) -> str:
    return re.sub(r"[\s.\-]+", "_", name.strip().casefold())


def _guess_target(free: Sequence[_Profile], profiles: Mapping[str, _Profile]) -> str:
    columns = list(profiles)
    found = [
        p
        for p in free
        if p.classes
        and not p.fractional
        and 2 <= p.distinct <= max(2, p.rows // 2)
        and p.length <= 60
        and p.key not in (*SPLIT_NAMES, *GROUP_NAMES, "id", "index", "year", "date", "")
    ]
    if len(found) == 1:
        return found[0].name
    known = [p for p in profiles.values() if p.key in TARGET_NAMES and p.filled and not p.classes]
    if not found and known:
        what = "measurements" if known[0].fractional else "a different value in every row"
        raise DataError(
            f"Column {known[0].name!r} cannot be the target: it holds {what}"
            f" ({known[0].distinct:,} values in {known[0].rows:,} rows).",
            fix=f"name a column of classes with --target; the columns are: {', '.join(columns)}",
        )
    raise _unclear("target", [p.name for p in found], columns)


def _guess_group(free: Sequence[_Profile]) -> str | None:
    return _first(free, GROUP_NAMES, [p for p in free if _MIN_GROUPS <= p.distinct < p.filled])


def _unclear(role: str, found: Sequence[str], columns: Sequence[str]) -> DataError:
    there = ", ".join(columns)
    if found:
        which = f"it could be {' or '.join(map(repr, found))}"
    else:
        which = "none looks like it"
    example = found[0] if found else columns[0]
    return DataError(
        f"It is not clear which column is the {role}: {which}. The columns are: {there}.",
        fix=f'say which with --{role}, e.g. --{role} "{example}"',
    )


def _explain(
    roles: Roles, profiles: Mapping[str, _Profile], columns: Mapping[str, Sequence[Any]]
) -> str:
    """One sentence that says what was taken for what."""
    parts = [f'"{roles.input}" is the input']
    if roles.target is not None:
        n = profiles[roles.target].distinct
        parts.append(f'"{roles.target}" the target ({n:,} {"class" if n == 1 else "classes"})')
    if roles.split is not None:
        parts.append(f'"{roles.split}" divides the rows')
    if roles.group is not None:
        parts.append(f'rows of one "{roles.group}" stay together')
    if roles.time is not None:
        parts.append(f'"{roles.time}" the time: the latest rows are measured')
    used = {roles.input, roles.target, roles.split, roles.group, roles.time}
    unused = [f'"{name}"' for name in columns if name not in used]
    text = "columns: " + ", ".join(parts)
    if len(unused) == 1:
        return f"{text}; {unused[0]} is not used"
    if len(unused) > 8:
        return f"{text}; {len(unused)} other columns are not used"
    return f"{text}; {', '.join(unused)} are not used" if unused else text
