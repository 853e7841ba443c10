"""Chinese for the English sentences that other rooms put into their nouns; unknown ones stay as they are."""

from __future__ import annotations

import functools
import re

from headstart.report import overheard_trials, overheard_trust

# A pattern matches a whole sentence or a part between semicolons; \1 is its first group, and
# {\1} a list of reasons that are translated in turn.
_SENTENCES: tuple[tuple[str, str], ...] = (
    # how rows were divided
    (r"([\d,]+) of ([\d,]+) rows held out, drawn within every class \(seed (\d+)\)",
     r"从 \2 行中按类别抽取 \1 行留作测量（种子 \3）"),
    (r"([\d,]+) of ([\d,]+) rows held out, drawn within every class and groups kept together \(seed (\d+)\)",
     r"从 \2 行中按类别抽取 \1 行留作测量，同组不拆开（种子 \3）"),
    (r"all rows are for learning", r"所有数据都用于学习"),
    (r"the test set is given apart", r"测试数据单独提供"),
    (r"the split of the data: learned from its train rows, measured on its test rows",
     r"按数据自带的划分：在 train 上学习，在 test 上测量"),
    (r"the split of the data: learned from its train and val rows, measured on its test rows",
     r"按数据自带的划分：在 train 与 val 上学习，在 test 上测量"),
    (r"the split of the data: learned from its train rows, measured on its val rows",
     r"按数据自带的划分：在 train 上学习，在 val 上测量"),
    (r"the test data given: (.+)", r"用户提供的测试数据：\1"),
    (r"the data given: (.+), its test rows", r"用户提供的数据：\1（其中的 test 部分）"),
    (r"the data given: (.+)", r"用户提供的数据：\1"),
    (r"([\d,]+) rows belong to ([\d,]+) groups, which were kept together",
     r"\1 行属于 \2 个组，同组不拆开"),
    (r"([\d,]+) rows that the data marks as test are kept out", r"数据标为 test 的 \1 行未用于学习"),
    (r"([\d,]+) of ([\d,]+) classes have no row to measure on: (.+)",
     r"\2 个类别中有 \1 个没有可测量的数据：\3"),
    (r"([\d,]+) classes are in the test rows only: (.+)", r"有 \1 个类别只出现在测试数据中：\2"),
    (r"([\d,]+) test rows belong to groups that have training rows too",
     r"有 \1 行测试数据所属的组也有训练数据"),
    # what was taken for what
    (r"(\".+\") (?:is|are) not used", r"\1 未使用"),
    (r"([\d,]+) other columns are not used", r"其余 \1 列未使用"),
    (r"folder: the (\d+) folders directly below it are the classes", r"文件夹：其下的 \1 个文件夹即为类别"),
    (r"folder: the (\d+) folders below the train/val/test folders are the classes",
     r"文件夹：train/val/test 下的 \1 个文件夹即为类别"),
    (r"folders without a usable picture: (.+)", r"没有可用图片的文件夹：\1"),
    (r"labels that differ only in case or spaces are kept apart: (.+)",
     r"仅大小写或空格不同的标签视为不同类别：\1"),
    (r"([\d,]+) text\(s\) held NUL or broken characters, which were replaced",
     r"\1 条文本含有无效字符，已替换"),
    # findings and their fixes
    (r"([\d,]+) of ([\d,]+) rows? repeats? another row \(([\d,]+) groups? of equal rows\)\.?",
     r"\2 行中有 \1 行与其他行重复（共 \3 组）。"),
    (r"nothing to do: equal rows are kept on one side of the split",
     r"无需处理：相同的行总在划分的同一边"),
    (r"([\d,]+) rows have the same content but different labels, e\.g\. (.+?)\.?",
     r"\1 行内容相同而标签不同，例如 \2。"),
    (r"decide which label is right, and mend or remove the other rows",
     r"请确定哪个标签正确，并修正或移除其余的行"),
    (r"([\d,]+) class(?:es have| has) a single row and cannot be measured: (.+?)\.?",
     r"\1 个类别只有一行数据，无法测量：\2。"),
    (r"([\d,]+) class(?:es have| has) fewer than (\d+) rows: (.+?)\.?", r"\1 个类别不足 \2 行：\3。"),
    (r"add examples of these classes, or merge them with others", r"请为这些类别添加样本，或与其他类别合并"),
    (r"The classes are uneven: (.+) has ([\d,]+) rows, (.+) has ([\d,]+)\.?",
     r"类别不均衡：\1 有 \2 行，\3 只有 \4 行。"),
    (r"look at balanced accuracy rather than accuracy, and add rows of the rare classes",
     r"请看平衡准确率而非准确率，并为稀有类别添加数据"),
    (r"([\d,]+) of ([\d,]+) test rows? (?:are|is) also among the training rows\.?",
     r"\2 行测试数据中有 \1 行也在训练数据中。"),
    (r"remove them from the training or the test data", r"请从训练数据或测试数据中移除"),
    (r"mend these inputs or remove them", r"请修复或移除这些输入"),
    (r"([\d,]+) of ([\d,]+) inputs? (?:were|was) left out while reading: (.+?)\.?",
     r"读取 \2 个输入时跳过了 \1 个：{\3}。"),
    (r"There is only one class \((.+)\)\.?", r"只有一个类别（\1）。"),
    (r"add rows of at least one more class", r"请至少再添加一个类别的数据"),
    (r"([\d,]+) animated pictures?: only (?:their|its) first frame is used", r"\1 张动图：只使用第一帧"),
    (r"([\d,]+) texts? (?:are|is) longer than the backbone reads \(([\d,]+) tokens\): (?:their ends are|its end is) not seen",
     r"\1 条文本超过骨干模型的长度上限（\2 个 token）：末尾未被读取"),
    (r"put what matters first, or split the texts", r"请把重点放在前面，或拆分文本"),
    # engines, precision, the store
    (r"(\w+) failed on this graph \((.+)\)", r"推理引擎 \1 运行这个模型时出错（\2）"),
    (r"(\w+) computes something else on this graph than (\w+) does",
     r"推理引擎 \1 对这个模型的计算结果与 \2 不一致，未采用"),
    (r"(\w+) does not run this graph \((.+)\)", r"推理引擎 \1 不能运行这个模型（\2）"),
    (r"(\w+) does not run this graph; (\w+) does \((.+)\)", r"推理引擎 \1 不能运行这个模型，改用 \2（\3）"),
    (r"features in (\w+): (\d+) % of the ten nearest neighbours stay, mean cosine (\S+)\.",
     r"特征以 \1 精度计算：十个最近邻中 \2 % 不变，平均余弦 \3。"),
    (r"features in (\w+): (\d+) % of the ten nearest neighbours stay, mean cosine (\S+), "
     r"cross-validated accuracy (\S+) instead of (\S+) %\.",
     r"特征以 \1 精度计算：十个最近邻中 \2 % 不变，平均余弦 \3（交叉验证准确率 \4 %，float32 为 \5 %）。"),
    (r"leave --precision out: float32 keeps what is lost here",
     r"请去掉 --precision：float32 能保留这里损失的信息"),
    (r"Not all features could be kept \((.+)\): the next run computes them again\.",
     r"有些特征未能保存（\1）：下次运行会重新计算。"),
    (r"make room on the disk, or move the cache: set HEADSTART_CACHE to another folder",
     r"请腾出磁盘空间，或把 HEADSTART_CACHE 设为别的文件夹"),
    (r"Kept features cannot be read and are computed again \((.+)\)\.",
     r"已保存的特征无法读取，将重新计算（\1）。"),
    (r"The index of the features kept in (.+) was gone: they are computed again\.",
     r"\1 中特征的索引丢失，特征将重新计算。"),
    (r"The index of the features kept in (.+) was damaged \((.+)\): ([\d,]+) entries could be read, "
     r"what is missing is computed again\.",
     r"\1 中特征的索引已损坏（\2）：读出 \3 条，其余重新计算。"),
    # what a reader of the numbers must know
    (r"([\d,]+) rows? ha(?:ve|s) (?:labels|a label) that the model never saw(?: \((.+)\))?: left out of the scores",
     r"\1 行的标签是模型从未见过的（\2），未计入得分"),
    (r"only (\d+) rows? (?:were|was) measured: the intervals are rough",
     r"只测量了 \1 行：置信区间很粗略"),
    # baselines
    (r"always the most frequent class", r"总是回答最常见的类别"),
    (r"the nearest neighbour by cosine in the same features", r"同样特征下余弦相似度最近的一个样本"),
    (r"the (\d+) nearest neighbours by cosine in the same features",
     r"同样特征下余弦相似度最近的 \1 个样本投票"),
    (r"chosen by leave-one-out", r"以留一法选定"),
    (r"TF-IDF of words and pairs of words, linear support vector machine, no pretrained model",
     r"词与词对的 TF-IDF，线性支持向量机，不用预训练模型"),
    (r"TF-IDF of one to three characters, linear support vector machine, no pretrained model",
     r"一至三个字的 TF-IDF，线性支持向量机，不用预训练模型"),
    # learning from scratch, for comparison
    (r"random weights, seed (\d+): nothing in it was pretrained", r"随机权重（种子 \1）：其中没有任何预训练"),
    (r"learned from these rows alone: nothing in it was pretrained", r"只从这些数据中学习：其中没有任何预训练"),
    (r"both learned from the same growing shares of the training rows and answered the same ([\d,]+) rows",
     r"两者都从同样的、逐渐增多的训练数据中学习，并回答同样的 \1 行"),
    (r"one draw of the shares, intervals over the held-out rows",
     r"训练数据只抽取一次，置信区间只反映预留数据的随机性"),
    (r"no comparison with learning from scratch: too few rows", r"没有与从零学习的比较：数据太少"),
    (r"scikit-learn is not installed: (.+)", r"未安装 scikit-learn：\1"),
    (r"the training rows are all of one class", r"训练数据只有一个类别"),
    (r"the training texts hold no words", r"训练文本中没有词"),
    (r"accuracy of the model minus this: (\S+) points \((\S+) to (\S+), p ([=<] \S+)\), within noise",
     r"本模型准确率与之相差 \1 个百分点（\2 至 \3，p \4），在误差范围内"),
    (r"accuracy of the model minus this: (\S+) points \((\S+) to (\S+), p ([=<] \S+)\), beyond noise",
     r"本模型准确率与之相差 \1 个百分点（\2 至 \3，p \4），超出误差范围"),
    # choices
    (r"cross-validated log loss, (\d+) folds?, ([\d,]+) rows held out",
     r"交叉验证的对数损失（\1 折，共 \2 行）"),
    (r"the penalty was given", r"惩罚由用户指定"),
    (r"too few rows to hold any out: a strong default penalty", r"数据太少，无法留出：采用较强的默认惩罚"),
    (r"(soft|balanced) class weights: (\S+) points of the mean of accuracy and macro-F1",
     r"类别加权（\1）使准确率与宏平均 F1 的均值变化 \2 个百分点"),
    (r"weighting the classes gained nothing beyond noise", r"类别加权没有超出误差的收益"),
    (r"the starter for pictures", r"图片的默认骨干模型"),
    (r"the texts are English \((\S+) % of words are common English ones\), which starter:minilm reads fastest",
     r"文本为英文（\1% 的词是常见英文词），starter:minilm 处理最快"),
    (r"most texts are (\S+) \((\S+) % of letters\), which starter:e5 reads and starter:minilm does not",
     r"多数文本为 \1 文字（占字母的 \2%），starter:e5 支持而 starter:minilm 不支持"),
    (r"(\S+) % of the texts are (\S+) in part, which starter:e5 reads and starter:minilm does not",
     r"\1% 的文本含有 \2 文字，starter:e5 支持而 starter:minilm 不支持"),
    (r"(\S+) % of the letters are (\S+), which starter:e5 reads and starter:minilm does not",
     r"\1% 的字母为 \2 文字，starter:e5 支持而 starter:minilm 不支持"),
    (r"most texts look (\S+), which starter:e5 reads and starter:minilm does not",
     r"多数文本像是 \1，starter:e5 支持而 starter:minilm 不支持"),
    (r"(\S+) % of the texts do not look English, and starter:e5 reads about a hundred languages",
     r"\1% 的文本不像英文，而 starter:e5 支持约一百种语言"),
    (r"the texts hold too few common words to tell their language, and starter:e5 reads about a hundred languages",
     r"文本太短，无法判断语言，而 starter:e5 支持约一百种语言"),
    # why an input was left out
    (r"not in a class folder", r"不在类别文件夹中"),
    (r"not in the train, val or test folder", r"不在 train、val 或 test 文件夹中"),
    (r"empty file", r"空文件"),
    (r"empty text", r"空文本"),
    (r"no label", r"没有标签"),
    (r"row has ([\d,]+) fields?, the header has ([\d,]+)", r"该行有 \1 个字段，表头有 \2 个"),
    (r"a JSON (\w+), not an object", r"是 JSON \1，不是对象"),
    (r"no such file", r"文件不存在"),
    (r"no file name", r"没有文件名"),
    (r"no permission to read it", r"没有读取权限"),
    (r"a folder, not a file", r"是文件夹，不是文件"),
    (r"not a regular file", r"不是普通文件"),
    (r"larger than 1 GB", r"大于 1 GB"),
    (r"not a picture, or a damaged one", r"不是图片，或已损坏"),
    (r"the picture is cut off or damaged", r"图片不完整或已损坏"),
    (r"the picture is damaged", r"图片已损坏"),
    (r"not enough memory to decode it", r"内存不足，无法解码"),
    (r"far too many pixels", r"像素过多"),
    (r"(\d+) x (\d+) pixels, more than the limit of (\S+) million", r"\1 x \2 像素，超过 \3 百万的上限"),
    (r"(\d+) x (\d+) pixels", r"\1 x \2 像素"),
    (r"not a picture \(no file name ending\)", r"不是图片（无扩展名）"),
    (r"not a picture \(it is a text file\)", r"不是图片（是文本文件）"),
    (r"not a picture \(it is an HTML, XML or SVG page\)", r"不是图片（是 HTML、XML 或 SVG）"),
    (r"not a picture \(a Git LFS pointer: run git lfs pull\)", r"不是图片（是 Git LFS 指针，请运行 git lfs pull）"),
    (r"not a picture \((\.\w+)\)", r"不是图片（\1）"),
    (r"an HEIC picture, which is not supported: convert it to JPEG", r"不支持 HEIC 图片：请转为 JPEG"),
    (r"([\d,]+) characters, more than the limit of ([\d,]+)", r"\1 个字符，超过上限 \2"),
    (r"probability below (\S+)", r"概率低于 \1"),
)  # fmt: skip


