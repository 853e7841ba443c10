"""Every sentence that other rooms hand to the report has a Chinese form: real runs, no English left."""

import re

import numpy as np
import pytest

import headstart as hs
from headstart.data import doctor
from headstart.evaluation import copies, suspects
from headstart.types import Roles, Skipped, Table
from tests_support import paint

# what may stay in Latin letters on a Chinese page: names, units, commands, abbreviations
_ALLOWED = re.compile(
    r"Headstart|headstart|TF-IDF|F1|CC0-1\.0|tiny:\w+|L2|SHA-256|logits?|probe|ONNX|CSV|UTF-8|Macro|none|soft|balanced"
)


def english(html):
    """Runs of three English words in what a reader sees, marked ones (lang="en") aside."""
    seen = re.sub(r"(?s)<(style|script|code|pre)\b.*?</\1>", " ", html)
    seen = re.sub(r"<[^>]+>", " | ", seen)
    seen = _ALLOWED.sub(" | ", seen)
    return re.findall(r"[A-Za-z]{2,}(?:[ ,]+[A-Za-z]{2,}){2,}", seen)


@pytest.mark.parametrize("kind", ["pictures", "table", "imbalanced"])
def test_no_english_sentence_is_left_on_a_chinese_page(kind, photos, reviews, tmp_path):
    if kind == "pictures":
        (photos / "red" / "empty.png").write_bytes(b"")
        (photos / "red" / "copy.png").write_bytes((photos / "red" / "red00.png").read_bytes())
        (photos / "blue" / "copy.png").write_bytes((photos / "red" / "red01.png").read_bytes())
        model = hs.fit(photos, backbone="tiny:image")
    elif kind == "table":
        with reviews.open("a") as file:
            file.write("lonely\n,good\nvery " + "long " * 40 + ",good\n")
        model = hs.fit(reviews, backbone="tiny:text")
    else:
        rng = np.random.default_rng(0)
        for i in range(40):
            paint(tmp_path / "p" / "many" / f"{i}.png", (200, 40, 40), rng)
        for i in range(3):
            paint(tmp_path / "p" / "few" / f"{i}.png", (40, 40, 200), rng)
        model = hs.fit(tmp_path / "p", backbone="tiny:image")
    assert english(model.html("en"))  # the check can see English
    assert english(model.html("zh")) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "failing failed on this graph (device lost)",
        "openvino does not run this graph; onnxruntime does (no such operator)",
        "features in int8: 94 % of the ten nearest neighbours stay, mean cosine 0.9440, "
        "cross-validated accuracy 80.1 instead of 81.0 %.",
        "features in bfloat16: 99 % of the ten nearest neighbours stay, mean cosine 0.9998.",
        "Not all features could be kept (No space left on device: /x): the next run computes them again.",
        "make room on the disk, or move the cache: set HEADSTART_CACHE to another folder",
        "leave --precision out: float32 keeps what is lost here",
        "random weights, seed 3: nothing in it was pretrained",
        "learned from these rows alone: nothing in it was pretrained",
        "both learned from the same growing shares of the training rows and answered the same 1,300 rows; "
        "one draw of the shares, intervals over the held-out rows",
        "no comparison with learning from scratch: too few rows",
        "The index of the features kept in /x was damaged (file is not a database): 12 entries could be "
        "read, what is missing is computed again.",
    ],
)
def test_what_the_machinery_says_has_a_chinese_form(sentence):
    from headstart.report.overheard import chinese

    told = chinese(sentence)
    assert told != sentence
    assert re.search("[\u4e00-\u9fff]", told)
    assert "（交叉验证准确率  %" not in told


