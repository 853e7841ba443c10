"""Folders of pictures and tables of paths: layouts, links, odd names, what is left out and why."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.data.table import read, read_inputs
from headstart.errors import DataError


def picture(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 3), (colour % 256, colour // 256, 7)).save(path, "PNG")
    return path


def photos(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        picture(root / name, number)
    return root


def reasons(table) -> dict[str, str]:
    return {skipped.input: skipped.reason for skipped in table.skipped}


def test_class_folders(tmp_path):
    photos(tmp_path, "dog/b.png", "cat/a.png", "cat/deep/er/c.JPG", "dog/a.png")
    table = read(tmp_path)
    assert table.names == ("cat/a.png", "cat/deep/er/c.JPG", "dog/a.png", "dog/b.png")
    assert table.targets == ("cat", "cat", "dog", "dog")
    assert table.inputs[0] == tmp_path / "cat" / "a.png"
    assert (table.modality, table.roles.input, table.roles.target) == ("image", "file", "folder")
    assert table.split is None


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    photos(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(9)))
    wanted = read(tmp_path).names
    scandir = os.scandir

    class Reversed(list):  # pathlib uses it with "with"
        def __enter__(self):
            return iter(self)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(os, "scandir", lambda path: Reversed(list(scandir(path))[::-1]))
    assert read(tmp_path).names == wanted


def test_split_folders_in_any_case(tmp_path):
    photos(tmp_path, "Train/a/1.png", "Train/b/1.png", "VALID/a/2.png", "test/b/3.png")
    table = read(tmp_path)
    assert table.split == ("train", "train", "val", "test")
    assert table.targets == ("a", "b", "a", "b")
    assert table.names[0] == "Train/a/1.png"


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_names_of_the_val_folder(tmp_path, name):
    photos(tmp_path, "train/a/1.png", "train/b/1.png", f"{name}/a/2.png")
    assert sorted(read(tmp_path).split) == ["train", "train", "val"]


def test_a_class_called_train(tmp_path):
    photos(tmp_path, "train/1.png", "bus/1.png", "car/1.png", "train/old/2.png")
    table = read(tmp_path)
    assert table.split is None
    assert set(table.targets) == {"train", "bus", "car"}


def test_other_folder_beside_train_and_test(tmp_path):
    photos(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/2.png", "extra/c/3.png")
    table = read(tmp_path)
    assert sorted(table.split) == ["test", "train", "train"]
    assert reasons(table) == {"extra/c/3.png": "not in the train, val or test folder"}


def test_what_is_left_out(tmp_path):
    photos(
        tmp_path, "a/1.png", "b/1.png", "loose.png", ".hidden/x.png", "a/.b.png", "__MACOSX/1.png"
    )
    for name in ("a/Thumbs.db", "a/.DS_Store", "b/desktop.ini", "a/notes.txt", "a/x.heic"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "b" / "empty.jpg").touch()
    (tmp_path / "c").mkdir()
    table = read(tmp_path)
    assert table.names == ("a/1.png", "b/1.png")
    assert reasons(table) == {
        "a/notes.txt": "not a picture (.txt)",
        "a/x.heic": "HEIC is not read; export it as JPEG",
        "b/empty.jpg": "empty file",
        "loose.png": "not in a class folder",
    }
    assert any("'c'" in note for note in table.notes)


def test_text_renamed_to_jpg_stays(tmp_path):
    photos(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "2.jpg").write_text("no picture at all")
    assert "a/2.jpg" in read(tmp_path).names  # the decoder refuses it later, with its reason


def test_loose_pictures(tmp_path):
    photos(tmp_path, "1.png", "2.png")
    with pytest.raises(DataError, match="2 pictures but no class folders") as caught:
        read(tmp_path)
    assert "one folder for each class" in caught.value.fix
    table = read(tmp_path, labelled=False)
    assert table.names == ("1.png", "2.png")
    assert table.targets is None
    photos(tmp_path / "t", "train/1.png", "test/1.png")
    with pytest.raises(DataError, match="no class folders"):
        read(tmp_path / "t")


def test_folders_without_pictures(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path)
    (tmp_path / "data.csv").write_text("text,label\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert caught.value.fix.endswith("data.csv")
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "1.txt").write_text("hello")
    with pytest.raises(DataError, match="text files"):
        read(tmp_path / "texts")
    with pytest.raises(DataError, match="pictures only"):
        read(tmp_path, modality="text")


def test_one_folder_too_high_is_noted(tmp_path):
    photos(tmp_path, "photos/cat/1.png", "photos/dog/1.png")
    assert any("'photos'" in note for note in read(tmp_path).notes)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links(tmp_path):
    root = photos(tmp_path / "root", "a/1.png", "b/1.png")
    picture(tmp_path / "outside.png")
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "self.png").symlink_to(root / "a" / "self.png")
    (root / "a" / "gone.png").symlink_to(root / "a" / "nothing.png")
    (root / "a" / "inside.png").symlink_to(root / "b" / "1.png")
    (root / "a" / "out.png").symlink_to(tmp_path / "outside.png")
    (root / "out").symlink_to("/")
    table = read(root)
    assert table.names == ("a/1.png", "a/inside.png", "b/1.png")
    assert reasons(table) == {
        "a/gone.png": "a link that leads nowhere",
        "a/loop": "a link to a folder, which is not followed",
        "a/out.png": "a link that leads out of the folder",
        "a/self.png": "a link that leads nowhere",
        "out": "a link that leads out of the folder",
    }


@pytest.mark.skipif(os.name == "nt", reason="pipes are made otherwise there")
def test_a_pipe_does_not_hang(tmp_path):
    photos(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert reasons(read(tmp_path)) == {"a/pipe.png": "not a regular file"}
    (tmp_path / "t.csv").write_text("file,label\na/1.png,a\na/pipe.png,a\nb/1.png,b\n")
    assert reasons(read(tmp_path / "t.csv")) == {"t.csv:3": "not a regular file"}


@pytest.mark.skipif(os.name == "nt", reason="not allowed in names there")
@pytest.mark.parametrize(
    "name",
    ["😀.png", "new\nline.png", "with space .png", "-rf.png", "a" * 250 + ".png", "q?#%.png"],
)
def test_odd_file_names(tmp_path, name):
    photos(tmp_path, f"a/{name}", "b/1.png")
    table = read(tmp_path)
    assert table.names[0] == f"a/{name}"
    assert table.inputs[0].is_file()


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_file_name_that_is_not_utf_8(tmp_path):
    photos(tmp_path, "a/1.png", "b/1.png")
    odd = os.fsdecode(os.fsencode(tmp_path / "a") + b"/caf\xe9.png")
    try:
        picture(Path(odd))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    table = read(tmp_path)
    assert table.names == ("a/1.png", "a/caf\ufffd.png", "b/1.png")
    assert table.inputs[1].is_file()
    "".join(table.names).encode()


def test_very_deep_folders_do_not_hit_the_recursion_limit(tmp_path):
    photos(tmp_path, "a/1.png", "b/1.png")
    here = tmp_path / "a"
    depth = 0
    try:
        for _ in range(1200):
            here = here / "d"
            here.mkdir()
            depth += 1
    except OSError:
        pass  # the longest path this system allows
    found = len(read(tmp_path))
    for _ in range(depth):  # pytest's own clean-up would hit the limit
        here.rmdir()
        here = here.parent
    assert found == 2
    assert depth > 100


# --- tables of pictures ---------------------------------------------------------------------------


def test_csv_of_paths(tmp_path):
    photos(tmp_path, "img/1.png", "img/2.png", "img/ 3.png")
    (tmp_path / "img" / "0.png").touch()
    rows = ["img/1.png,a", "img\\2.png,b", "img/gone.png,a", "img/0.png,b", "https://x.org/a.png,a",
            "img,b", "img/ 3.png,a"]  # fmt: skip
    (tmp_path / "t.csv").write_text("file,label\n" + "\n".join(rows))
    table = read(tmp_path / "t.csv")
    assert table.modality == "image"
    assert [path.name for path in table.inputs] == ["1.png", "2.png", " 3.png"]
    assert all(path.is_file() for path in table.inputs)
    assert reasons(table) == {
        "t.csv:4": "no such file",
        "t.csv:5": "empty file",
        "t.csv:6": "an address on the network is not fetched; download the picture first",
        "t.csv:7": "a folder, not a file",
    }


def test_csv_whose_paths_all_fail(tmp_path):
    (tmp_path / "t.csv").write_text("file,label\nx/1.png,a\nx/2.png,b\nx/3.png,a\n")
    with pytest.raises(DataError, match=r"no such file \(3 rows\)") as caught:
        read(tmp_path / "t.csv")
    assert "x/1.png" in caught.value.fix
    assert str(tmp_path) in caught.value.fix


def test_pictures_in_memory(tmp_path):
    data = picture(tmp_path / "1.png").read_bytes()
    array = np.zeros((4, 4, 3), np.uint8)
    image = Image.new("L", (2, 2))
    table = read([(data, "a"), (array, "b"), (image, "a"), (bytearray(data), "b"), (b"", "a")])
    assert table.modality == "image"
    assert table.inputs[0] == data
    assert table.inputs[1] is array
    assert table.inputs[2] is image
    assert table.inputs[3] == data
    assert isinstance(table.inputs[3], bytes)
    assert reasons(table) == {"row 4": "empty file"}


# --- read_inputs ----------------------------------------------------------------------------------


def test_inputs_images_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path, "a.png", "more/z.png", "more/deep/y.png")
    (tmp_path / "more" / "note.txt").write_text("x")
    (tmp_path / "more" / "empty.png").touch()
    (tmp_path / "list.csv").write_text("id,path\n1,a.png\n2,gone.png\n3\n4,\n")
    array = np.zeros((4, 4), np.uint8)
    sources = ["a.png", "gone.jpg", "more", "list.csv", b"bytes", array, "list.docx", "", 7]
    table = read_inputs(sources, modality="image")
    assert table.names == (
        "a.png", "gone.jpg", "more/deep/y.png", "more/empty.png", "more/z.png", "list.csv:2", "list.csv:3",
        "list.csv:4", "list.csv:5", "image 5", "image 6", "list.docx", "", "image 9",
    )  # fmt: skip
    assert table.targets is None
    assert table.split is None
    assert table.modality == "image"
    assert Path(table.inputs[5]) == Path("a.png")
    assert table.inputs[9] == b"bytes"
    assert table.inputs[7] == b""
    assert table.inputs[10] is array
    assert reasons(table) == {"more/note.txt": "not a picture (.txt)"}
    assert any("list.csv:4" in note for note in table.notes)


def test_inputs_folder_without_pictures(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        read_inputs([str(tmp_path)], modality="image")


def test_inputs_texts_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.csv").write_text('text,label\none two,a\n,b\ncut\n"three,\nfour",a\n')
    (tmp_path / "r.jsonl").write_text('{"text": "five"}\n{"te\n{"text": null}\n')
    (tmp_path / "r.txt").write_text("six\n\nseven\n")
    table = read_inputs(
        ["hello", "", "r.csv", "r.jsonl", "r.txt", "r.txtx", "no.csv", 5], modality="text"
    )
    assert table.inputs == ("hello", "", "one two", "", "", "three,\nfour", "five", "", "", "six", "",
                            "seven", "r.txtx", "no.csv", "5")  # fmt: skip
    assert table.names == (
        "text 1", "text 2", "r.csv:2", "r.csv:3", "r.csv:4", "r.csv:5", "r.jsonl:1", "r.jsonl:2",
        "r.jsonl:3", "r.txt:1", "r.txt:2", "r.txt:3", "text 6", "text 7", "text 8",
    )  # fmt: skip
    assert any("no file 'no.csv'" in note for note in table.notes)
    assert table.targets is None
    assert table.skipped == ()


def test_inputs_named_column_and_single_source(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("title,body\nA,long words here\nB,more words there\n")
    table = read_inputs([path], modality="text", input="title")
    assert table.inputs == ("A", "B")
    assert table.roles.input == "title"
    with pytest.raises(DataError, match="no column 'nope'; the columns are: title, body"):
        read_inputs([path], modality="text", input="nope")
    assert read_inputs("just a text", modality="text").inputs == ("just a text",)


def test_inputs_csv_without_header(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("I like it really\nI do not, no\nnever again\n")
    table = read_inputs([str(path)], modality="text")
    assert table.names == ("r.csv:1", "r.csv:2", "r.csv:3")
    assert table.inputs[1:] == ("I do not, no", "never again")


def test_inputs_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["one two", None], "n": [1, 2]})
    assert read_inputs([frame], modality="text").inputs == ("one two", "")
    assert read_inputs(pandas.Series(["a b", "c d"]), modality="text").inputs == ("a b", "c d")


@pytest.mark.parametrize("modality", ["image", "text"])
@given(
    sources=st.lists(
        st.one_of(
            st.text(max_size=12), st.sampled_from(["~nobody-here/a.csv", "x.csv", "\0.txt", "."])
        ),
        max_size=8,
    )
)
def test_inputs_none_is_lost(sources, modality):
    wanted = [source for source in sources if not (modality == "image" and Path(source).is_dir())]
    table = read_inputs(wanted, modality=modality)
    assert len(table) == len(wanted)
    "".join(table.names).encode()  # no name breaks a report
