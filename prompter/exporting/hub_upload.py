"""Uploading a finished data set to the Hugging Face hub: private unless asked otherwise.

The token is the one that `hf auth login` stored; it is never read, printed or written here.
"""

from pathlib import Path

from huggingface_hub import HfApi

from distill.common.errors import InputError
from prompter.exporting.folder import WORK


def upload(folder: Path, name: str, public: bool) -> str:
    """Upload a data set.

    Args:
        folder: The finished data set.
        name: Its id on the hub, `owner/name`.
        public: Make it public.

    Returns:
        Where it is.

    Raises:
        InputError: The hub refuses or cannot be reached, or `name` is public already and `public` is off.
    """
    api = HfApi()
    try:
        url = api.create_repo(name, repo_type="dataset", private=not public, exist_ok=True)
        if not public and not api.repo_info(name, repo_type="dataset").private:
            raise InputError(f"push_to_hub: {name} exists and is public; give another id, or --public to publish the data set")
        api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[f"{WORK}/**", ".*"],
            commit_message="Data set written by prompter export",
        )
    except InputError:
        raise
    except Exception as error:  # the hub's client lets the errors of its HTTP library through, and has changed that library
        response = getattr(error, "response", None)
        reason = f"HTTP {response.status_code}" if response is not None else type(error).__name__
        raise InputError(
            f"push_to_hub: {name} was not uploaded ({reason}); the data set is complete in {folder}. Check the id and the "
            "network, log in with: hf auth login, then give the same command again"
        ) from error
    return str(url)
