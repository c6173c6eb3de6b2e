"""The Hugging Face hub, both ways: upload a finished folder, and fetch a prompter.

Uploads are private unless the user asks for a public one. `huggingface_hub` finds the token that `hf auth login` stored. This
module never reads, prints or writes it. Nothing local changes but the card, which names its id on the hub.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download

from distill.checkpoints.explain import explain
from distill.checkpoints.network import heed_network
from distill.common.errors import InputError
from distill.common.files import write_text
from distill.common.hub import HUB_ID

OF_THE_RUN = ("summary.json", "training_log.jsonl", "samples.jsonl", "trackers/*", "rewriter/*", ".*", "*/.*")
"""Files in a student's folder that tell about its making, with paths of this machine: they are not uploaded."""

MANIFEST = "prompter.json"
"""`prompter.saved.manifest.PROMPTER_MANIFEST`, which imports this file."""

FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md")
"""Files of a prompter that are fetched; nothing that would be unpickled or run."""

USE = re.compile(r'(pipeline\("[a-z-]+", |load_teacher\(|Prompter\.)((?:load|from_pretrained)\()?"[^"\n]*"(\))?')
"""Where a card says how its folder is opened."""


def upload(folder: Path, name: str, public: bool, kind: str, ignore: Sequence[str], made_by: str) -> str:
    """Upload a folder in one commit. What is there already is not sent again, so the same call goes on after a failure.

    Args:
        folder: The finished folder.
        name: Id on the hub, `owner/name`.
        public: Make it public.
        kind: `model` or `dataset`.
        ignore: Patterns of files that stay here.
        made_by: The command, for the message of the commit.

    Returns:
        Its address.

    Raises:
        InputError: The hub refuses or cannot be reached, or `name` exists with another visibility.
    """
    api = HfApi()
    try:
        heed_network()
        url = api.create_repo(name, repo_type=kind, private=not public, exist_ok=True)
        private = bool(api.repo_info(name, repo_type=kind).private)
        if private == public:
            what = f"private: give another id, or make the {kind} public there"
            if not private:
                what = f"public: give another id, or --public to publish the {kind}"
            raise InputError(f"push_to_hub: {name} exists and is {what}")
        api.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=folder,
            ignore_patterns=list(ignore),
            commit_message=f"Written by prompter {made_by}",
        )
    except InputError:
        raise
    except Exception as error:  # the client passes on the errors of its HTTP library, which has changed between versions
        response = getattr(error, "response", None)
        reason = f"HTTP {response.status_code}" if response is not None else type(error).__name__
        raise InputError(
            f"push_to_hub: {name} was not uploaded ({reason}); the {kind} is complete in {folder}. Check the id and the "
            "network, log in with: hf auth login, then give the same command again"
        ) from error
    return str(url)


def upload_dataset(folder: Path, name: str, public: bool, made_by: str) -> str:
    """Upload a dataset without the state of its making, which lies in hidden places. See `upload`."""
    return upload(folder, name, public, "dataset", [".*"], made_by)


def upload_model(folder: Path, name: str, public: bool, made_by: str) -> str:
    """Upload a student or a prompter; its card then says how to open it by its id. See `upload`."""
    card = folder / "README.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        write_text(card, USE.sub(lambda found: _by_id(found, name), text))
    return upload(folder, name, public, "model", OF_THE_RUN, made_by)


def _by_id(found: re.Match[str], name: str) -> str:
    if found[1].startswith(("pipeline", "load_teacher")):
        return f'{found[1]}"{name}"{found[3] or ""}'
    return f'Prompter.from_pretrained("{name}"{found[3] or ""}' if found[2] else found[0]


def is_hub_id(name: str | Path) -> bool:
    """Return whether a name can only mean `owner/name` of the hub: nothing local has it, nor is its first part a folder."""
    text = str(name)
    return (
        isinstance(name, str)
        and text.count("/") == 1
        and HUB_ID.fullmatch(text) is not None
        and not Path(text).exists()
        and not Path(text.split("/")[0]).is_dir()
    )


@functools.cache
def holds_prompter(name: str) -> bool:
    """Return whether an id of the hub is a model that holds a prompter; False where it cannot be asked."""
    heed_network()
    try:
        hf_hub_download(name, MANIFEST)
    except Exception:  # it is no such model, or the hub cannot be reached: whoever opens it next says so
        return False
    return True


@functools.cache
def fetch_prompter(name: str, revision: str | None = None) -> Path:
    """Fetch a prompter from the hub, or find it in the hub's cache, and return its folder.

    Args:
        name: Id on the hub.
        revision: Branch, tag or commit; the newest if None.

    Raises:
        InputError: There is no such model, or it can neither be reached nor found in the cache.
    """
    heed_network()
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FETCHED)))
    except Exception as error:  # as above
        raise explain(error, name, "prompter") from error
    if not any((place / MANIFEST).is_file() for place in (folder, folder / "prompter")):
        raise InputError(f"prompter '{name}' has no {MANIFEST} on the hub: give the id of a prompter")
    return folder


def forget() -> None:
    """Ask the hub again about what was fetched in this process."""
    holds_prompter.cache_clear()
    fetch_prompter.cache_clear()
