"""The doctor's sentences: key -> (English, Chinese). "one|many" is chosen by the value `n`."""

from __future__ import annotations

# fmt: off
PHRASES: dict[str, tuple[str, str]] = {
    "head.image": ("{n:,} picture|{n:,} pictures", "{n:,} 张图片"),
    "head.text": ("{n:,} text|{n:,} texts", "{n:,} 条文本"),
    "head.classes": ("{n:,} class|{n:,} classes", "{n:,} 个类别"),
    "head.tested": ("{n:,} test row|{n:,} test rows", "{n:,} 行测试数据"),
    "head.backbone": ("{name}", "{name}"),
    "head.bytes": ("bytes and tables only", "仅检查字节与表格"),
    "head.seconds": ("{seconds:.1f} s", "{seconds:.1f} 秒"),
    "healthy": ("Nothing was found.", "没有发现问题。"),
    # findings: what stands behind the number of rows
    "kind.leak": (
        "row to learn from is also a test row|rows to learn from are also test rows",
        "行训练数据同时也是测试数据"),
    "kind.near-leak": (
        "row to learn from is nearly the same as a test row"
        "|rows to learn from are nearly the same as a test row",
        "行训练数据与测试数据几乎相同"),
    "kind.duplicates": (
        "row belongs to groups of equal rows|rows belong to groups of equal rows",
        "行内容与其他行完全相同"),
    "kind.near-duplicates": (
        "row is a copy but for small changes|rows are copies of each other but for small changes",
        "行与其他行几乎相同"),
    "kind.conflicting-labels": (
        "equal row has different labels|equal rows have different labels", "行内容相同而标签不同"),
    "kind.near-conflicts": (
        "nearly equal row has different labels|nearly equal rows have different labels",
        "行内容几乎相同而标签不同"),
    "kind.wrong-labels": (
        "label is probably wrong|labels are probably wrong", "个标签可能有误"),
    "kind.far-out": (
        "row is unlike all others|rows are unlike all others", "行与其他所有数据都不像"),
    "kind.blank.image": ("picture of one colour|pictures of one colour", "张纯色图片"),
    "kind.no-letters": ("text without letters|texts without letters", "条文本不含文字"),
    "kind.lengths": (
        "text far longer or shorter than the others|texts far longer or shorter than the others",
        "条文本过长或过短"),
    "kind.sizes": (
        "picture far larger or smaller than the others|pictures far larger or smaller than the others",
        "张图片的尺寸过大或过小"),
    "kind.skipped": ("input could not be read|inputs could not be read", "个输入无法读取"),
    "kind.single-rows": (
        "class with a single row, which cannot be measured"
        "|classes with a single row, which cannot be measured",
        "个类别只有一行数据，无法测量"),
    "kind.small-classes": (
        "row of classes with fewer than five|rows of classes with fewer than five",
        "行属于不足五行的类别"),
    "kind.truncated": (
        "text longer than the backbone reads|texts longer than the backbone reads",
        "条文本超过骨干模型的长度上限"),
    "kind.animated": (
        "animated picture: only the first frame counts|animated pictures: only the first frame counts",
        "张动图：只使用第一帧"),
    "sure": ("{text} (sure: {value})", "{text}（把握 {value}）"),
    "becomes": ("{name}: {label} → {other}", "{name}：{label} → {other}"),
    "copies": ("{name} = {other}", "{name} = {other}"),
    "more": ("and {n:,} more", "另有 {n:,} 个"),
    # what to do
    "plan": (
        "A plan for {n:,} row: {drop:,} to drop, {relabel:,} to relabel, {keep:,} to look at."
        "|A plan for {n:,} rows: {drop:,} to drop, {relabel:,} to relabel, {keep:,} to look at.",
        "可处理 {n:,} 行：建议删除 {drop:,} 行，改标签 {relabel:,} 行，查看 {keep:,} 行。"),
    "plan.write": ("write it, look at it, change it:", "写出方案，查看并修改："),
    "plan.look": (
        "look through the file in a spreadsheet; where you disagree, change the column action: "
        "keep, drop or relabel",
        "用电子表格查看该文件；若不同意，修改 action 列：keep（保留）、drop（删除）或 relabel（改标签）"),
    "plan.apply": ("then write a cleaned copy:", "然后写出清洗后的副本："),
    "plan.written": ("The plan is written: {path}", "方案已写入：{path}"),
    "untouched": ("The data itself is not changed.", "原始数据不会被改动。"),
    "applied": (
        "{rows:,} rows written to {path}: {dropped:,} left out, {relabelled:,} with another label.",
        "已将 {rows:,} 行写入 {path}：删除 {dropped:,} 行，改标签 {relabelled:,} 行。"),
}
