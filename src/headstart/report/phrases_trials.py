"""The sentences on what was tried: key -> (English, Chinese), as in `phrases`."""

from __future__ import annotations

# fmt: off
TRIALS: dict[str, tuple[str, str]] = {
    # methods: the word for one, and what it does
    "method.short.probe": ("probe", "探针"),
    "method.short.finetune": ("fine-tuning", "微调"),
    "method.short.lora": ("low-rank updates", "LoRA 低秩更新"),
    "method.short.bitfit": ("biases and norms", "偏置与归一化微调"),
    "method.short.contrastive": ("pair tuning", "对比微调"),
    "method.short.distil": ("distillation", "蒸馏"),
    "method.short.scratch": ("from scratch", "从零训练"),
    "method.finetune": (
        "fine-tuning (finetune): the backbone's upper layers and the head learn on from the probe",
        "微调（finetune）：从探针出发，继续训练骨干模型的上层与分类头"),
    "method.lora": (
        "low-rank updates (lora): the backbone's upper layers get small corrections; its own weights stay",
        "LoRA 低秩更新（lora）：只为骨干模型的上层学习小的修正，原有权重不动"),
    "method.bitfit": (
        "biases and norms (bitfit): of the backbone's upper layers only biases and normalisation learn",
        "偏置与归一化微调（bitfit）：骨干模型的上层只训练偏置与归一化参数"),
    "method.contrastive": (
        "pair tuning (contrastive): the backbone learns from pairs to put examples of one class together",
        "对比微调（contrastive）：用成对样本训练骨干模型，使同类样本的特征靠近"),
    "method.distil": (
        "distillation (distil): a smaller model learns to answer as a larger one does",
        "蒸馏（distil）：让较小的模型学着像较大的模型那样回答"),
    "method.scratch": (
        "from scratch (scratch): all weights learn from this data alone",
        "从零训练（scratch）：所有权重只从这份数据学习"),
    "chosen.depth": ("share of the layers tuned", "训练的层数占比"),
    "chosen.epochs": ("epochs", "训练轮数"),
    "chosen.best": ("best epoch", "最佳轮次"),
    "chosen.lr": ("learning rate", "学习率"),
    "chosen.stopped": ("stopped", "停止原因"),
    "value.done": ("at its end", "正常结束"),
    "value.early": ("early, as the held-out loss no longer fell", "预留损失不再下降，提前停止"),
    "value.budget": ("by the budget", "用完时间预算"),
    "value.diverged": ("as it ran away", "训练发散"),
    # what was tried
    "tried": ("What was tried", "尝试过的方法"),
    "tried.the": ("the {name}", "{name}"),
    "tried.kept": ("kept", "保留"),
    "tried.kept.surer": ("kept for its probabilities", "因概率更可靠而保留"),
    "tried.kept.asked": ("kept as asked for", "按要求保留"),
    "tried.not": ("not tried", "未尝试"),
    "tried.method": ("Method", "方法"),
    "tried.score": ("Score", "得分"),
    "tried.lead": ("Lead", "领先"),
    "tried.p": ("p", "p 值"),
    "tried.loss": ("Log loss", "对数损失"),
    "tried.cost": ("Cost", "耗时"),
    "tried.times": ("{times} times", "{times} 倍"),
    "tried.score.of": ("Score of {name}", "{name}的得分"),
    "tried.caption": (
        "The score is the mean of accuracy and macro-F1, in %, with its 95 % interval; the dashed line is at "
        "that of {first}. Leads are in points and are judged row by row: one can be sure although the "
        "intervals of the scores overlap. p is the chance of such a lead where there is none.",
        "得分为准确率与宏平均 F1 的均值（%），附 95% 置信区间；虚线为{first}的得分。领先以百分点计，逐行比较得出："
        "即使得分的区间重叠，领先也可能是确定的。p 值为并无优势时出现这种领先的概率。"),
    "tried.caption.loss": (
        "Log loss judges the probabilities: it is told as the difference to that of {first}, and lower is "
        "better. A method whose score is no lower may be kept for its probabilities, where this difference "
        "is beyond noise.",
        "对数损失衡量概率的好坏：表中为与{first}之差，越低越好。得分不低于{first}的方法，若这一差别超出误差，"
        "可因概率更可靠而保留。"),
    "tried.each": ("One by one", "逐个来看"),
    "tried.how": ("How they were compared", "如何比较"),
    # one candidate
    "trial.over": ("+{size} points over {first} ({low} to {high})", "比{first}高 {size} 个百分点（{low} 至 {high}）"),
    "trial.under": ("{size} points below {first} ({low} to {high})", "比{first}低 {size} 个百分点（{low} 至 {high}）"),
    "trial.even": ("level with {first} ({low} to {high} points)", "与{first}持平（{low} 至 {high} 个百分点）"),
    "trial.beyond": ("beyond noise ({p})", "超出误差（{p}）"),
    "trial.noise": ("not beyond noise ({p})", "未超出误差（{p}）"),
    "trial.noise.several": (
        "not beyond noise, as several were tried ({p})", "因同时比较了多个方法，未超出误差（{p}）"),
    "trial.noise.both": (
        "not beyond noise, as answers and probabilities were both judged ({p})",
        "因回答与概率都作了比较，未超出误差（{p}）"),
    "trial.surer": (
        "but its probabilities are better beyond noise (log loss {loss} lower, {p})",
        "但其概率更可靠且超出误差（对数损失低 {loss}，{p}）"),
    "trial.cost": ("{times} times the cost", "耗时为其 {times} 倍"),
    "trial.cost.even": ("about the same cost", "耗时相当"),
    "trial.first": (
        "the simplest: the others are compared with it", "最简单的方法，其他方法都与它比较"),
    "trial.not": ("could not be tried", "未能尝试"),
    "trial.sentence": ("{told}.", "{told}。"),
    # the decision
    "tried.decided.one": ("{name}: {told}: {first} is kept.", "{name}：{told}，因此保留{first}。"),
    "tried.decided.none": (
        "Kept: {first}. None of the {n:,} others leads beyond noise; closest: {name}, {told}.",
        "保留：{first}。其他 {n:,} 个方法都没有超出误差的领先；最接近的是{name}，{told}。"),
    "tried.decided.alone": (
        "Kept: {first}. Nothing else could be tried.", "保留：{first}。其他方法都未能尝试。"),
    "tried.decided.kept": ("Kept: {name}, {told}.", "保留：{name}，{told}。"),
    "tried.decided.asked": (
        "Kept, because it was asked for: {name}, {told}.", "按要求保留：{name}，{told}。"),
    "tried.decided.other": ("Kept: {name}.", "保留：{name}。"),
    "tried.leads": (
        "Of the {n:,} methods that lead beyond noise, it is the best.", "在 {n:,} 个领先超出误差的方法中，它最好。"),
    "tried.why.first": (
        "A costlier model is kept only where its lead is larger than chance explains. Otherwise the simplest "
        "is the better choice: it is quicker to make, and less can go wrong.",
        "只有领先超出偶然误差，才保留耗时更多的模型；否则最简单的更好：训练更快，也更不容易出错。"),
    "tried.why.lead": (
        "So large a lead is hardly chance: if nothing tried were better than {first}, a lead like this would "
        "still turn up at most one time in 20.",
        "这样的领先很难归于偶然：假如尝试过的方法都不比{first}好，出现这种领先的机会至多二十分之一。"),
    "tried.why.surer": (
        "Its answers are at least as good as those of {first} on these rows, and its probabilities are closer "
        "to the truth by more than chance explains.",
        "在这些数据上，它的回答不比{first}差，而它的概率更接近事实，差别超出偶然误差。"),
    "tried.why.asked": (
        "Left to choose, the simplest one would have been kept: no other leads by more than chance explains.",
        "若自动选择，则会保留最简单的方法：没有其他方法的领先超出偶然误差。"),
    "tried.why.mean": (
        "What ships is one network whose weights are the mean of those of {n:,} such trainings, each with other "
        "rows held out: together they have seen all rows.",
        "最终模型是一个网络，其权重是 {n:,} 次这样的训练所得权重的平均；每次训练预留不同的数据，合起来学过全部数据。"),
    # how it was compared
    "tried.rows": ("Compared on", "比较所用数据"),
    "tried.rows.value": (
        "{n:,} training row that was held out: no weights were learned from it."
        "|{n:,} training rows that were held out: no weights were learned from them.",
        "训练数据中预留的 {n:,} 行：参与比较的模型权重没有从中学习。"),
    "tried.rows.chosen": (
        "Settings may have been chosen with their help, such as a penalty or the best epoch of a training, which "
        "flatters a method a little.",
        "但某些设置可能参照它们选定，例如惩罚强度或训练的最佳轮次，这会使该方法的得分略微偏高。"),
    "tried.rows.apart": (
        "These are not the rows that the scores of this report were measured on.",
        "它们不是本报告得分所用的测量数据。"),
    "tried.budget": ("Time", "时间"),
    "tried.budget.of": ("{used} of {budget} used ({share})", "预算 {budget}，用了 {used}（{share}）"),
    "tried.budget.any": ("{used}; no limit was set", "{used}；未设预算"),
    # the course of a training
    "course": ("The course of the training|The course of each of the {n:,} trainings", "训练过程（{n:,} 个）"),
    "course.loss": ("held-out loss", "预留数据上的损失"),
    "course.score": ("held-out score", "预留数据上的得分"),
    "course.score.percent": ("held-out score, %", "预留数据上的得分（%）"),
    "course.epochs": ("epochs", "轮次"),
    "course.title": ("{name}: {what} by epoch", "{name}：{what}随训练轮次的变化"),
    "course.point": ("epoch {n:,}: {value}", "第 {n:,} 轮：{value}"),
    "course.best": (
        "The large dot is the best epoch, {best:,} of {n:,}: the lowest held-out loss.",
        "大圆点为最佳轮次（共 {n:,} 轮，第 {best:,} 轮），即预留数据上损失最低的一轮。"),
    "course.last": (
        "The large dot is the last epoch, which is used.", "大圆点为最后一轮，即采用的一轮。"),
    # what to do next
    "next.budget": ("Let more methods try to beat it: {option}", "让更多方法来挑战它：{option}"),
    "next.unjudged": (
        "With so few labelled rows no comparison can show that another method is better: more labels help most. "
        "{option} suits few labels, and is kept without being better beyond noise.",
        "已标注的数据太少，无法通过比较判断其他方法是否更好：多标注一些最有帮助。{option} 适合标注很少的情形，"
        "点名使用时不必领先超过噪声也会保留。"),
    "next.longer": (
        "A longer --budget may help: the time was too short for {n:,} of the trainings.",
        "更长的 --budget 可能有帮助：这次的时间对 {n:,} 个训练来说太短。"),
    "next.longer.half": (
        "A longer --budget may help: no time was left to learn from the {n:,} row as well that was held out "
        "to compare by."
        "|A longer --budget may help: no time was left to learn from the {n:,} rows as well that were held out "
        "to compare by.",
        "更长的 --budget 可能有帮助：这次没有时间再从比较时预留的 {n:,} 行中学习。"),
    # card and terminal
    "card.tried": (
        "Mean of accuracy and macro-F1 on {n:,} held-out training row, with 95 % intervals; p of a paired "
        "comparison row by row."
        "|Mean of accuracy and macro-F1 on {n:,} held-out training rows, with 95 % intervals; p of a paired "
        "comparison row by row.",
        "在预留的 {n:,} 行训练数据上准确率与宏平均 F1 的均值，附 95% 置信区间；p 值由逐行配对比较得出。"),
    "t.tried.lead": ("Lead (points)", "领先（百分点）"),
    "t.tried": (
        "tried on {n:,} held-out row (* kept)|tried on {n:,} held-out rows (* kept)",
        "在预留的 {n:,} 行上尝试（* 为保留的方法）"),
}
# fmt: on
