"""The report's sentences: key -> (English, Chinese). "one|many" is chosen by the value `n`."""

from __future__ import annotations

from headstart.report.phrases_transfer import TRANSFER
from headstart.report.phrases_trials import TRIALS
from headstart.report.phrases_trust import TRUST

# fmt: off
PHRASES: dict[str, tuple[str, str]] = {
    # the page as a whole
    "lang": ("en", "zh-CN"),
    "report_on": ("Model report: {title}", "模型报告：{title}"),
    "overline": ("Headstart model report", "Headstart 模型报告"),
    "contents": ("Contents", "目录"),
    "sep": (", ", "、"),
    "colon": (": ", "："),
    "quote": ("“{text}”", "“{text}”"),
    "more": ("and {n:,} more", "另有 {n:,} 个"),
    "more_json": ("and {n:,} more, all listed in --json", "另有 {n:,} 个，--json 会全部列出"),
    "show_all": ("Show all {n:,}", "显示全部 {n:,} 个"),
    "show_rest": ("Show the other {n:,} classes", "显示其余 {n:,} 个类别"),
    "show_rows": ("The {n:,} row concerned|The {n:,} rows concerned", "涉及的 {n:,} 行"),
    "show_names": ("The name|The {n:,} names", "{n:,} 个名称"),
    "things.image": ("{n:,} picture|{n:,} pictures", "{n:,} 张图片"),
    "things.text": ("{n:,} text|{n:,} texts", "{n:,} 条文本"),
    "one.image": ("picture", "图片"),
    "one.text": ("text", "文本"),
    "many.image": ("pictures", "图片"),
    "many.text": ("texts", "文本"),
    "severity.info": ("Notes", "提示"),
    "severity.warning": ("Warnings", "警告"),
    "severity.error": ("Serious", "严重"),
    # 1: the verdict
    "verdict": (
        "Right on {correct:,} of {n:,} {split} {things}, that is {value} "
        "(between {low} and {high} with 95 % confidence).",
        "在 {n:,} {unit}{split}{things}中答对 {correct:,} {unit}，正确率 {value}（95% 置信区间 {low} 至 {high}）。"),
    "verdict.majority": (
        "Always guessing the largest class would get {value}.",
        "若总是猜最大的类别，正确率为 {value}。"),
    "verdict.beaten": (
        "It does not beat a simple rival: {name} scores {theirs} {metric}, this model {ours}.",
        "它没有胜过简单办法：{name}的{metric}为 {theirs}，本模型为 {ours}。"),
    "verdict.leak": (
        "Some of these rows were also learned from, so the score is too high.",
        "部分测试数据也出现在训练数据中，因此分数偏高。"),
    "split.test": ("test", "测试"),
    "split.held-out": ("held-out", "预留"),
    "split.val": ("validation", "验证"),
    "unit.image": ("", "张"),
    "unit.text": ("", "条"),
    "measured_on": ("{n:,} {split} {things}", "{n:,} {unit}{split}{things}"),
    "card.interval": ("{low} to {high}", "{low} 至 {high}"),
    "interval.title": (
        "{name}: {value}, 95 % interval {low} to {high}",
        "{name}：{value}，95% 置信区间 {low} 至 {high}"),
    "cards.caption": (
        "Bars show 95 % intervals (bootstrap), measured on {measured}. The tick marks what always "
        "guessing the largest class gets.",
        "横条为 95% 置信区间（自助法），在{measured}上测得。竖线为总是猜最大类别的得分。"),
    "metric.accuracy": ("Accuracy", "准确率"),
    "metric.balanced_accuracy": ("Balanced accuracy", "平衡准确率"),
    "metric.macro_f1": ("Macro-F1", "宏平均 F1"),
    "metric.log_loss": ("Log loss", "对数损失"),
    "about.accuracy": ("share of right answers", "答对的比例"),
    "about.balanced_accuracy": ("mean recall; every class counts the same", "各类召回率的平均，每类权重相同"),
    "about.macro_f1": ("mean F1; every class counts the same", "各类 F1 的平均，每类权重相同"),
    "about.log_loss": ("how good the probabilities are; lower is better", "衡量概率的好坏，越低越好"),
    # 2: what was given
    "data": ("What was given", "给了什么数据"),
    "data.source": ("Source", "来源"),
    "data.test_source": ("Test data", "测试数据"),
    "data.rows": ("Rows", "数据量"),
    "data.rows.value": (
        "{train} to learn from, {test} to measure on",
        "{train}用于学习，{test}用于测量"),
    "data.classes": ("Classes", "类别"),
    "data.classes.value": ("{n:,} class|{n:,} classes", "{n:,} 个类别"),
    "data.columns": ("Taken as", "列的用途"),
    "data.folder": (
        "each picture's folder is its label",
        "图片所在的文件夹名即为标签"),
    "role.input": ("{name} is the input", "输入列 {name}"),
    "role.target": ("{name} is the label", "标签列 {name}"),
    "role.split": ("{name} says train or test", "划分列 {name}"),
    "role.group": ("rows of one {name} stay together", "分组列 {name}（同组不拆开）"),
    "role.time": ("{name} is the time", "时间列 {name}"),
    "data.protocol": ("How divided", "如何划分"),
    "data.folds": ("{n}-fold cross-validation for all choices", "所有选择都用 {n} 折交叉验证"),
    "data.notes": ("Notes", "说明"),
    "data.counts": ("Rows in each class", "各类别的数量"),
    "data.counts.train": ("to learn from", "用于学习"),
    "data.counts.test": ("to measure on", "用于测量"),
    "data.largest": ("The {n} largest classes", "最大的 {n} 个类别"),
    "data.smallest": ("The {n} smallest classes", "最小的 {n} 个类别"),
    "protocol.held-out": (
        "{test:,} of {all:,} rows were held out, drawn within every class.",
        "从 {all:,} 行中按类别抽取 {test:,} 行留作测量，不参与学习。"),
    "protocol.test": (
        "The test data was given apart: {source}.",
        "测试数据由用户单独提供：{source}。"),
    "protocol.data": (
        "The data itself says which rows are for testing.",
        "数据本身已标明哪些行用于测试。"),
    # 3: skipped, findings
    "skipped": ("What was left out, what was noticed", "跳过的输入与发现的问题"),
    "skipped.none": ("Every input could be read.", "所有输入均可读取。"),
    "skipped.some": (
        "{n:,} input was left out. It is in none of the numbers below."
        "|{n:,} inputs were left out. They are in none of the numbers below.",
        "跳过了 {n:,} 个输入，它们不计入下面的任何数字。"),
    "skipped.other": ("other reasons", "其他原因"),
    "findings": ("Findings", "发现的问题"),
    "findings.none": ("Nothing else was noticed.", "没有发现其他问题。"),
    # 4: what was learned
    "learned": ("What was learned", "学到了什么"),
    "backbone": ("Backbone", "骨干模型"),
    "backbone.dim": ("{n:,} features", "{n:,} 维特征"),
    "licence": ("Licence", "许可证"),
    "licence.none": ("licence unknown", "许可证未知"),
    "licence.unknown": (
        "unknown: find out before you publish or sell", "未知：发布或商用前请先查明"),
    "why": ("Why this one", "选用原因"),
    "method": ("Method", "方法"),
    "method.probe": (
        "probe: a linear head (logistic regression) on the frozen backbone's features",
        "探针（probe）：在冻结骨干模型的特征上训练线性分类头（逻辑回归）"),
    "chosen": ("Chosen", "选定的设置"),
    "chosen.by": ("Chosen by", "选择依据"),
    "chosen.penalty": ("L2 penalty", "L2 惩罚"),
    "chosen.class_weight": ("class weights", "类别权重"),
    "chosen.folds": ("folds used", "所用折数"),
    "chosen.seed": ("seed", "随机种子"),
    "value.none": ("equal for every row", "每行相同"),
    "value.balanced": ("equal for every class", "每类相同"),
    "seconds": ("Time taken", "耗时"),
    "seconds.total": ("{total} in all", "共 {total}"),
    "stage.read": ("read the data", "读取数据"),
    "stage.backbone": ("get the backbone", "准备骨干模型"),
    "stage.features": ("compute features", "计算特征"),
    "stage.split": ("split, find duplicates", "划分与查重"),
    "stage.fit": ("fit", "训练"),
    "stage.doctor": ("check the data", "检查数据"),
    "stage.evaluate": ("evaluate", "评估"),
    "stage.repeats": ("other splits", "其他划分"),
    "stage.report": ("report", "生成报告"),
    "stage.save": ("save", "保存"),
    # 5: how good
    "good": ("How good, and how sure", "有多好，有多确定"),
    "compare": ("Beside simple rivals", "与简单办法比较"),
    "compare.caption": (
        "Dots are scores, lines their 95 % intervals, the band is this model's. All on the same {measured}.",
        "圆点为得分，横线为 95% 置信区间，色带为本模型的区间。均在同一批数据上测得：{measured}。"),
    "this_model": ("This model", "本模型"),
    "baseline.majority": ("Always the largest class", "总猜最大类别"),
    "baseline.knn": ("Nearest neighbours", "最近邻"),
    "baseline.tfidf": ("Word counts (TF-IDF)", "词频统计（TF-IDF）"),
    "baseline.not_run": ("not run", "未运行"),
    "per_class": ("Class by class", "各类别的表现"),
    "per_class.sorted": ("Worst F1 first.", "按 F1 从低到高排列。"),
    "per_class.worst": ("The {n} worst of {all:,} classes.", "{all:,} 个类别中最差的 {n} 个。"),
    "per_class.small": (
        "Scores in grey rest on fewer than 10 rows: read them as hints.",
        "灰色的分数来自不足 10 行数据，仅供参考。"),
    "label": ("Class", "类别"),
    "precision": ("Precision", "精确率"),
    "recall": ("Recall", "召回率"),
    "f1": ("F1", "F1"),
    "tested": ("Measured", "测量数"),
    "trained": ("Learned from", "学习数"),
    "confusion": ("What is taken for what", "混淆矩阵"),
    "confusion.caption": (
        "Rows are the truth, columns the answer; shades are shares of a row.",
        "行为真实类别，列为模型回答；颜色深浅表示占该行的比例。"),
    "confusion.truth": ("Truth", "真实"),
    "confusion.answer": ("Answer", "回答"),
    "confusion.all": ("All", "合计"),
    "pairs.caption": (
        "The pairs of classes that are confused most often.",
        "最常混淆的类别对。"),
    "pairs.none": ("No two classes were confused.", "没有类别被混淆。"),
    "pairs.count": ("Times", "次数"),
    "pairs.share": ("Of the class", "占该类比例"),
    "heat.caption": (
        "All {n:,} classes: rows are the truth, columns the answer, in label order. Errors are the "
        "marks off the diagonal.",
        "全部 {n:,} 个类别：行为真实类别，列为模型回答，按标签顺序排列。对角线以外即为错误。"),
    "heat.title": (
        "Map of right and wrong answers over {n:,} classes",
        "{n:,} 个类别的对错分布图"),
    "coverage": (
        "Prediction sets hold the truth {value} of the time (meant: {meant}), with {size} labels on average.",
        "预测集合包含正确答案的比例为 {value}（目标 {meant}），平均含 {size} 个标签。"),
    "temperature": (
        "Probabilities are calibrated: logits are divided by {value} (the temperature).",
        "概率已校准：logits 除以温度 {value}。"),
    "temperature.over": (
        "Without that they would be too confident.", "若不校准，概率会过于自信。"),
    "temperature.under": (
        "Without that they would be too timid.", "若不校准，概率会过于保守。"),
    "abstain": (
        "Answers with a probability below {value} are withheld.",
        "概率低于 {value} 的回答会被保留不答。"),
    # 6: mistakes
    "mistakes": ("The most confident mistakes", "最自信的错误"),
    "mistakes.intro": (
        "Look at these first: a sure mistake is often a wrong label.",
        "请先看这些：很自信的错误往往是标签标错了。"),
    "mistakes.none": ("There are none: every answer was right.", "没有：全部答对。"),
    "mistake.truth": ("labelled", "标签"),
    "mistake.answer": ("answered", "回答"),
    "mistake.alt": ("{name}: labelled {truth}, answered {label}", "{name}：标签为 {truth}，回答为 {label}"),
    "mistake.noimage": ("no preview", "无预览"),
    # 7: next
    "next": ("What to do next", "下一步做什么"),
    "next.leak": (
        "Some test rows were learned from, so the score is too high. Remove them from one side and fit again.",
        "部分测试数据参与了学习，分数偏高。请从其中一边移除后重新训练。"),
    "next.beaten": (
        "Before you rely on this model, try another --backbone or label more: {name} does at least as "
        "well ({theirs} against {ours} {metric}).",
        "依赖此模型之前，请用 --backbone 换一个骨干模型，或多标注一些数据：{name}的{metric}不低于本模型（{theirs} 对 {ours}）。"),
    "next.beaten.noise": (
        "{name} does at least as well ({theirs} against {ours} {metric}), which may be chance: measure on "
        "more rows, or try another --backbone, before you rely on this model.",
        "{name}的{metric}不低于本模型（{theirs} 对 {ours}），但可能只是偶然：依赖此模型之前，请用更多数据测量，或用 --backbone 换一个骨干模型。"),
    "next.tie": (
        "The lead over {name} is small enough to be noise ({ours} against {theirs} {metric}). "
        "More test rows would settle it.",
        "与{name}的差距很小，可能只是误差（{metric}：{ours} 对 {theirs}）。增加测试数据才能分出高下。"),
    "next.wide": (
        "Measure on more rows: with {n:,} the accuracy is only known within {width} points. "
        "About {rows:,} would narrow it to ±{goal} points.",
        "请用更多数据测量：只有 {n:,} 行时，准确率的不确定范围达 {width} 个百分点。约 {rows:,} 行可缩小到 ±{goal} 个百分点。"),
    "next.few": (
        "Label more of “{label}”: it has the worst F1 ({f1}) and only {n:,} example to learn from."
        "|Label more of “{label}”: it has the worst F1 ({f1}) and only {n:,} examples to learn from.",
        "请多标注“{label}”：它的 F1 最低（{f1}），且只有 {n:,} 个学习样本。"),
    "next.worst": (
        "Look at “{label}”: it has the worst F1 ({f1}) although {n:,} examples were learned from.",
        "请检查“{label}”：虽有 {n:,} 个学习样本，F1 仍最低（{f1}）。"),
    "next.unlearned": (
        "“{label}” is in the test rows but was never learned: add examples of it, or correct its spelling.",
        "“{label}”出现在测试数据中，但从未学习过：请添加样本，或检查标签的写法。"),
    "next.pair": (
        "“{a}” and “{b}” were mixed up {n:,} time. Check their labels, and whether people would tell them apart."
        "|“{a}” and “{b}” were mixed up {n:,} times. Check their labels, and whether people would tell them apart.",
        "“{a}”与“{b}”混淆了 {n:,} 次。请检查它们的标签，以及人能否区分两者。"),
    "next.imbalance": (
        "“{large}” has {times:.0f} times as many rows as “{small}”: judge by balanced accuracy or macro-F1, "
        "and collect more of the rare classes.",
        "“{large}”的数量是“{small}”的 {times:.0f} 倍：请以平衡准确率或宏平均 F1 为准，并多收集稀有类别。"),
    "next.skipped": (
        "Mend or remove the input that was left out ({reason})."
        "|Mend or remove the {n:,} inputs that were left out (most often: {reason}).",
        "请修复或移除被跳过的 {n:,} 个输入（主要原因：{reason}）。"),
    "next.conflict": (
        "Some rows have the same content but different labels: decide which is right (see the findings).",
        "有些数据内容相同而标签不同：请确定哪个正确（见“发现的问题”）。"),
    "next.coverage": (
        "The prediction sets hold the truth less often than meant ({value}, not {meant}): "
        "the new rows may differ from those learned from.",
        "预测集合包含正确答案的比例低于目标（{value}，目标 {meant}）：测试数据可能与学习数据不同。"),
    "next.sure": (
        "{n:,} mistake was made with more than {limit} confidence: see whether the label is wrong."
        "|{n:,} mistakes were made with more than {limit} confidence: see whether their labels are wrong.",
        "有 {n:,} 个错误的置信度超过 {limit}：请检查是否标签有误。"),
    "next.fine": (
        "Nothing stands out. Try the model on new inputs, and measure again when they are labelled.",
        "没有明显问题。请在新数据上试用，标注后再测一次。"),
    "next.commands": ("Use it", "使用"),
    "next.predict": ("Predict new inputs", "预测新输入"),
    "next.evaluate": ("Measure on labelled data", "在有标签的数据上测量"),
    "next.python": ("In Python", "在 Python 中"),
    # 8: provenance
    "provenance": ("Provenance", "来历"),
    "version": ("Made by", "生成工具"),
    "created": ("Made on", "生成时间"),
    "command": ("Command", "命令"),
    "sha256": ("Backbone SHA-256", "骨干模型 SHA-256"),
    "protocol": ("Measured on", "测量方式"),
    "seed": ("Seed", "随机种子"),
    "footer": (
        "This page is one file: it loads nothing and sends nothing.",
        "本页是单个文件：不加载任何外部内容，也不发送任何数据。"),
    # terminal and notebook
    "t.coverage": (
        "Prediction sets hold the truth {value} of the time, with {size} labels on average.",
        "预测集合包含正确答案的比例为 {value}，平均含 {size} 个标签。"),
    "comma": (", ", "，"),
    "t.rows": ("{n:,} row: {text}|{n:,} rows: {text}", "{n:,} 行：{text}"),
    "t.interval": ("95 % intervals", "95% 置信区间"),
    "t.baseline.majority": ("Largest class", "总猜最大类别"),
    "t.data": ("data", "数据"),
    "t.backbone": ("backbone", "骨干模型"),
    "t.measured": ("measured", "测量"),
    "t.next": ("next", "下一步"),
    "t.note": ("note", "说明"),
    "t.skipped": ("skipped", "跳过"),
    "t.from": ("{things} in {classes} from {source}", "{source}：{classes}的 {things}"),
    "t.split": (": {train:,} to learn from, {test:,} to measure on", "，其中 {train:,} 用于学习，{test:,} 用于测量"),
    "t.worst": ("worst classes (F1)", "最差的类别（F1）"),
    "n.input": ("Input", "输入"),
    "n.answer": ("Answer", "回答"),
    "n.probability": ("Probability", "概率"),
    "n.set": ("Set", "集合"),
    "n.withheld": ("withheld", "不回答"),
}
# fmt: on
PHRASES |= TRUST | TRIALS | TRANSFER
