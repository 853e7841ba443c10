"""Chinese for what is said of trainings and of methods that could not be tried."""

from __future__ import annotations

# as in `overheard`: a pattern matches a whole sentence or a part between semicolons
SENTENCES: tuple[tuple[str, str], ...] = (
    (r"Epoch (\d+), step (\d+): out of memory; batches pass in (\d+) pieces from here on\.",
     r"第 \1 轮第 \2 步：内存不足，此后每批数据分 \3 份通过。"),
    (r"Epoch (\d+), step (\d+): the loss or a gradient was not finite", r"第 \1 轮第 \2 步：损失或梯度不是有限的数"),
    (r"Epoch (\d+), step (\d+): the held-out loss rose from (\S+) to (\S+)",
     r"第 \1 轮第 \2 步：预留数据上的损失从 \3 升到 \4"),
    (r"it went back to the start of the epoch, with a tenth of the learning rate\.",
     r"已退回该轮开头，并把学习率降为十分之一。"),
    (r"the training was given up\.", r"训练已放弃。"),
    (r"The state of the training cannot be kept \((.+)\): cut off, it cannot be resumed\.",
     r"训练状态无法保存（\1）：若中断则不能继续。"),
    (r"This module does not run with (\S+) here: (.+)", r"此模型在这台机器上不能用 \1 运行：\2"),
    (r"torch is not installed \((.+)\)", r"未安装 torch（\1）"),
    (r"torch is not installed: (.+)", r"未安装 torch：\1"),
    (r"not begun: (\d+) s to prepare and (\d+) s an epoch, with (\d+) s left",
     r"未开始：准备需 \1 秒，每轮需 \2 秒，只剩 \3 秒"),
    (r"not one epoch fits into the time left", r"剩余时间不够训练一轮"),
)  # fmt: skip