def test_a_fit_in_int8_is_told_in_chinese(photos):
    from headstart.features import precision
    from headstart.report.overheard import chinese

    found = precision.Comparison(0.9, 0.99, 0.8, 0.7, 0.01)
    assert chinese(f"features in int8: {found}.") == (
        "特征以 int8 精度计算：十个最近邻中 90 % 不变，平均余弦 0.9900（交叉验证准确率 70.0 %，float32 为 80.0 %）。"
    )


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("31 of 1,657 labels are probably wrong, e.g. a.jpg is 'glass' and looks like 'metal'.", ("1,657 个标签中有 31 个", "a.jpg 的标签是 'glass'", "像 'metal'")),
        ("2 of 90 labels are probably wrong, e.g. a is \"it's\" and looks like 'x'.", ("的标签是 \"it's\"", "像 'x'")),
        ("look at these rows and mend their labels: headstart doctor --fix plan.csv lists them", ("--fix plan.csv",)),
        ("4 pictures are unlike all others, e.g. a and b.jpg.", ("4 张图片", "例如 a and b.jpg。")),
        ("4 texts are unlike all others, e.g. mail.csv:8.", ("4 条文本", "mail.csv:8。")),
        ("look at them: do they belong here?", ("请检查",)),
        ("Neighbours and near duplicates were looked for among 100,000 rows, drawn evenly.", ("100,000 行",)),
        ("6 pictures are copies of each other but for small changes (3 groups), e.g. a.jpg and b.jpg.", ("6 张图片", "3 组", "a.jpg 与 b.jpg")),
        ("6 texts are copies of each other but for small changes (3 groups), e.g. m:2 and m:9.", ("6 条文本", "m:2 与 m:9")),
        ("nothing to do: near duplicates are kept on one side of the split", ("无需处理",)),
        ("2 texts are nearly the same but have different labels, e.g. m:2 is 'a', m:3 is 'b'.", ("2 条文本", "m:3 is 'b'")),
        ("5 of 90 test rows are nearly the same as some of the training rows.", ("90 行测试数据中有 5 行",)),
        ("remove their copies from the training rows: headstart doctor --fix plan.csv lists them", ("--fix plan.csv",)),
        ("Column 'kind' is the label under another name: it gives 100 % of the labels.", ("列 'kind'", "100%")),
        ("Column 'kind' alone gives 99.2 % of the labels of rows that were set aside.", ("列 'kind'", "99.2%")),
        ("never put it into the input; nothing to do otherwise, as it is not learned from", ("切勿",)),
        ("never put it into the input; if its rows belong together, keep them so: --group \"a b\"", ("--group \"a b\"",)),
        ("3 pictures are of one colour, e.g. a.jpg.", ("3 张图片", "a.jpg。")),
        ("3 pictures are far larger or smaller than the others, e.g. a.jpg with 9 x 12 pixels.", ("9 x 12",)),
        ("3 texts hold no letters, e.g. m:3.", ("3 条文本", "m:3。")),
        ("look at them: is it the right column? What says nothing is better removed", ("请检查",)),
        ("3 texts are far longer or shorter than the others (80 characters), e.g. m:3 with 9,000.", ("80 个字符", "m:3（9,000 个字符）")),
        ("the latest 20 of 100 rows held out, 2024-01-01 to 2024-02-01; learned from 2023-01-01 to 2023-12-31", ("100 行中最晚的 20 行", "2024-01-01 至 2024-02-01", "2023-01-01 至 2023-12-31")),
        ("3 later rows are learned from, as their 2 groups have earlier rows too", ("3 行", "2 个组")),
        ("learned from growing shares of the training rows, scored on held-out folds, 3 draws of each; the gain extrapolates error = a + b n^-c", ("3 次", "error = a + b n^-c")),
        ("no learning curve: fewer than 40 training rows", ("40 行",)),
        ("no learning curve: more than 50,000 training rows", ("50,000 行",)),
        ("unlike the training data", ("不像",)),
        ("copies of training rows were looked for among 20,000 of the 60,000: there may be more", ("60,000 行训练数据中的 20,000 行",)),
        ("1 of 90 labels is probably wrong, e.g. a.jpg is 'glass' and looks like 'metal'.", ("90 个标签中有 1 个",)),
        ("1 picture is unlike all others, e.g. a.jpg.", ("1 张图片", "a.jpg。")),
        ("1 text is unlike all others, e.g. m:3.", ("1 条文本", "m:3。")),
        ("2 texts are copies of each other but for small changes (1 group), e.g. m:2 and m:9.", ("2 条文本", "1 组")),
        ("2 pictures are copies of each other but for small changes (1 group), e.g. a.jpg and b.jpg.", ("2 张图片", "1 组")),
        ("1 of 90 test rows is nearly the same as some of the training rows.", ("90 行测试数据中有 1 行",)),
        ("1 of 1 test row is also among the training rows.", ("1 行测试数据中有 1 行",)),
        ("1 of 90 test rows is also among the training rows.", ("90 行测试数据中有 1 行",)),
        ("1 picture is of one colour, e.g. a.jpg.", ("1 张图片", "a.jpg。")),
        ("1 picture is far larger or smaller than the others, e.g. a.jpg with 9 x 12 pixels.", ("9 x 12",)),
        ("1 text holds no letters, e.g. m:3.", ("1 条文本", "m:3。")),
        ("1 text is far longer or shorter than the others (1 character), e.g. m:3 with 9,000.", ("1 个字符", "9,000 个字符")),
        ("1 of 90 rows repeats another row (1 group of equal rows).", ("90 行中有 1 行", "1 组")),
        ("1 class has a single row and cannot be measured: 'a'.", ("1 个类别", "'a'。")),
        ("1 class has fewer than 5 rows: 'a'.", ("1 个类别", "5 行")),
        ("1 of 90 inputs was left out while reading: empty file (1).", ("90 个输入时跳过了 1 个", "空文件 (1)")),
        ("1 animated picture: only its first frame is used", ("1 张动图",)),
        ("The training began anew: there is an earlier state of it, but it is damaged.", ("重新开始", "损坏")),
        ("It was moved to state-aside.", ("state-aside",)),
        ("+6.1 points (+3.2 to +9.0) beside starter:minilm on 1,000 training rows", ("1,000 行", "高 +6.1", "+3.2 至 +9.0")),
        ("1 text is longer than the backbone reads (128 tokens): its end is not seen", ("1 条文本", "128 个 token")),
    ],
)  # fmt: skip
def test_what_is_said_of_suspects_and_trust_has_a_chinese_form(sentence, parts):
    from headstart.report.overheard import chinese

    told = chinese(sentence)
    assert re.search("[\u4e00-\u9fff]", told)
    for part in parts:
        assert part in told
    assert english(told) == []