@functools.cache
def _compiled() -> tuple[tuple[re.Pattern[str], str], ...]:
    """All sentences; only a page in Chinese needs them."""
    known = (*_SENTENCES, *overheard_trust.SENTENCES, *overheard_trials.SENTENCES)
    return tuple((re.compile(pattern, re.DOTALL), template) for pattern, template in known)


_COLUMNS = (
    (re.compile(r'^columns: (?=")'), "列："),
    (re.compile(r'" is the input'), '" 是输入'),
    (re.compile(r', (".*?") the target \(([\d,]+) class(?:es)?\)'), r"，\1 是标签（\2 类）"),
    (re.compile(r', (".*?") divides the rows'), r"，\1 划分数据"),
    (re.compile(r', rows of one (".*?") stay together'), r"，\1 相同的行不拆开"),
    (
        re.compile(r', (".*?") the time: the latest rows are measured'),
        r"，\1 是时间（测量最晚的数据）",
    ),
)
_MORE = re.compile(r" and ([\d,]+) more\b")
_REASON = re.compile(r"(.+) (\([\d,]+\))")


def chinese(sentence: str) -> str:
    """The sentence in Chinese where every part of it is known, else as it is."""
    whole = _translate(sentence)
    if whole is not None:
        return whole
    parts = [_translate(part) for part in sentence.split("; ")]
    return "；".join(part for part in parts if part) if all(parts) else sentence


def _translate(sentence: str) -> str | None:
    if sentence.startswith('columns: "') and "; " not in sentence:
        for part, template in _COLUMNS:
            sentence = part.sub(template, sentence)
        return sentence
    for pattern, template in _compiled():
        if found := pattern.fullmatch(sentence):
            text = found.expand(template)
            text = re.sub(
                r"\{(.*)\}", lambda listed: _reasons(listed.group(1)), text, flags=re.DOTALL
            )
            text = text.replace("（）", "")  # an optional group that was not there
            return _MORE.sub(r" 等（另有 \1 个）", text)
    return None


def _reasons(listed: str) -> str:
    """ "empty file (3); no such file (1)", each reason translated where it is known."""
    told = []
    for part in listed.split("; "):
        found = _REASON.fullmatch(part)
        told.append(f"{chinese(found[1])} {found[2]}" if found else part)
    return "；".join(told)
