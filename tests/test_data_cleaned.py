"""Cleaned copies: dropped and relabelled rows, everything else as it was, the data untouched."""

from __future__ import annotations

import json

import pytest

from headstart.data import cleaned
from headstart.data import table as tables
from headstart.data.sources import columns_of
from headstart.errors import DataError

CSV = (
    'text,label,more\r\n"one, ""quoted""\r\nline",a,  x \r\ntwo,b,=1+1\r\n\r\nragged\r\n'
    "three,,no label\r\nfour,b,'é好'"
)


def write(source, chosen, out, **roles):
    table = tables.read(source, **roles)
    return cleaned.write(source, table, columns_of(source), chosen, out)


def test_a_csv_keeps_its_bytes(tmp_path):
    source, out = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    made = write(source, {0: "b", 1: None}, out)
    expected = CSV.replace('line",a,  x ', 'line",b,  x ').replace("two,b,=1+1\r\n\r\n", "")
    assert out.read_bytes() == b"\xef\xbb\xbf" + expected.encode()
    assert (made.rows, made.dropped, made.relabelled) == (3, 1, 1)
    assert source.read_bytes() == b"\xef\xbb\xbf" + CSV.encode()
    write(source, {}, out)
    assert out.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("head", ["sep=;\n", ""])
def test_other_delimiters(tmp_path, head):
    (tmp_path / "a.csv").write_text(head + "text;label\none text;a\ntwo texts;b\nthree texts;b\n")
    write(tmp_path / "a.csv", {2: "a", 0: None}, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == head + "text;label\ntwo texts;b\nthree texts;a\n"


def test_json_lines_keep_their_bytes(tmp_path):
    lines = [
        '{"text":"one text" , "label":"a","n":1.50}',
        "broken",
        '{"text": "two texts", "label": "b"}',
    ]
    lines += ['{"text": "好", "label": "b", "n": null}', ""]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    write(tmp_path / "a.jsonl", {1: None, 2: "a"}, tmp_path / "b.jsonl")
    made = (tmp_path / "b.jsonl").read_text("utf-8").split("\n")
    assert made == [lines[0], "broken", '{"text": "好", "label": "a", "n": null}', ""]


def test_other_tables_are_written_from_their_cells(tmp_path):
    rows = [
        {"text": "one text", "label": 1, "n": 1.5},
        {"text": "two texts", "label": 2, "n": None},
    ]
    rows += [{"text": "three texts", "label": 2, "n": 3}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    write(tmp_path / "a.json", {0: None, 2: "1"}, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "text,label,n\ntwo texts,2,\nthree texts,1,3\n"
    write(tmp_path / "a.json", {0: None}, tmp_path / "b.jsonl")
    assert [json.loads(line) for line in (tmp_path / "b.jsonl").read_text().splitlines()] == rows[
        1:
    ]
    frame = {"text": ["one text", "two texts", "three"], "label": ["a", "b", "b"]}
    write(frame, {0: None}, tmp_path / "c.tsv", input="text", target="label")
    assert (tmp_path / "c.tsv").read_text() == "text\tlabel\ntwo texts\tb\nthree\tb\n"


def test_a_folder_becomes_a_table_and_nothing_moves(tmp_path, photos):
    before = sorted(photos.rglob("*"))
    out = tmp_path / "lists" / "clean.csv"
    out.parent.mkdir()
    made = write(photos, {0: None, 1: "red"}, out)
    assert sorted(photos.rglob("*")) == before
    assert (made.rows, made.dropped, made.relabelled) == (59, 1, 1)
    table = tables.read(out)
    assert len(table) == 59
    assert table.inputs[0].resolve() == (photos / "blue" / "blue01.png").resolve()
    assert table.targets[:2] == ("red", "blue")


def test_the_split_of_a_folder_is_kept(tmp_path, photos):
    data = tmp_path / "data"
    for part in ("train", "test"):
        (data / part).mkdir(parents=True)
    for name in ("red", "blue"):
        (photos / name).rename(data / "train" / name)
    (photos / "green").rename(data / "test" / "red")
    write(data, {}, tmp_path / "c.csv")
    table = tables.read(tmp_path / "c.csv")
    assert set(table.split) == {"train", "test"}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("a.csv", "the data itself"),
        ("b.txt", "not a name"),
        ("b.parquet", "not a name"),
        ("none/b.csv", "cannot be written"),
    ],
)
def test_targets_that_are_refused(tmp_path, out, message):
    (tmp_path / "a.csv").write_text("text,label\none text,a\ntwo texts,b\nthree texts,b\n")
    with pytest.raises(DataError, match=message):
        write(tmp_path / "a.csv", {}, tmp_path / out)
    assert (tmp_path / "a.csv").read_text().startswith("text,label\none")


def test_pictures_named_from_the_table_on_stay_beside_it(tmp_path, photos):
    lines = [
        "file,label",
        *(f"{p.parent.name}/{p.name},{p.parent.name}" for p in photos.rglob("*.png")),
    ]
    (photos / "list.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="from its own folder on") as error:
        write(photos / "list.csv", {}, tmp_path / "b.csv")
    assert str(photos / "b.csv") in error.value.fix
    write(photos / "list.csv", {0: None}, photos / "b.csv")
    assert len(tables.read(photos / "b.csv")) == 59


def test_what_no_table_can_hold(tmp_path):
    data = {"image": [b"\x89PNG1", b"\x89PNG2"], "label": ["a", "b"]}
    with pytest.raises(DataError, match="'image' holds a bytes"):
        write(data, {}, tmp_path / "b.csv", input="image", target="label")
    table = tables.read(data, input="image", target="label")
    with pytest.raises(DataError, match="in memory"):
        cleaned.write(table, table, None, {}, tmp_path / "b.csv")