def _texts(inputs, targets, skipped=()):
    names = tuple(f"m:{i}" for i in range(len(inputs)))
    return Table(
        tuple(inputs), tuple(targets), names, "text", Roles("x", "y"), "m", skipped=skipped
    )


def _found(many):
    """Findings of all kinds that count rows, classes and groups: one of each, or several."""
    n = 3 if many else 1
    copies_of = [f"copy number {'abc'[i]}" for i in range(n)]
    inputs = [f"a plain text {'abcdefghij'[i // 10]} {'klmnopqrst'[i % 10]}" for i in range(60)]
    inputs += [text for text in copies_of for _ in range(2)] + ["123"] * n + ["word " * 900] * n
    targets = ["x", "y"] * (len(inputs) // 2) + ["x"] * (len(inputs) % 2)
    inputs += [f"lonely {label}" for label in "uvw"[:n]] + [
        f"rare {label} {i}" for label in "rst"[:n] for i in "ab"
    ]
    targets += [*"uvw"[:n], *(label for label in "rst"[:n] for _ in range(2))]
    left = tuple(Skipped(f"m:{900 + i}", "empty text") for i in range(n))
    table = _texts(inputs, targets, left)
    exact = doctor.duplicate_groups(table)
    yield from doctor.examine(table, exact)
    learned, measured = table.take(range(60)), table.take([*range(n), *range(60, 64)])
    yield from copies.across(learned, measured)
    near = np.arange(len(table))
    near[[i + 30 for i in range(n)]] = range(n)
    yield from copies.within(table, np.arange(len(table)), near)
    yield from suspects.examine(*_doubtful(n))


def _doubtful(n):
    """Two classes that lie apart, n labels of them wrong, and n rows far from both."""
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 2
    features = rng.normal(0, 0.05, (400, 8))
    features[np.arange(400), truth] += 1
    features[200 : 200 + n] = -10 * np.eye(8)[2 : 2 + n]
    codes = truth.copy()
    codes[:n] = 1 - codes[:n]
    table = _texts([f"text {i}" for i in range(400)], [f"c{code}" for code in codes])
    logits = np.where(np.eye(2)[truth] > 0, 4.0, -4.0)
    return table, features, codes, logits, ("c0", "c1"), np.arange(400) % 5


@pytest.mark.parametrize("many", [False, True])
def test_counts_of_one_and_of_many_read_well_in_both_languages(many):
    from headstart.report.overheard import chinese

    found = list(_found(many))
    assert {one.kind for one in found} >= {
        "duplicates", "single-rows", "small-classes", "skipped", "no-letters", "lengths", "leak",
        "near-duplicates", "wrong-labels", "far-out",
    }  # fmt: skip
    for finding in found:
        said = finding.message
        assert not re.search(r"\b1 (rows|texts|classes|groups|labels|characters)\b", said), said
        assert not re.search(r"\b1 (of [\d,]+ )?(test )?\w+ (are|have|were|repeat|hold)\b", said), (
            said
        )
        assert english(chinese(said)) == [], said
