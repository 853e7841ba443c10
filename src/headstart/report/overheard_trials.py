"""Chinese for what is said of trainings and of methods that could not be tried."""

from __future__ import annotations

# as in `overheard`: a pattern matches a whole sentence or a part between semicolons
SENTENCES: tuple[tuple[str, str], ...] = (
    (r"Out of memory in epoch (\d+): batches pass in (\d+) pieces from here on\.",
     r"第 \1 轮内存不足，此后每批数据分 \2 份通过。"),
    (r"In epoch (\d+), at step (\d+), the loss or a gradient was not a finite number\.",
     r"第 \1 轮第 \2 步，损失或梯度不是有限的数。"),
    (r"In epoch (\d+), at step (\d+), the held-out loss rose from (\S+) to (\S+)\.",
     r"第 \1 轮第 \2 步，预留数据上的损失从 \3 升到 \4。"),
    (r"The training went back to the start of the epoch, with a tenth of the learning rate\.",
     r"训练已退回该轮开头，学习率降为十分之一。"),
    (r"The training was given up; the weights are those of the best epoch\.", r"训练已放弃，采用最佳轮次的权重。"),
    (r"The training was given up; the weights are as they were before\.", r"训练已放弃，权重保持原样。"),
    (r"Not even one epoch fits the time: it takes about (\S+) s, and (\S+) s are left\.",
     r"剩余时间不够训练一轮：一轮约需 \1 秒，只剩 \2 秒。"),
    (r"The weights stay as they were\.", r"权重保持原样。"),
    (r"The state of the training cannot be kept: (.+)\.", r"训练状态无法保存：\1。"),
    (r"The training goes on; if it is cut off, what it learned since the last state is lost\.",
     r"训练继续进行；若中断，自上次保存以来学到的内容将丢失。"),
    (r"([\d,]+) rows? (?:has|have) no other row of the same class: such a row is paired with itself "
     r"(?:in another augmented view|with words left out), which teaches little\.",
     r"\1 行所属的类别没有其他行：只能与自身的另一种变化配对，学到的不多。"),
    (r"A second labelled row of each class would help most\.", r"每个类别再标注一行最有帮助。"),
    (r"This module does not run with (\S+) here: (.+)", r"此模型在这台机器上不能用 \1 运行：\2"),
    (r"torch is not installed \((.+)\)", r"未安装 torch（\1）"),
    (r"torch is not installed: (.+)", r"未安装 torch：\1"),
    (r"not begun: (\d+) s to prepare and (\d+) s an epoch, with (\d+) s left",
     r"未开始：准备需 \1 秒，每轮需 \2 秒，只剩 \3 秒"),
    (r"not one epoch fits into the time left", r"剩余时间不够训练一轮"),
)  # fmt: skip
