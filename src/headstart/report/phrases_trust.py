"""The sentences on trust and on findings: key -> (English, Chinese), as in `phrases`."""

from __future__ import annotations

# fmt: off
TRUST: dict[str, tuple[str, str]] = {
    # the verdict, with and without leaked rows
    "verdict.leaked": (
        "{n:,} of the {all:,} rows, or a row very like it, was also learned from. "
        "Without it the accuracy is {value} (between {low} and {high})."
        "|{n:,} of the {all:,} rows, or rows very like them, were also learned from. "
        "Without them the accuracy is {value} (between {low} and {high}).",
        "{all:,} 行测试数据中有 {n:,} 行（或与之极相似的行）参与了学习。去掉后准确率为 {value}（{low} 至 {high}）。"),
    "verdict.leaked.all": (
        "All of these rows, or rows very like them, were also learned from: there is no honest score.",
        "所有测试数据（或与之极相似的行）都参与了学习：没有可信的分数。"),
    "card.without": (
        "without the leaked row|without the {n:,} leaked rows",
        "去掉 {n:,} 行泄漏数据后"),
    "t.without": ("Without leaked", "去掉泄漏数据"),
    # how far to trust it
    "trust": ("How far to trust it", "它有多可信"),
    "trust.none": (
        "This was not measured when the report was made. Fit or evaluate again to see it.",
        "生成此报告时没有测量这些内容。重新训练或评估即可看到。"),
    "axis.promised": ("probability of the answer, %", "回答的概率（%）"),
    "axis.kept": ("answers that are right, %", "答对的比例（%）"),
    "axis.answered": ("inputs that are answered, %", "回答的比例（%）"),
    "axis.accuracy": ("accuracy, %", "准确率（%）"),
    "axis.labels": ("labels learned from", "学习的标签数"),
    # its probabilities
    "calibration": ("Are its probabilities true?", "概率说得准吗"),
    "calibration.off": (
        "On average they are {ece} points off; before calibration it was {before}.",
        "平均偏差为 {ece} 个百分点；校准前为 {before}。"),
    "calibration.below": (
        "That is less than a perfectly calibrated model shows at this size ({noise} points): no sign of bad calibration.",
        "这低于完美校准的模型在这个数据量下会显出的偏差（{noise} 个百分点）：没有校准不良的迹象。"),
    "calibration.above": (
        "A perfectly calibrated model stays below {noise} points at this size: take the probabilities with care.",
        "完美校准的模型在这个数据量下不会超过 {noise} 个百分点：请谨慎看待这些概率。"),
    "calibration.caption": (
        "Each dot is one of {bins:,} groups of about {n:,} answer with a 95 % interval. On the dashed line, "
        "what is promised is kept."
        "|Each dot is one of {bins:,} groups of about {n:,} answers with a 95 % interval. On the dashed line, "
        "what is promised is kept.",
        "每个点是约 {n:,} 个回答（共 {bins:,} 组），竖线为 95% 置信区间。虚线上表示说到做到。"),
    "calibration.title": ("Promised probability and share of right answers", "回答的概率与答对的比例"),
    "calibration.point": (
        "promised {promised}, right {right} of {n:,}", "概率 {promised}，{n:,} 个中答对 {right}"),
    "calibration.short": (
        "Probabilities are {ece} points off on average, less than chance alone would show ({noise}).",
        "概率的平均偏差为 {ece} 个百分点，低于偶然误差（{noise}）。"),
    "calibration.short.above": (
        "Probabilities are {ece} points off on average, more than chance would show ({noise}): "
        "take them with care.",
        "概率的平均偏差为 {ece} 个百分点，超出偶然误差（{noise}）：请谨慎看待。"),
    "vector": (
        "Probabilities are calibrated: each class has a scale and a shift of its own (vector scaling), "
        "and logits are divided by {value} (the temperature).",
        "概率已校准：每个类别有各自的缩放与偏移（向量缩放），logits 再除以温度 {value}。"),
    # withholding
    "withholding": ("What withholding buys", "不确定时不回答"),
    "withheld.some": (
        "It answers {share} of the inputs ({share_low} to {share_high}) and is right on {value} of those "
        "({low} to {high}).",
        "它回答 {share} 的输入（{share_low} 至 {share_high}），其中答对 {value}（{low} 至 {high}）。"),
    "withheld.every": ("It withholds every answer.", "它没有给出任何回答。"),
    "withheld.none": ("It answers everything it is given.", "它回答所有输入。"),
    "withheld.all": (
        "Answering everything, it would be right on {value}.", "若全部回答，正确率为 {value}。"),
    "withheld.if": (
        "If only the surest {share} were answered, {value} of the answers would be right.",
        "若只回答最有把握的 {share}，其中 {value} 会是对的。"),
    "withheld.meant": (
        "It was set so that at least {meant} of its answers are right.", "阈值的设定目标是回答中至少有 {meant} 是对的。"),
    "withheld.unlike": (
        "Inputs unlike those it learned from are refused.", "与学习数据不像的输入会被拒绝。"),
    "withheld.why": ("Withheld, and why", "不回答的原因"),
    "withheld.caption": (
        "The fewer answers, the surest first, the more of them are right.{mark}",
        "只回答最有把握的，答得越少，正确率越高。{mark}"),
    "withheld.mark": (" The large dot is this model.", "大圆点为本模型。"),
    "withheld.title": ("Share of inputs answered and accuracy of the answers", "回答的比例与回答的正确率"),
    "withheld.point": ("{share} answered, {value} right", "回答 {share}，答对 {value}"),
    "withheld.here": ("this model: {share} answered, {value} right", "本模型：回答 {share}，答对 {value}"),
    # sets
    "sets": ("Prediction sets", "预测集合"),
    "sets.intro": (
        "Instead of one answer, a set of labels that holds the truth with a stated probability.",
        "不只给一个答案，而给出一组标签，以指定的概率包含正确答案。"),
    "sets.kind": ("How made", "做法"),
    "sets.lac": (
        "all labels with a probability of at least {value} (LAC)",
        "概率不低于 {value} 的所有标签（LAC）"),
    "sets.lac.all": (
        "all labels: there were too few rows to leave any out", "全部标签：数据太少，无法排除任何一个"),
    "sets.aps": (
        "the most probable labels, up to {value} of probability together (APS)",
        "从概率最高的标签开始，合计概率不超过 {value}（APS）"),
    "sets.class": (
        "all labels that reach the threshold of their own class, so that every class is covered "
        "as meant (class-conditional LAC)",
        "达到各自类别阈值的所有标签，使每个类别都达到目标覆盖率（分类别 LAC）"),
    "sets.meant": ("Meant to hold the truth", "目标覆盖率"),
    "sets.measured": ("Measured", "实测覆盖率"),
    "sets.between": ("{value} ({low} to {high})", "{value}（{low} 至 {high}）"),
    "sets.size": ("Mean size", "平均大小"),
    "sets.size.value": ("{size} of {n:,} labels", "{size} 个标签（共 {n:,} 个）"),
    "sets.caption": (
        "How many sets hold the truth, in %, with the 95 % interval. The dashed line is what is meant.",
        "包含正确答案的集合所占比例（%）及其 95% 置信区间。虚线为目标值。"),
    # learning curve
    "learning": ("What more labels would bring", "再多标注会怎样"),
    "learning.gain": (
        "{n:,} more label: about {gain} points ({low} to {high})."
        "|{n:,} more labels: about {gain} points ({low} to {high}).",
        "再标注 {n:,} 个：准确率约 {gain} 个百分点（{low} 至 {high}）。"),
    "learning.flat": (
        "The curve is flat: more labels of this kind will hardly help.",
        "曲线已平缓：再多同类标注也帮助不大。"),
    "learning.caption": (
        "Accuracy on rows held out, by the number of labels, with 95 % intervals.{more}",
        "不同标签数下在预留数据上的准确率，竖线为 95% 置信区间。{more}"),
    "learning.dashed": (" Dashed: what more would probably bring.", "虚线为再多标注的预计效果。"),
    "learning.title": ("Accuracy by number of labels", "准确率与标签数"),
    "learning.point": ("{n:,} labels: {value} ({low} to {high})", "{n:,} 个标签：{value}（{low} 至 {high}）"),
    # repeats
    "repeats": ("On other splits of the same data", "换一种划分"),
    "repeats.intro": (
        "The same model was made and measured {n:,} times, each time on another split.",
        "同样的模型在 {n:,} 种不同的划分上各训练和测量一次。"),
    "repeats.caption": (
        "Dots are the splits, in %; above them their mean with its 95 % interval, which knows that the splits "
        "share rows.",
        "下方每个点为一次划分（%）；上方为均值及其 95% 置信区间（已考虑各划分共用数据）。"),
    "repeats.short": (
        "Over {n:,} splits of the data: {metric} {value} ({low} to {high}).",
        "在 {n:,} 种划分上：{metric} {value}（{low} 至 {high}）。"),
    # findings
    "findings.rows": ("{n:,} row|{n:,} rows", "{n:,} 行"),
    "findings.other": ("Noticed", "其他发现"),
    "findings.sure": ("how sure: {value}", "把握：{value}"),
    "findings.fix": (
        "Write a plan of what to do with each row, look it over and change it, then write a cleaned copy. "
        "The data itself is not changed.",
        "先写出对每一行的处理方案，检查并修改，然后写出清洗后的副本。原始数据不会被改动。"),
    "findings.first": ("The first of them", "其中最前面的几个"),
    "example.label": ("labelled {label}", "标签：{label}"),
    "example.wrong": ("probably {suggestion}", "可能是 {suggestion}"),
    "example.sure": ("probably {suggestion}, {sure}", "可能是 {suggestion}（{sure}）"),
    "example.like": ("like {suggestion}", "与 {suggestion} 相似"),
    "kind.skipped": ("Left out while reading", "读取时跳过"),
    "kind.duplicates": ("Equal rows", "重复的行"),
    "kind.near-duplicates": ("Nearly equal rows", "近似重复的行"),
    "kind.conflicting-labels": ("Conflicting labels", "相互矛盾的标签"),
    "kind.wrong-labels": ("Probably wrong labels", "可能标错的标签"),
    "kind.far-out": ("Unlike all others", "与其他数据都不像"),
    "kind.leak": ("Learned from and measured on", "测试数据泄漏"),
    "kind.near-leak": ("Nearly the same on both sides", "测试数据几乎泄漏"),
    "kind.leaking-column": ("A column that gives the label away", "泄露标签的列"),
    "kind.near-conflicts": ("Nearly equal, labelled differently", "近似而标签不同"),
    "kind.blank": ("Pictures of one colour", "纯色图片"),
    "kind.sizes": ("Odd sizes", "异常的尺寸"),
    "kind.lengths": ("Odd lengths", "异常的长度"),
    "kind.no-letters": ("Texts without letters", "没有文字的文本"),
    "kind.sampled": ("Looked at a sample", "抽样检查"),
    "kind.constant-input": ("An input that never changes", "不变的输入"),
    "kind.one-class": ("A single class", "只有一个类别"),
    "kind.single-rows": ("Classes of a single row", "只有一行的类别"),
    "kind.small-classes": ("Small classes", "很小的类别"),
    "kind.imbalance": ("Uneven classes", "类别不均衡"),
    "kind.animated": ("Animated pictures", "动图"),
    "kind.truncated": ("Long texts", "过长的文本"),
    # what to do next
    "next.leaked": (
        "{n:,} test row is a copy or near copy of a training row: the score without it is {value}. "
        "Remove it from one side: {command}"
        "|{n:,} test rows are copies or near copies of training rows: the score without them is {value}. "
        "Remove them from one side: {command}",
        "{n:,} 行测试数据与训练数据相同或几乎相同：去掉后的得分为 {value}。请从其中一边移除：{command}"),
    "next.wrong-labels": (
        "Look at {n:,} label that is probably wrong: {command}"
        "|Look at {n:,} labels that are probably wrong: {command}",
        "请检查 {n:,} 个可能有误的标签：{command}"),
    "next.leaking-column": (
        "Keep the column that gives the label away out of the input (see the findings).",
        "请勿把泄露标签的列放入输入（见“发现的问题”）。"),
    "next.calibration": (
        "Do not take the probabilities at their word: they are {ece} points off on average, more than chance "
        "explains. The rows measured may differ from those learned from.",
        "不要完全相信给出的概率：平均偏差 {ece} 个百分点，超出偶然误差。测试数据可能与学习数据不同。"),
    "next.missed": (
        "Of its answers {value} are right, not {meant} as meant: the rows measured may differ from those "
        "learned from.",
        "它的回答有 {value} 是对的，未达目标 {meant}：测试数据可能与学习数据不同。"),
    "next.withheld": (
        "It withholds {share} of the answers (most often: {reason}). Label some of those inputs and fit again.",
        "它有 {share} 的输入不作回答（主要原因：{reason}）。请标注其中一些后重新训练。"),
    "next.more": ("Label more. {told}", "请多标注。{told}"),
    "next.beaten.flat": (
        "Before you rely on this model, try another --backbone: {name} does at least as well ({theirs} "
        "against {ours} {metric}).",
        "依赖此模型之前，请用 --backbone 换一个骨干模型：{name}的{metric}不低于本模型（{theirs} 对 {ours}）。"),
    "next.flat": (
        "The learning curve is flat: more labels will hardly help. Another --backbone or cleaner labels may.",
        "学习曲线已平缓：再多标注帮助不大。可用 --backbone 换一个骨干模型，或清理标签。"),
}
# fmt: on
