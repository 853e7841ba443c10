"""The table of commands: name -> (where, one line of help). A command's file is imported when it is called."""

from __future__ import annotations

COMMANDS = {
    "fit": ("headstart.cli.fit:fit", "make a model from a folder or a table"),
    "predict": ("headstart.cli.predict:predict", "answer for new inputs"),
    "evaluate": ("headstart.cli.evaluate:evaluate", "measure a model on labelled data"),
    "doctor": (
        "headstart.cli.doctor:doctor",
        "what is wrong with the data, and a plan that mends it",
    ),
    "explain": ("headstart.cli.explain:explain", "say why the model answers what it does"),
    "report": ("headstart.cli.report:report", "the report of a model, as a web page"),
    "backbones": ("headstart.cli.backbones:backbones", "list the starters, or fetch them"),
    "cache": ("headstart.cli.cache:cache", "what is kept on this machine: show, trim, clear"),
}
