"""Whole files: nothing half written is ever seen."""

from __future__ import annotations

import threading

import pytest

from talik.files import whole_file, write_text


def test_a_failed_block_leaves_the_old_file(tmp_path):
    final = tmp_path / "deep" / "a.txt"
    write_text(final, "old")

    def interrupted() -> None:
        with whole_file(final) as part:
            part.write_text("new, half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        interrupted()
    assert final.read_text() == "old"
    assert list(final.parent.iterdir()) == [final]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a.txt"):
        pass


def test_racing_writers_leave_one_whole_file(tmp_path):
    final = tmp_path / "a.txt"
    texts = [str(i) * 200_000 for i in range(8)]
    threads = [threading.Thread(target=write_text, args=(final, t)) for t in texts]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert final.read_text() in texts
    assert list(tmp_path.iterdir()) == [final]


def test_text_has_unix_line_ends(tmp_path):
    assert write_text(tmp_path / "a.txt", "1\n2\n").read_bytes() == b"1\n2\n"
