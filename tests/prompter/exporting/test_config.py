"""Settings of an export: where they come from, and which are refused."""

import json
import shutil
from pathlib import Path

import pytest

from distill.common.errors import InputError
from prompter.saved.prompter import Prompter
from tests.prompter.exporting.exports import parse_export, run


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rows", "0"], "rows is 0, expected a whole number >= 1"),
        (["--min_confidence", "1.5"], "min_confidence is 1.5"),
        (["--near_duplicates", "1"], "near_duplicates is 1.0"),
        (["--max_words", "2"], "max_words is 2, expected at least min_words = 3"),
        (["--writer", "vlm"], "writer is 'vlm'.*Did you mean 'vllm'"),
        (["--teacher", "none", "--balance"], "balance needs a teacher's predictions"),
        (["--public"], "public says how to upload"),
        (["--shard_row", "3"], "unknown argument '--shard_row'. Did you mean 'shard_rows'"),
        (["--writer", "http://host/v1#m", "--engine", "ray"], "writer is a server, .* leave --engine ray out"),
        (["--writer_top_p", "0"], "writer_top_p is 0"),
    ],
)
def test_wrong_settings(run_folder: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(run_folder, tmp_path / "set", *flags)
    assert not (tmp_path / "set").exists()


def test_a_wrong_setting_of_the_prompter_is_said_to_be_in_its_file(run_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_folder / "prompter", tmp_path / "copy"))
    (copy / "checksums.json").unlink()
    manifest = json.loads((copy / "prompter.json").read_text())
    manifest["writer_settings"]["writer_temperature"] = "hot"
    (copy / "prompter.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"^.*copy/prompter\.json: writer_temperature is 'hot', expected a number"):
        parse_export([str(copy), "--rows", "8", "--to", "x", "--trust_teacher"])
    with pytest.raises(InputError, match="^writer_min_new_tokens is 4, expected a whole number from 0 to"):
        parse_export([str(run_folder), "--rows", "8", "--to", "x", "--trust_teacher", "--writer_max_new_tokens", "3"])


def test_settings_come_from_the_prompter_a_file_and_flags(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "export.yaml").write_text(f"run: {run_folder}\nrows: 7\nwriter_top_p: 0.5\n")
    config, writer = parse_export(["--config", str(tmp_path / "export.yaml"), "--to", "x", "--rows", "8", "--trust_teacher"])
    assert (config.rows, writer.writer_top_p, writer.writer_max_new_tokens) == (8, 0.5, 8)
    assert config.teacher == Prompter.load(run_folder, device="cpu").manifest["teacher"]
    with pytest.raises(InputError, match="run is missing"):
        parse_export(["--rows", "8", "--to", "x"])
    with pytest.raises(InputError, match="does not exist"):
        parse_export(["nowhere", "--rows", "8", "--to", "x"])
