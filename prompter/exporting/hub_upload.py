"""Upload a finished dataset to the Hugging Face hub. Uploads are private unless the user asks for a public one.

`huggingface_hub` finds the token that `hf auth login` stored. This module never reads, prints or writes it.
"""

from pathlib import Path

from huggingface_hub import HfApi

from distill.checkpoints.network import heed_network
from distill.common.errors import InputError
from prompter.exporting.folder import WORK_FOLDER


def upload_dataset(folder: Path, name: str, public: bool) -> str:
    """Upload a dataset.

    Args:
        folder: The finished dataset.
        name: Id on the hub, `owner/name`.
        public: Make the dataset public.

    Returns:
        The address of the dataset.

    Raises:
        InputError: The hub refuses or cannot be reached, or `name` is already public although `public` is off.
    """
    heed_network()
    api = HfApi()
    try:
        url = api.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        if not public and not api.repo_info(name, repo_type="dataset").private:
            raise InputError(f"push_to_hub: {name} exists and is public: give another id, or --public to publish the dataset")
        api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[f"{WORK_FOLDER}/**", ".*"],
            commit_message="Dataset written by prompter export",
        )
    except InputError:
        raise
    except Exception as error:  # the client passes on the errors of its HTTP library, which has changed between versions
        response = getattr(error, "response", None)
        reason = f"HTTP {response.status_code}" if response is not None else type(error).__name__
        raise InputError(
            f"push_to_hub: {name} was not uploaded ({reason}); the dataset is complete in {folder}. Check the id and the "
            "network, log in with: hf auth login, then give the same command again"
        ) from error
    return str(url)
