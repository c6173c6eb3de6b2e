"""The run folder: locks, configurations, whole and broken checkpoints."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from distill.common.errors import InputError
from prompter.generation.config import WriterConfig
from prompter.runtime.run_folder import RunFolder, default_values, differences


def checkpoint(folder: RunFolder, step: int) -> Path:
    path = folder.checkpoints / f"checkpoint-{step}"
    (path / "distiller").mkdir(parents=True)
    (path / "a.bin").write_bytes(b"x" * 100)
    (path / "distiller" / "b.bin").write_bytes(b"y" * 100)
    folder.seal(path)
    return path


def test_the_newest_whole_checkpoint_counts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.last_checkpoint() == (None, [])
    checkpoint(folder, 20)
    newest = checkpoint(folder, 100)  # 100 sorts before 20 as text
    assert folder.last_checkpoint() == (newest, [])


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda path: (path / "a.bin").write_bytes(b"x" * 50), "a.bin was changed or truncated"),
        (lambda path: (path / "a.bin").write_bytes(b"z" * 100), "a.bin was changed or truncated"),
        (lambda path: (path / "distiller" / "b.bin").unlink(), "b.bin is missing"),
        (lambda path: (path / "manifest.json").unlink(), "saving was interrupted"),
        (lambda path: (path / "manifest.json").write_text('{"a.b'), "manifest.json cannot be read"),
        (lambda path: (path / "manifest.json").write_text('["a.bin"]'), "manifest.json is damaged"),
        (lambda path: (path / "manifest.json").write_text('{"a.bin": 5}'), "manifest.json is damaged"),
        (lambda path: (path / "manifest.json").write_text("{}"), "manifest.json is damaged"),
        # Files elsewhere may never end.
        (lambda path: (path / "manifest.json").write_text('{"/dev/zero": [0, ""]}'), "manifest.json is damaged"),
        (lambda path: (path / "manifest.json").write_text('{"../../a": [0, ""]}'), "manifest.json is damaged"),
        (lambda path: (path / "a.bin").unlink() or (path / "a.bin").symlink_to("/dev/zero"), "a.bin is missing"),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path: Path, damage, said: str) -> None:
    folder = RunFolder(tmp_path / "run")
    before = checkpoint(folder, 4)
    damage(checkpoint(folder, 8))
    found, broken = folder.last_checkpoint()
    assert found == before
    assert len(broken) == 1
    assert "checkpoint-8" in broken[0]
    assert said in broken[0]


def test_logs_hold_json_that_others_read(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").append("metrics", [{"loss": float("nan"), "all": [float("inf"), 1.5]}])
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == '{"loss": null, "all": [null, 1.5]}\n'


def test_a_setting_that_is_newer_than_the_run_counts_as_its_default(tmp_path: Path) -> None:
    @dataclass
    class Settings:
        budget: int = 0
        names: list[str] = field(default_factory=lambda: ["a"])
        dtype: str = "auto"

    folder, defaults = RunFolder(tmp_path / "run"), default_values(Settings)
    assert defaults == {"budget": 0, "names": ["a"], "dtype": "auto"}
    folder.open_config({"budget": 5, "names": ["a"]}, False, set(), defaults)
    folder.open_config({"budget": 5, "names": ["a"], "dtype": "auto"}, True, set(), defaults)
    (folder.checkpoints / "checkpoint-1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"\(dtype: 'auto' there, 'float32' here\)"):
        folder.open_config({"budget": 5, "names": ["a"], "dtype": "float32"}, True, set(), defaults)
    with pytest.raises(InputError, match=r"\(budget: 5 there, 0 here\)"):
        folder.open_config(defaults, True, set(), defaults)


def test_logs_are_cut_back_to_where_a_checkpoint_stood(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append("metrics", [{"update": 1}, {"update": 2}])
    sizes = folder.log_sizes(["metrics", "samples"])
    before = (tmp_path / "metrics.jsonl").read_bytes()
    folder.append("metrics", [{"update": 3}])
    folder.append("samples", [{"text": "ü"}])
    folder.cut_logs(sizes)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert (tmp_path / "samples.jsonl").read_bytes() == b""


def test_a_second_process_is_refused_and_a_dead_one_does_not_block(tmp_path: Path) -> None:
    hold = f"folder = RunFolder({str(tmp_path)!r}); print('locked', flush=True); input()"
    code = f"from prompter.runtime.run_folder import RunFolder; {hold}"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(InputError, match="in use by another process"):
            RunFolder(tmp_path)
    finally:
        process.kill()
        process.wait()
    (tmp_path / "file").write_text("")
    RunFolder(tmp_path).close()
    assert (tmp_path / "file").exists()


def test_an_empty_folder_is_removed_and_can_be_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        folder = RunFolder(tmp_path / "run")
        assert (tmp_path / "run" / ".lock").exists()
        folder.close()
        assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "run")


def test_a_resume_with_another_configuration_names_the_differing_keys(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    config = {"budget": 100, "seed": 0, "quiet": False, "compare": ["real"]}
    folder.open_config(config, resume=False, may_differ={"quiet"})
    folder.open_config(config | {"quiet": True}, resume=True, may_differ={"quiet"})
    (folder.checkpoints / "checkpoint-1").mkdir(parents=True)
    with pytest.raises(InputError, match="budget: 100 there, 200 here") as error:
        folder.open_config(config | {"budget": 200}, resume=True, may_differ={"quiet"})
    assert "seed" not in str(error.value)
    with pytest.raises(InputError, match="--resume"):
        folder.open_config(config, resume=False, may_differ=set())


@pytest.mark.skipif(os.name != "posix", reason="Windows asks for rights to make a link")
def test_a_place_may_be_written_in_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("teacher", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("teacher")
    for name in ("teacher", "./teacher/", "link", str(tmp_path / "teacher")):
        assert not differences({"teacher": "./teacher"}, {"teacher": name}, {}), name
    for name in ("other", "away/teacher"):
        assert differences({"teacher": "./teacher"}, {"teacher": name}, {}) == [f"teacher: './teacher' there, '{name}' here"]
    assert differences({"teacher": "gone"}, {"teacher": "./gone"}, {})


def test_places_of_a_project_that_was_moved_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = tmp_path / "now"
    for name in ("teacher", "other/teacher", "runs/a", "run"):
        (now / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for root in ("/gone/before/", ""):
        stored = {"output_dir": f"{root}runs/a", "teacher": f"{root}teacher", "models": [f"{root}other/teacher", "toy"]}
        given = {"output_dir": "now/runs/a", "teacher": "now/teacher", "models": [str(now / "other/teacher"), "toy"]}
        assert not differences(stored, given, {}, {"output_dir"})
        for other in ("now/other/teacher", "teacher"):
            assert len(differences(stored, given | {"teacher": other}, {}, {"output_dir"})) == (other != stored["teacher"])
    # Another folder is no sign that anything was moved.
    assert differences(stored, given | {"output_dir": "now/run"}, {}, {"output_dir"})
    monkeypatch.chdir(now)
    assert not differences(
        {"to": "runs/a", "teacher": "teacher"}, {"to": str(now / "runs/a"), "teacher": "teacher"}, {}, {"to"}
    )


def test_a_run_that_has_made_nothing_may_begin_with_other_settings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open_config({"score_high": 1}, resume=False, may_differ=set())
    folder.append("metrics", [{"queries": 64}])
    folder.checkpoints.mkdir()
    folder.open_config({"score_high": 5}, resume=True, may_differ=set())
    folder.open_config({"score_high": 5}, resume=True, may_differ=set())
    folder.keep_batch_size(8)  # found with these settings
    with pytest.raises(InputError, match="score_high: 5 there, 1 here"):
        folder.open_config({"score_high": 1}, resume=True, may_differ=set())


def test_a_damaged_log_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.append("metrics", [{"a": 1}, {"a": 2}])
    sizes, file = folder.log_sizes(["metrics"]), folder.path / "metrics.jsonl"
    whole = file.read_bytes()
    for content in (whole[:-4], whole.replace(b"2", b"3")):
        file.write_bytes(content)
        caplog.clear()
        folder.cut_logs(sizes)
        assert file.read_bytes() == content and "metrics.jsonl was damaged" in caplog.text
    file.write_bytes(whole[:-4])
    caplog.clear()
    folder.cut_logs({"metrics": len(whole)})
    assert "metrics.jsonl was damaged" in caplog.text
    file.write_bytes(whole + b'{"a": 3}\n')
    caplog.clear()
    folder.cut_logs({"metrics": len(whole)})  # as earlier versions stored it
    assert folder.read("metrics") == [{"a": 1}, {"a": 2}] and not caplog.records
    for row in (b"\xba", b"[1]", b"{", b'{"a":' + b"[" * 200_000):
        file.write_bytes(whole + row)
        with pytest.raises(InputError, match=r"metrics.jsonl, row 3: is damaged .*: remove the row"):
            folder.read("metrics")
    folder.close()


def test_a_run_without_its_configuration_cannot_go_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open_config({"budget": 5}, resume=False, may_differ=set())
    checkpoint(folder, 20)
    (tmp_path / "run" / "config.yaml").unlink()
    for resume in (True, False):
        with pytest.raises(InputError, match="holds a run whose config.yaml is missing"):
            folder.open_config({"budget": 6}, resume=resume, may_differ=set())


def test_a_run_of_an_older_version_continues_bare_openings(tmp_path: Path) -> None:
    folder, asked = RunFolder(tmp_path / "run"), {"in_context": True}
    folder.open_config({}, resume=False, may_differ=set())
    (folder.checkpoints / "checkpoint-1").mkdir(parents=True)
    with pytest.raises(InputError, match="in_context: False there, True here"):
        folder.open_config(asked, resume=True, may_differ=set(), defaults=default_values(WriterConfig))
    folder.open_config({"in_context": False}, resume=True, may_differ=set(), defaults=default_values(WriterConfig))


def test_a_batch_size_that_was_found_is_remembered(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.found_batch_size() is None
    folder.keep_batch_size(745)
    folder.close()
    again = RunFolder(tmp_path / "run")
    assert again.found_batch_size() == 745
    again.close()


@pytest.mark.parametrize("name", ["notes.txt", "student/essay.txt", "checkpoints/mine.txt"])
def test_a_new_run_leaves_a_folder_alone_that_holds_something(tmp_path: Path, name: str) -> None:
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).write_text("mine")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match=f"output_dir: .* holds other files \\({name.partition('/')[0]}\\), which stay"):
        folder.check_place(resume=False)
    with pytest.raises(InputError, match="holds other files"):
        folder.open_config({}, resume=False, may_differ=set())
    folder.close()
    assert (tmp_path / "run" / name).read_text() == "mine" and not (tmp_path / "run" / "config.yaml").exists()


def test_what_a_kill_leaves_of_a_beginning_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in (".lock", ".config.yaml.tmp"):
        (tmp_path / "run" / name).write_text("")
    folder = RunFolder(tmp_path / "run")
    folder.check_place(resume=True)
    folder.open_config({"budget": 5}, resume=True, may_differ=set())
    folder.check_place(resume=True)


def test_nothing_to_go_on_with_is_said(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "mistyped")
    with pytest.raises(InputError, match="resume: .*mistyped' holds no run to go on with: check output_dir"):
        folder.check_place(resume=True)
    folder.close()
    assert not (tmp_path / "mistyped").exists()


def test_a_place_that_is_no_folder_is_named_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="output_dir '.*file.yaml' is a file, a folder was expected"):
        RunFolder(tmp_path / "file.yaml")
    with pytest.raises(InputError, match="to '.*link' is a link to '.*nowhere', which does not exist: make that folder"):
        RunFolder(tmp_path / "link", "to")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("content", ["{}", "[]", '{"writer_batch_size": "many"}', '{"writer_batch_size": 0}'])
def test_a_damaged_batch_size_is_named(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path / "run")
    (folder.path / "batch_sizes.json").write_text(content)
    with pytest.raises(InputError, match="batch_sizes.json: .*: remove the file"):
        folder.found_batch_size()
    folder.keep_batch_size(8)
    assert folder.found_batch_size() == 8
