"""Uploads: private unless asked otherwise, and errors without a traceback or a token."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from distill.common.errors import InputError
from prompter.exporting import hub_upload


class FakeHub:
    """Notes what is asked of it."""

    private = True
    error: Exception | None = None
    calls: list[tuple[str, dict]]

    def create_repo(self, name: str, **options: object) -> str:
        if self.error:
            raise self.error
        self.calls.append((name, options))
        return f"https://hub/{name}"

    def repo_info(self, name: str, repo_type: str) -> SimpleNamespace:
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **options: object) -> None:
        self.calls.append(("upload", options))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    FakeHub.calls, FakeHub.private, FakeHub.error = [], True, None
    monkeypatch.setattr(hub_upload, "HfApi", FakeHub)
    return FakeHub


def test_uploads_are_private_unless_public(hub: type[FakeHub], tmp_path: Path) -> None:
    assert hub_upload.upload_dataset(tmp_path, "me/set", public=False) == "https://hub/me/set"
    hub_upload.upload_dataset(tmp_path, "me/set", public=True)
    created = [options for name, options in hub.calls if name == "me/set"]
    assert [options["private"] for options in created] == [True, False]
    uploads = [options for name, options in hub.calls if name == "upload"]
    assert uploads[0]["folder_path"] == tmp_path and uploads[0]["repo_type"] == "dataset"
    assert ".export/**" in uploads[0]["ignore_patterns"]


def test_a_public_repository_is_not_filled_by_accident(hub: type[FakeHub], tmp_path: Path) -> None:
    hub.private = False
    with pytest.raises(InputError, match="exists and is public: give another id, or --public"):
        hub_upload.upload_dataset(tmp_path, "me/set", public=False)
    assert "upload" not in [name for name, _ in hub.calls]


class TransportError(Exception):
    """What an HTTP library raises, whose errors need not be OSErrors."""


@pytest.mark.parametrize("kind", [ConnectionError, TransportError])
def test_errors_name_the_remedy_and_no_details(hub: type[FakeHub], tmp_path: Path, kind: type[Exception]) -> None:
    hub.error = kind("https://hub?token=hf_secret")
    with pytest.raises(InputError, match="me/set was not uploaded.*log in with: hf auth login") as caught:
        hub_upload.upload_dataset(tmp_path, "me/set", public=False)
    assert "secret" not in str(caught.value)
