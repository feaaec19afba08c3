import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

from octopus_graph.cli import batch
from octopus_graph.cli.batch import Row
from octopus_graph.errors import ModelNotFoundError


def shout(rows: Sequence[Row]) -> None:
    for row in rows:
        row.gained = {"expert": row.request.upper()}


def run(source: object, target: object = None, answer: Callable[[Sequence[Row]], None] = shout, **options: Any) -> int:
    """Runs a batch and returns its exit code."""
    settings: dict[str, Any] = {"prepare": lambda: None, "window": 4, "field_name": None, "as_json": False} | options
    try:
        batch.run(str(source), None if target is None else str(target), answer, **settings)
    except typer.Exit as exit_:
        return exit_.exit_code
    return 0


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n")[:-1]]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_rows_keep_their_keys_and_their_order(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text("".join(json.dumps({"id": i, "request": f"q{i}", "more": {"a": [1]}}) + "\n" for i in range(11)))

    assert run(rows) == 0

    out, err = capsys.readouterr()
    assert lines(out) == [{"id": i, "request": f"q{i}", "more": {"a": [1]}, "expert": f"Q{i}"} for i in range(11)]
    assert err.startswith("11 rows in ")
    assert err.endswith("none failed.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("key", ["request", "query", "question"])
def test_the_request_is_found_under_its_usual_names(rows: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text(json.dumps({key: "hi"}))

    assert run(rows) == 0
    assert lines(capsys.readouterr().out) == [{key: "hi", "expert": "HI"}]


def test_the_field_can_be_named(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text('{"request": "no", "text": "yes"}\n{"request": "no"}\n')

    assert run(rows, field_name="text") == 1
    first, second = lines(capsys.readouterr().out)
    assert first["expert"] == "YES"
    assert second["error"] == "The row has no key 'text': name the key of its request with --field."


BAD = {
    b'{"request": ""}': "The request is empty: ask something.",
    b'{"request": " \\t\\n "}': "The request is empty: ask something.",
    b'{"request": "\\u0007\\u0000"}': "The request is empty: ask something.",
    b'{"request": "a\\ud800b"}': "The request is not valid text: a lone surrogate stands at character 1; send UTF-8.",
    b'{"request": 7}': "The row's 'request' is not text but a number.",
    b'{"request": null}': "The row's 'request' is not text but null.",
    b'{"request": ["a"]}': "The row's 'request' is not text but a list.",
    b'{"other": "x"}': "The row has no key 'request', 'query', 'question': name the key of its request with --field.",
    b"{}": "The row has no key 'request', 'query', 'question': name the key of its request with --field.",
    b"[1]": "The line is not a JSON object but a list.",
    b'"text"': "The line is not a JSON object but a text.",
    b"true": "The line is not a JSON object but a truth value.",
    b"{broken": "The line is not JSON: Expecting property name",
    b'{"request": "x", "n": NaN}': "The line is not JSON: NaN is no JSON number.",
    b'{"request": "x", "n": 1e999}': "The line is not JSON: 1e999 is no JSON number.",
    b'{"request": "x", "n": ' + b"9" * 5000 + b"}": "The line is not JSON: Exceeds the limit",
    b'{"request": "\xff\xfe"}': "The line is not UTF-8 text.",
    b"[" * 100_000: "The line is JSON nested too deeply.",
    json.dumps({"request": "x" * 200_001}).encode(): "The request has 200,001 characters and the limit is 200,000",
}


@pytest.mark.parametrize("bad", BAD, ids=lambda line: line[:30].decode("latin-1"))
def test_a_bad_row_says_why_and_the_rest_is_done(rows: Path, bad: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_bytes(b'{"request": "one"}\n' + bad + b'\n{"request": "two"}\n')

    assert run(rows) == 1

    out, err = capsys.readouterr()
    first, second, third = lines(out)
    assert (first["expert"], third["expert"]) == ("ONE", "TWO")
    assert second["error"].startswith(BAD[bad])
    assert "expert" not in second
    assert second.get("line") == (None if set(second) - {"line", "error"} else 2)
    assert err.endswith("; 1 failed.\n")


def test_a_bad_row_keeps_its_keys_even_a_lone_surrogate(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text('{"id": 5, "request": "a\\ud800b", "note": "naïve"}\n', encoding="utf-8")

    assert run(rows) == 1
    (row,) = lines(capsys.readouterr().out)
    assert {key: row[key] for key in ("id", "request", "note")} == {"id": 5, "request": "a\ud800b", "note": "naïve"}


def test_a_label_under_a_gained_key_moves_aside_and_stays_there(rows: Path, tmp_path: Path) -> None:
    rows.write_text('{"request": "x", "expert": "gold", "error": "of before"}\n')
    once, twice = tmp_path / "once", tmp_path / "twice"

    assert run(rows, once) == 0
    assert run(once, twice) == 0

    expected = {"request": "x", "given": {"expert": "gold", "error": "of before"}, "expert": "X"}
    assert lines(once.read_text()) == [expected]
    assert lines(twice.read_text()) == [expected]


def test_blank_lines_a_byte_order_mark_and_windows_ends_are_no_matter(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.write_bytes(b'\xef\xbb\xbf{"request": "one"}\r\n\r\n   \n{"request": "tw\xe2\x80\xa8o"}')

    assert run(rows) == 0
    assert [row["expert"] for row in lines(capsys.readouterr().out)] == ["ONE", "TW\u2028O"]


def test_an_empty_file_is_no_error(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.touch()

    assert run(rows) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("0 rows")


def test_stdin_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"request": "\xc3\xa9"}\n{"request": "\xff"}\n'), encoding="ascii")
    )

    assert run("-") == 1
    first, second = lines(capsys.readouterr().out)
    assert first["expert"] == "É"
    assert second["error"] == "The line is not UTF-8 text."


def test_only_a_window_of_rows_is_held_at_a_time(rows: Path) -> None:
    rows.write_text('{"request": "x"}\n' * 1000)
    seen: list[int] = []

    assert run(rows, rows.with_name("out"), lambda some: seen.append(len(some)), window=16) == 0
    assert seen == [16] * 62 + [8]


def test_out_is_written_whole_with_the_usual_rights_and_a_summary(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.write_text('{"request": "x"}\n')
    out = rows.with_name("out.jsonl")
    old = os.umask(0o027)
    try:
        assert run(rows, out, as_json=True) == 0
    finally:
        os.umask(old)

    assert lines(out.read_text()) == [{"request": "x", "expert": "X"}]
    assert out.stat().st_mode & 0o777 == 0o640
    assert json.loads(capsys.readouterr().out) | {"seconds": 0} == {
        "rows": 1,
        "failed": 0,
        "seconds": 0,
        "out": str(out),
    }


def test_out_may_be_the_file_that_is_read_or_a_link(rows: Path) -> None:
    rows.write_text('{"request": "x"}\n')
    rows.chmod(0o604)
    link = rows.with_name("link")
    link.symlink_to(rows)

    assert run(rows, link) == 0
    assert link.is_symlink()
    assert lines(rows.read_text()) == [{"request": "x", "expert": "X"}]
    assert rows.stat().st_mode & 0o777 == 0o604


def test_out_may_be_a_device(rows: Path) -> None:
    rows.write_text('{"request": "x"}\n')

    assert run(rows, os.devnull) == 0
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize("error", [ModelNotFoundError("gone"), KeyboardInterrupt(), SystemExit(143)])
def test_what_ends_early_leaves_the_old_file_and_no_other(rows: Path, error: BaseException) -> None:
    rows.write_text('{"request": "x"}\n' * 9)
    out = rows.with_name("out")
    out.write_text("before")
    calls: list[int] = []

    def answer(some: Sequence[Row]) -> None:
        calls.append(len(some))
        if len(calls) == 2:
            raise error

    with pytest.raises(type(error)):
        run(rows, out, answer)
    assert calls == [4, 4]
    assert out.read_text() == "before"
    assert sorted(path.name for path in rows.parent.iterdir()) == ["out", "rows.jsonl"]


@pytest.mark.parametrize(
    ("source", "target", "option"),
    [
        ("absent.jsonl", "out", "--batch"),
        (".", "out", "--batch"),
        ("a\0b", "out", "--batch"),
        ("rows.jsonl", "absent/out", "--out"),
        ("rows.jsonl", ".", "--out"),
        ("rows.jsonl", "x" * 300, "--out"),
        ("rows.jsonl", "a\0b", "--out"),
    ],
)
def test_files_that_cannot_be_used_are_named_before_anything_is_loaded(
    rows: Path, source: str, target: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.write_text('{"request": "x"}\n')
    monkeypatch.chdir(rows.parent)
    loaded: list[bool] = []

    with pytest.raises(typer.BadParameter) as refused:
        run(source, target, prepare=lambda: loaded.append(True))

    assert refused.value.format_message().startswith(f"Invalid value for {option}: ")
    assert loaded == []
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


def test_a_row_nested_almost_too_deeply_never_ends_the_batch(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    depths = range(700, 1100, 3)
    rows.write_text("".join('{"request": "x", "deep": ' + "[" * n + "]" * n + "}\n" for n in depths))

    assert run(rows) == 1
    assert len(capsys.readouterr().out.splitlines()) == len(depths)
