"""The sentences of the page and of the terminal about one answer: key -> (English, Chinese)."""

from __future__ import annotations

import math
import re
from typing import Any

from headstart.report.words import LANGUAGES, Words

# fmt: off
_PHRASES: dict[str, tuple[str, str]] = {
    "title": ("Why “{label}”?", "为什么是“{label}”？"),
    "title.not": ("What speaks for “{label}”?", "支持“{label}”的依据是什么？"),
    "title.several": ("Why these {n:,} answers?", "这 {n:,} 个回答的依据"),
    "overline": ("Headstart explanation", "Headstart 解释"),
    "model": ("Model: {name}", "模型：{name}"),
    "answer.image": ("The model takes {name} for “{label}”.", "模型认为 {name} 是“{label}”。"),
    "answer.text": ("The model answers “{label}”.", "模型的回答是“{label}”。"),
    "probability": ("Probability", "概率"),
    "withheld": ("The answer is withheld: {reason}.", "此回答被保留不答：{reason}。"),
    "withheld.plain": ("The answer is withheld.", "此回答被保留不答。"),
    "asked": (
        "Asked: what speaks for and against “{label}”, which the model gives {value}.",
        "所问：什么支持、什么反对“{label}”（模型给出的概率为 {value}）。"),
    "where": ("What in the picture counts", "图中什么起作用"),
    "which": ("Which words count", "哪些词起作用"),
    "for": ("speaks for “{label}”", "支持“{label}”"),
    "against": ("speaks against it", "反对"),
    "unseen": ("not seen by the model", "模型没有看到"),
    "fade": ("Heat map", "热力图"),
    "alt.picture": ("The picture: {name}", "图片：{name}"),
    "alt.heat": ("Heat map over the picture", "图片上的热力图"),
    "odds": ("Odds", "几率"),
    "piece": ("Piece", "片段"),
    "place": ("Place", "位置"),
    "times": ("× {value}", "× {value}"),
    "strongest": ("The strongest pieces", "作用最大的片段"),
    "places": ("Place by place", "各处的作用"),
    "odds.about": (
        "By what each multiplies the odds of “{label}”. Together they multiply.",
        "每一项使“{label}”的几率变为多少倍。各项可以连乘。"),
    "none": ("Nothing that was taken away changed the answer.", "无论拿走什么，回答都没有变化。"),
    "near": ("The nearest training examples", "最相似的训练样本"),
    "near.agree": (
        "The nearest is labelled “{label}”.|{same:,} of the {n:,} nearest are labelled “{label}”.",
        "最近的 {n:,} 个中有 {same:,} 个标签为“{label}”。"),
    "near.none": ("None are shown.", "没有可显示的样本。"),
    "near.names": (
        "The bundle keeps names, not contents: with --data their contents are shown.",
        "模型包只保存名称，不保存内容：用 --data 可显示内容。"),
    "near.lost": (
        "{n:,} of them is not in the data that was given.|{n:,} of them are not in the data that was given.",
        "其中 {n:,} 个不在所给的数据中。"),
    "likeness": ("Likeness", "相似度"),
    "made": ("How this was made", "如何得出"),
    "made.passes": ("Passes through the model", "模型运行次数"),
    "made.fidelity": ("Accounted for", "可解释的部分"),
    "made.fidelity.value": (
        "{value} of how the answer changed in left-out trials",
        "在留出的试验中，可说明回答变化的 {value}"),
    "made.fidelity.exact": ("all: every combination was tried", "全部：所有组合都已试过"),
    "made.seconds": ("Time taken", "耗时"),
    "says": ("What this says, and what it does not", "它说明了什么，没有说明什么"),
    "says.model": (
        "It tells what this model reacts to. Whether that is a good reason is for people to judge: a model "
        "that looks at the background is shown looking at the background.",
        "它说明的是这个模型对什么有反应。理由是否正当要由人判断：如果模型看的是背景，这里就会显示它在看背景。"),
    "says.image": (
        "Parts of the picture were covered with a blurred copy, and the model was asked again. The colours "
        "say how the odds of the label changed, averaged over many such trials.",
        "做法：用模糊的副本盖住图片的一部分，再问模型一次。颜色表示在许多次试验中该标签的几率平均变化了多少。"),
    "says.text": (
        "Pieces of the text were left out, and the model was asked again. The colours say how the odds of "
        "the label changed, averaged over many such trials.",
        "做法：去掉文本的一部分，再问模型一次。颜色表示在许多次试验中该标签的几率平均变化了多少。"),
    "says.near": (
        "The nearest training examples are those that the backbone finds most alike. The model did not look "
        "them up: it learned from all examples at once.",
        "最相似的训练样本是骨干模型认为最接近的样本。模型并不是查找它们作答，而是从全部样本中学到的。"),
    "skipped": ("Not explained", "未能解释"),
    "footer": (
        "This page is one file: it loads nothing and sends nothing.",
        "本页是单个文件：不加载任何外部内容，也不发送任何数据。"),
    # the nine places of a picture
    "place.00": ("top left", "左上"), "place.01": ("top", "上"), "place.02": ("top right", "右上"),
    "place.10": ("left", "左"), "place.11": ("middle", "中"), "place.12": ("right", "右"),
    "place.20": ("bottom left", "左下"), "place.21": ("bottom", "下"), "place.22": ("bottom right", "右下"),
}
# what the runtime's notes say, in Chinese
_NOTES: tuple[tuple[str, str], ...] = (
    (r"The bundle keeps nothing of its training examples, so the nearest cannot be shown\.",
     r"模型包没有保存训练样本的信息，因此无法显示最相似的样本。"),
    (r"The model does not see the edges: ([\d.]+) % of the picture\.",
     r"模型看不到边缘：占图片的 \1%。"),
    (r"The model reads the first ([\d,]+) characters of this text only\.",
     r"模型只读取这段文本的前 \1 个字符。"),
    (r"The parts do not add up: take the weights as hints only \(they account for (\d+) % of how the answer "
     r"changed\)\.",
     r"各部分的作用不能简单相加：权重仅供参考（只能说明回答变化的 \1%）。"),
)
# fmt: on


class WhyWords:
    """Sentences about one answer, and numbers as the report writes them.

    Args:
        lang: "en" or "zh".

    Raises:
        ConfigError: there is no such language.
    """

    def __init__(self, lang: str = "en") -> None:
        self.words = Words(lang)
        self.lang = lang

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence of a key, with its values filled in."""
        text = _PHRASES[key][LANGUAGES.index(self.lang)]
        if "|" in text:
            one, many = text.split("|")
            text = one if values["n"] == 1 else many
        return text.format(**values) if values else text

    def notes(self, note: str) -> list[str]:
        """The sentences of an explanation's note, translated where they are known."""
        found, rest = [], note
        for pattern, chinese in _NOTES:
            match = re.search(pattern, rest)
            if match:
                found.append(match.expand(chinese) if self.lang == "zh" else match.group())
                rest = rest.replace(match.group(), "").strip()
        return [*found, rest] if rest else found

    def odds(self, weight: float) -> str:
        """By what a weight multiplies the odds, e.g. "× 2.1"."""
        return self("times", value=odds(weight))


def odds(weight: float) -> str:
    """exp(weight) with two digits that count, e.g. "2.1", "0.34", "180"."""
    factor = math.exp(min(max(weight, -20.0), 20.0))
    if factor >= 9.95:
        return f"{float(f'{factor:.2g}'):,.0f}"
    return f"{factor:.1f}" if factor >= 0.995 else f"{factor:.2g}"
