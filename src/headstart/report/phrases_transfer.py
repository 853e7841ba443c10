"""The sentences on what a pretrained backbone bought: key -> (English, Chinese), as in `phrases`."""

from __future__ import annotations

# fmt: off
TRANSFER: dict[str, tuple[str, str]] = {
    "transfer": ("What the pretrained backbone bought", "预训练骨干带来了什么"),
    "transfer.with": ("pretrained", "预训练"),
    "transfer.without": ("from scratch", "从零训练"),
    "transfer.axis": ("labels learned from (logarithmic)", "学习的标签数（对数刻度）"),
    # how many labels it saves
    "transfer.saves": (
        "With {n:,} label the pretrained backbone is as accurate as a network from scratch with about {needed:,} "
        "({low:,} to {high:,}): it saves about {saved:,} labels."
        "|With {n:,} labels the pretrained backbone is as accurate as a network from scratch with about {needed:,} "
        "({low:,} to {high:,}): it saves about {saved:,} labels.",
        "用 {n:,} 个标签，预训练骨干的准确率就相当于从零训练用约 {needed:,} 个（{low:,} 至 {high:,}）：约省下 {saved:,} 个标签。"),
    "transfer.more": (
        "With {n:,} label the pretrained backbone is more accurate than a network from scratch with "
        "{more:,}: it saves more than {saved:,} labels."
        "|With {n:,} labels the pretrained backbone is more accurate than a network from scratch with "
        "{more:,}: it saves more than {saved:,} labels.",
        "用 {n:,} 个标签，预训练骨干就比从零训练用 {more:,} 个更准确：省下的标签超过 {saved:,} 个。"),
    "transfer.doubtful": (
        "With {n:,} label the pretrained backbone is as accurate as a network from scratch with about {needed:,} "
        "({low:,} to {high:,}): whether it saves any is within noise."
        "|With {n:,} labels the pretrained backbone is as accurate as a network from scratch with about {needed:,} "
        "({low:,} to {high:,}): whether it saves any is within noise.",
        "用 {n:,} 个标签，预训练骨干的准确率相当于从零训练用约 {needed:,} 个（{low:,} 至 {high:,}）：是否省下标签，差别未超出误差。"),
    "transfer.none": (
        "With {n:,} label a network from scratch is no less accurate: the pretrained backbone saves no labels."
        "|With {n:,} labels a network from scratch is no less accurate: the pretrained backbone saves no labels.",
        "用 {n:,} 个标签，从零训练的准确率并不更低：预训练骨干没有省下标签。"),
    "transfer.unclear": (
        "How many labels the pretrained backbone saves cannot be told from these rows.",
        "仅凭这些数据，看不出预训练骨干省下多少标签。"),
    # what is left of it with all rows
    "transfer.end.over": (
        "With all {n:,} it is still {size} points ahead ({low} to {high}).",
        "用全部 {n:,} 个标签时，它仍领先 {size} 个百分点（{low} 至 {high}）。"),
    "transfer.end.even": (
        "With all {n:,} the two are even within noise ({low} to {high} points).",
        "用全部 {n:,} 个标签时，两者的差别未超出误差（{low} 至 {high} 个百分点）。"),
    "transfer.end.under": (
        "With all {n:,} the network from scratch is {size} points ahead ({low} to {high}).",
        "用全部 {n:,} 个标签时，从零训练领先 {size} 个百分点（{low} 至 {high}）。"),
    # the plot
    "transfer.caption": (
        "Accuracy on {held:,} held-out row by the number of labelled rows, with 95 % intervals.{read}"
        "|Accuracy on {held:,} held-out rows by the number of labelled rows, with 95 % intervals.{read}",
        "不同标签数下在预留的 {held:,} 行上的准确率，色带为 95% 置信区间。{read}"),
    "transfer.read": (
        " The dotted line leads to the labels that the network from scratch needs.",
        "点线指向从零训练所需的标签数。"),
    "transfer.title": (
        "Accuracy by number of labels, with the pretrained backbone and from scratch",
        "预训练骨干与从零训练的准确率随标签数的变化"),
    "transfer.point": (
        "{n:,} labels: pretrained {ours}, from scratch {theirs}", "{n:,} 个标签：预训练 {ours}，从零训练 {theirs}"),
}
# fmt: on
