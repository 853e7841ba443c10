"""Reading tables: formats, encodings, broken rows, labels, and errors that say what to do."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.table import read
from headstart.errors import DataError, MissingExtra

CSV = "text,label\ngood stuff,pos\nbad stuff,neg\nmore good,pos\nmore bad,neg\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def reasons(table) -> dict[str, str]:
    return {skipped.input: skipped.reason for skipped in table.skipped}


# --- CSV: encodings -------------------------------------------------------------------------------


def test_csv_plain(tmp_path):
    table = read(write(tmp_path / "r.csv", CSV))
    assert table.inputs == ("good stuff", "bad stuff", "more good", "more bad")
    assert table.targets == ("pos", "neg", "pos", "neg")
    assert table.names == ("r.csv:2", "r.csv:3", "r.csv:4", "r.csv:5")
    assert (table.modality, table.roles.input, table.roles.target) == ("text", "text", "label")
    assert table.skipped == ()
    assert table.split is None
    assert table.groups is None
    assert table.notes == ('columns: "text" is the input, "label" the target (2 classes)',)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_csv_unicode_encodings(tmp_path, encoding):
    text = "text,label\nschön süß 好,a\nnaïve,b\nplain words,a\nother words,b\n"
    table = read(write(tmp_path / "r.csv", text.encode(encoding)))
    assert table.inputs[:2] == ("schön süß 好", "naïve")
    assert list(table.targets) == ["a", "b", "a", "b"]


def test_csv_latin_1(tmp_path):
    text = "text,label\nça va déjà très bien,fr\nÄrger über Öl,de\nune fête,fr\nMünchen,de\n"
    table = read(write(tmp_path / "r.csv", text.encode("latin-1")))
    assert table.inputs[:2] == ("ça va déjà très bien", "Ärger über Öl")
    assert any("Windows-1252" in note for note in table.notes)


def test_csv_windows_1252_quotes_and_bytes_that_fit_nothing(tmp_path):
    data = b"text,label\n\x93quoted\x94 it\x92s,a\nodd \x81 byte,b\nplain one,a\nplain two,b\n"
    table = read(write(tmp_path / "r.csv", data))
    assert table.inputs[:2] == ("“quoted” it’s", "odd \x81 byte")


def test_csv_gb18030(tmp_path):
    text = "文本,标签\n这个酒店的服务非常好，下次还来,好评\n房间太脏了，不推荐,差评\n很满意,好评\n不好,差评\n"
    table = read(write(tmp_path / "r.csv", text.encode("gb18030")))
    assert table.inputs[0] == "这个酒店的服务非常好，下次还来"
    assert table.targets == ("好评", "差评", "好评", "差评")
    assert (table.roles.input, table.roles.target) == ("文本", "标签")
    assert any("GB18030" in note for note in table.notes)


def test_csv_mostly_utf_8_keeps_its_utf_8(tmp_path):
    text = "text,label\n" + "schöne Grüße über Äpfel,a\nanderes Übel,b\n" * 5
    data = text.encode() + b"caf\xe9 noir,a\n"
    table = read(write(tmp_path / "r.csv", data))
    assert table.inputs[0] == "schöne Grüße über Äpfel"
    assert table.inputs[-1] == "café noir"
    assert any("1 byte(s)" in note for note in table.notes)


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_reader(data):
    from headstart.data.delimited import decode

    text, _ = decode(data, "x.csv")
    text.encode()  # no lone surrogates are left over
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.csv", CSV.encode() + data)
        try:
            table = read(path, input="text", target="label")
        except DataError:
            return
        assert len(table) + len(table.skipped) >= 1


# --- CSV: structure -------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_delimiters(tmp_path, delimiter):
    rows = [["text", "label"], ["one, two", "a"], ["three; four", "b"], ["x | y", "a"], ["z", "b"]]
    with (tmp_path / "r.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    table = read(tmp_path / "r.csv")
    assert [list(row) for row in zip(table.inputs, table.targets)] == rows[1:]


def test_csv_semicolons_with_commas_in_the_text(tmp_path):
    table = read(write(tmp_path / "r.csv", "text;label\na, b, c;x\nd, e;y\nf;x\ng, h;y\n"))
    assert table.inputs == ("a, b, c", "d, e", "f", "g, h")


def test_tsv_and_excel_first_line(tmp_path):
    tsv = read(write(tmp_path / "r.tsv", CSV.replace(",", "\t")))
    assert tsv.targets == ("pos", "neg", "pos", "neg")
    txt = read(write(tmp_path / "r.txt", CSV.replace(",", "\t")))
    assert txt.inputs == tsv.inputs
    excel = read(write(tmp_path / "e.csv", "sep=;\r\n" + CSV.replace(",", ";")))
    assert excel.inputs == tsv.inputs
    assert excel.names[0] == "e.csv:3"


def test_ragged_rows_are_skipped_by_line(tmp_path):
    text = "text,label,n\ngood,a,1\nbad\nwell,then,b,1,2\nfine,b,3,,\nlast,a,4\n"
    table = read(write(tmp_path / "r.csv", text), target="label", input="text")
    assert table.inputs == ("good", "fine", "last")
    assert reasons(table) == {
        "r.csv:3": "row has 1 field, the header has 3",
        "r.csv:4": "row has 5 fields, the header has 3",
    }


def test_quoted_newlines_keep_line_numbers_right(tmp_path):
    text = 'text,label\r\n"one\r\ntwo\r\nthree",a\r\n\r\nplain,b\r\n"say ""hi"", ok",a\r\nend\r\nlast,b\r\n'
    table = read(write(tmp_path / "r.csv", text))
    assert table.inputs == ("one\r\ntwo\r\nthree", "plain", 'say "hi", ok', "last")
    assert table.names == ("r.csv:2", "r.csv:6", "r.csv:7", "r.csv:9")
    assert reasons(table) == {"r.csv:8": "row has 1 field, the header has 2"}


def test_stray_quotation_mark_costs_one_row(tmp_path):
    rows = [f"row number {i},{'ab'[i % 2]}" for i in range(40)]
    rows[5] = '"never closed,a'
    rows[30] = '"also never closed,b'
    table = read(write(tmp_path / "r.csv", "text,label\n" + "\n".join(rows)))
    assert len(table) == 38
    assert set(reasons(table)) == {"r.csv:7", "r.csv:32"}
    assert all("never closed" in reason for reason in reasons(table).values())


def test_quotes_as_letters_on_one_line(tmp_path):
    text = 'text\tlabel\n"Hello" he said\ta\n5" pipe\tb\nplain\ta\nother\tb\n'
    assert read(write(tmp_path / "r.tsv", text)).inputs[:2] == ('"Hello" he said', '5" pipe')


def test_duplicate_header_names(tmp_path):
    with pytest.raises(DataError, match="more than one column called 'text'"):
        read(write(tmp_path / "r.csv", "text,label,text\na,b,c\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is empty"), ("\n \n", "is empty"), ("text,label\n", "header but no rows")],
)
def test_csv_without_rows(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path / "r.csv", content))
    assert caught.value.fix


def test_csv_without_header_is_refused(tmp_path):
    with pytest.raises(DataError, match="looks like data") as caught:
        read(
            write(
                tmp_path / "r.csv", "fine words here,pos\nbad words,neg\nok words,pos\nno no,neg\n"
            )
        )
    assert "column names" in caught.value.fix


def test_repeated_header_is_skipped(tmp_path):
    table = read(write(tmp_path / "r.csv", CSV + CSV))
    assert len(table) == 8
    assert reasons(table) == {"r.csv:6": "the header once more"}


def test_nul_bytes(tmp_path):
    table = read(write(tmp_path / "r.csv", CSV.replace("good stuff,pos", "go\0od,pos\0\0")))
    assert table.inputs[0] == "go od"
    assert table.targets[0] == "pos"
    assert any("3 NUL" in note for note in table.notes)


def test_very_large_cell(tmp_path):
    before = csv.field_size_limit()
    table = read(write(tmp_path / "r.csv", CSV + f'"{"x" * 500_000}",pos\n'))
    assert len(table.inputs[-1]) == 500_000
    assert csv.field_size_limit() == before


def test_empty_texts_and_missing_labels(tmp_path):
    table = read(write(tmp_path / "r.csv", CSV + " ,pos\nno label here,\n,\n"))
    assert len(table) == 4
    assert reasons(table) == {
        "r.csv:6": "empty text",
        "r.csv:7": "no label",
        "r.csv:8": "empty text",
    }


def test_missing_column_lists_the_columns(tmp_path):
    path = write(tmp_path / "r.csv", CSV)
    with pytest.raises(DataError, match="no column 'txt'; the columns are: text, label") as caught:
        read(path, input="txt")
    assert "'text'" in caught.value.fix
    with pytest.raises(DataError, match="no column 'nothing'"):
        read(path, split="nothing")


def test_no_usable_row(tmp_path):
    with pytest.raises(DataError, match=r"No row .* no label \(2 rows\)"):
        read(write(tmp_path / "r.csv", "text,label\na b,\nc d,\n"), target="label")


def test_labels_that_differ_in_case_or_space_are_noted(tmp_path):
    text = "text,label\none two,Dog\nthree four,dog \nfive six, cat\nseven eight,cat\n"
    table = read(write(tmp_path / "r.csv", text))
    assert set(table.targets) == {"Dog", "dog", "cat"}
    assert any("'Dog', 'dog'" in note for note in table.notes)


def test_split_and_group_columns(tmp_path):
    text = "text,label,split,who\na b,x,Train,1\nc d,y,dev,1\ne f,x,TEST,\ng h,y,oops,2\n"
    table = read(write(tmp_path / "r.csv", text), split="split", group="who")
    assert table.split == ("train", "val", "test")
    assert table.groups[:2] == ("1", "1")
    assert table.groups[2] not in ("", "1", "2")
    assert reasons(table) == {"r.csv:5": "split is 'oops', not train, val or test"}
    with pytest.raises(DataError, match="does not divide"):
        read(tmp_path / "r.csv", split="label", target="who")


def test_unlabelled_csv(tmp_path):
    table = read(write(tmp_path / "r.csv", "id,text\n1,hello there\n2,good bye\n"), labelled=False)
    assert table.targets is None
    assert table.inputs == ("hello there", "good bye")
    lines = read(write(tmp_path / "l.txt", "first line\nsecond line\n"), labelled=False)
    assert lines.inputs == ("first line", "second line")
    assert lines.names[1] == "l.txt:2"


@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1
            ).filter(lambda text: text.strip()),
            st.sampled_from(["a", "b"]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_csv_gives_back_what_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerows([("text", "label"), *rows])
        table = read(path, input="text", target="label")
    assert list(zip(table.inputs, table.targets)) == rows
    assert table.skipped == ()


# --- JSON -----------------------------------------------------------------------------------------


def test_jsonl_with_a_broken_line(tmp_path):
    lines = ['{"text": "one two", "label": "a"}', '{"text": "cut', "", "[1, 2]",
             '{"text": "three four", "label": "b"}', '{"text": "five", "label": "a"}',
             '{"label": "b"}', '{"text": "six"}']  # fmt: skip
    table = read(write(tmp_path / "r.jsonl", "\n".join(lines)), input="text", target="label")
    assert table.inputs == ("one two", "three four", "five")
    assert table.names == ("r.jsonl:1", "r.jsonl:5", "r.jsonl:6")
    why = reasons(table)
    assert list(why) == ["r.jsonl:2", "r.jsonl:4", "r.jsonl:7", "r.jsonl:8"]
    assert why["r.jsonl:2"].startswith("not valid JSON")
    assert why["r.jsonl:4"] == "a JSON list, not an object"
    assert (why["r.jsonl:7"], why["r.jsonl:8"]) == ("empty text", "no label")


def test_jsonl_hostile_lines(tmp_path):
    lines = ["[" * 100_000, '{"text": ' + "9" * 10_000 + "}", '{"text": "\\ud83d lone", "label": "a"}',
             '{"text": "\\ud83d\\ude00 pair", "label": "b"}', '{"text": "nul \\u0000", "label": "a"}']  # fmt: skip
    table = read(write(tmp_path / "r.jsonl", "\n".join(lines)), input="text", target="label")
    assert table.inputs == ("\ufffd lone", "😀 pair", "nul  ")
    assert len(table.skipped) == 2
    assert any("replaced" in note for note in table.notes)


def test_jsonl_without_any_row(tmp_path):
    with pytest.raises(DataError, match=r"no rows; line 1: not valid JSON"):
        read(write(tmp_path / "r.jsonl", "hello\n"))


@pytest.mark.parametrize("shape", ["records", "columns", "pairs", "lines", "pandas"])
def test_json_shapes(tmp_path, shape):
    rows = [{"text": f"words {i}", "label": "ab"[i % 2]} for i in range(6)]
    content = {
        "records": json.dumps(rows),
        "columns": json.dumps({key: [row[key] for row in rows] for key in ("text", "label")}),
        "pairs": json.dumps([[row["text"], row["label"]] for row in rows]),
        "lines": "\n".join(map(json.dumps, rows)),
        "pandas": json.dumps({k: {str(i): r[k] for i, r in enumerate(rows)} for k in rows[0]}),
    }[shape]
    table = read(write(tmp_path / "r.json", content))
    assert table.inputs == tuple(f"words {i}" for i in range(6))
    assert table.targets == ("a", "b") * 3
    assert table.names[2] == "r.json:3"


@pytest.mark.parametrize("content", ["", "3", "[]", "[1, 2]", '{"a": 1}', "{broken"])
def test_json_that_is_no_table(tmp_path, content):
    with pytest.raises(DataError):
        read(write(tmp_path / "r.json", content))


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([1, 2, 1, 2], ("1", "2", "1", "2")),
        ([1.0, 2.0, 1.0, 2.0], ("1", "2", "1", "2")),
        ([1.5, 2.0, 1.5, 2.0], ("1.5", "2.0", "1.5", "2.0")),
        ([True, False, True, False], ("True", "False", "True", "False")),
        (list(np.array([3, 4, 3, 4])), ("3", "4", "3", "4")),
        ([" a", "b ", "a", "b"], ("a", "b", "a", "b")),
        (["e\u0301", "b", "\u00e9", "b"], ("é", "b", "é", "b")),
    ],
)
def test_labels_become_strings(labels, wanted):
    table = read({"text": [f"words {i}" for i in range(4)], "label": labels})
    assert table.targets == wanted


def test_missing_labels_in_memory():
    labels = [1.0, None, float("nan"), 2.0, 1.0, [1, 2]]
    table = read({"text": [f"words {i}" for i in range(6)], "label": labels}, target="label")
    assert table.targets == ("1", "2", "1")
    assert reasons(table) == {"row 1": "no label", "row 2": "no label",
                              "row 5": "the label is a list, not one value"}  # fmt: skip


# --- objects --------------------------------------------------------------------------------------

ROWS = [("good stuff", "pos"), ("bad stuff", "neg"), ("more good", "pos"), ("more bad", "neg")]
COLUMNS = {"text": [t for t, _ in ROWS], "label": [label for _, label in ROWS]}


def check(table) -> None:
    assert list(zip(table.inputs, table.targets)) == ROWS
    assert table.names == ("row 0", "row 1", "row 2", "row 3")


def test_dict_and_lists():
    check(read(COLUMNS))
    check(read([{"text": t, "label": label} for t, label in ROWS]))
    check(read(ROWS))
    assert read([t for t, _ in ROWS], labelled=False).inputs == tuple(COLUMNS["text"])


@pytest.mark.parametrize(
    "value",
    [[], {}, [("a", "b", "c")], [("a", "b"), "c"], {"text": ["a"], "label": ["b", "c"]}, 3,
     {"text": "abc", "label": ["a"]}, {"text": [], "label": []}, object()],
)  # fmt: skip
def test_objects_that_are_no_table(value):
    with pytest.raises(DataError) as caught:
        read(value)
    assert caught.value.fix


def test_pandas():
    pandas = pytest.importorskip("pandas")
    check(read(pandas.DataFrame(COLUMNS)))
    frame = pandas.DataFrame({"text": ["a b", "c d", None, "e f"], "label": [1, 2, 1, None]})
    table = read(frame, target="label")
    assert table.targets == ("1", "2")  # floats, because one is missing
    assert reasons(table) == {"row 2": "empty text", "row 3": "no label"}
    frame = pandas.DataFrame(COLUMNS, index=[7, 7, 8, 9]).astype({"label": "category"})
    check(read(frame))
    with pytest.raises(DataError, match="more than one column"):
        read(pandas.DataFrame([["a", "b"]], columns=["text", "text"]))


def test_polars():
    polars = pytest.importorskip("polars")
    check(read(polars.DataFrame(COLUMNS)))
    check(read(polars.DataFrame(COLUMNS, schema_overrides={"label": polars.Categorical})))
    check(read(polars.LazyFrame(COLUMNS)))


class Stream:
    """Something with an Arrow stream and nothing else."""

    def __init__(self, table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_arrow_stream():
    pa = pytest.importorskip("pyarrow")
    check(read(Stream(pa.table(COLUMNS))))
    check(read(pa.table(COLUMNS)))
    chunks = pa.concat_tables([pa.table(COLUMNS).slice(0, 1), pa.table(COLUMNS).slice(1)])
    check(read(Stream(chunks)))
    encoded = pa.table(
        {"text": COLUMNS["text"], "label": pa.array(COLUMNS["label"]).dictionary_encode()}
    )
    check(read(Stream(encoded)))
    with pytest.raises(DataError, match="more than one column"):
        read(Stream(pa.table({"a": [1], "b": [2]}).rename_columns(["a", "a"])))


def test_arrow_views_of_strings_and_times():
    pa = pytest.importorskip("pyarrow")
    views = pa.table({name: pa.array(values, pa.string_view()) for name, values in COLUMNS.items()})
    check(read(Stream(views)))
    times = pa.table({**COLUMNS, "when": pa.array([1, 2, 3, 4], pa.timestamp("ns"))})
    check(read(Stream(times)))


def test_arrow_views_without_pyarrow(monkeypatch):
    pa = pytest.importorskip("pyarrow")
    views = pa.table({name: pa.array(values, pa.string_view()) for name, values in COLUMNS.items()})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        read(Stream(views))
    assert "headstart[parquet]" in caught.value.fix


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(COLUMNS), tmp_path / "r.parquet")
    table = read(tmp_path / "r.parquet")
    assert list(zip(table.inputs, table.targets)) == ROWS
    assert table.names[0] == "r.parquet:1"
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(write(tmp_path / "broken.parquet", b"PAR1 nonsense PAR1"))


def test_parquet_with_class_names_of_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    data = datasets.Dataset.from_dict({**COLUMNS, "label": [1, 0, 1, 0]}, features=features)
    data.to_parquet(str(tmp_path / "r.parquet"))
    assert read(tmp_path / "r.parquet").targets == ("pos", "neg", "pos", "neg")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        read(write(tmp_path / "r.parquet", b"PAR1"))
    assert "headstart[parquet]" in caught.value.fix


def test_hugging_face_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4), "red").save(path)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    data = datasets.Dataset.from_dict(
        {"image": [str(path), {"bytes": path.read_bytes(), "path": None}, str(path), str(path)],
         "label": [0, 1, 0, -1]},
        features=features,
    )  # fmt: skip
    table = read(data.select([1, 0, 2, 3]))
    assert table.modality == "image"
    assert table.targets == ("dog", "cat", "cat")
    assert table.inputs == (path.read_bytes(), path, path)  # nothing decoded
    assert reasons(table) == {"row 3": "no label"}


def test_hugging_face_dataset_dict():
    datasets = pytest.importorskip("datasets")
    part = datasets.Dataset.from_dict(COLUMNS)
    both = datasets.DatasetDict({"train": part, "validation": part, "test": part, "extra": part})
    table = read(both)
    assert table.split == ("train",) * 4 + ("val",) * 4 + ("test",) * 4
    assert table.names[4] == "validation row 0"
    assert any("'extra'" in note for note in table.notes)
    with pytest.raises(DataError, match="streamed"):
        read(part.to_iterable_dataset())


# --- paths ----------------------------------------------------------------------------------------


def test_no_such_path(tmp_path):
    write(tmp_path / "reviews.csv", CSV)
    with pytest.raises(DataError, match="no file or folder") as caught:
        read(tmp_path / "review.csv")
    assert "reviews.csv" in caught.value.fix
    for bad in (
        "a\0b.csv",
        "x" * 5000,
        "https://example.org/a.csv",
        str(tmp_path / "no" / "where"),
    ):
        with pytest.raises(DataError):
            read(bad)


@pytest.mark.parametrize(
    "name", ["a.xlsx", "a.zip", "a.pkl", "a.docx", "noending", "a.txt", "a.jpg"]
)
def test_unknown_file_types(tmp_path, name):
    with pytest.raises(DataError) as caught:
        read(write(tmp_path / name, "something"))
    assert caught.value.fix


def test_unknown_modality(tmp_path):
    with pytest.raises(DataError, match="no modality called 'sound'"):
        read(COLUMNS, modality="sound")


def test_reading_changes_nothing():
    columns = {key: list(values) for key, values in COLUMNS.items()}
    read(columns)
    assert columns == COLUMNS
