"""Files of a model repository on the Hugging Face hub: from this machine, else downloaded.

The cache is the hub's own (HF_HOME), shared with every other tool. What is there is used without
asking the network; without a network the answer comes at once, not after the hub client's retries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from headstart.errors import BackboneError, MissingExtra

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
_PROBE_SECONDS = 8.0


def snapshot(
    name: str,
    repository: str,
    patterns: Sequence[str],
    *,
    complete: Callable[[Path], bool],
    offline: bool,
    instead: str,
) -> Path:
    """The folder that holds a repository's files.

    Args:
        name: the backbone's name, for messages, e.g. "hf:org/model".
        repository: "org/model", with "@revision" where a certain one is wanted.
        patterns: which files are wanted, e.g. "*.json".
        complete: whether a folder that is on this machine already holds enough.
        offline: never try the network.
        instead: what to use where it cannot be had, e.g. "use --backbone starter:lite0, ...".

    Raises:
        BackboneError: there is no such repository, or it is not here and cannot be fetched.
        MissingExtra: huggingface_hub is not installed.
    """
    if not _ID.fullmatch(repository):
        raise BackboneError(
            f"{name} is neither a folder on this machine nor a name of the form org/model.",
            fix="check the spelling; a folder is written with its path, e.g. ./models/mine",
        )
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "train") from error
    repo_id, _, revision = repository.partition("@")
    wanted = list(patterns)
    found = _on_disk(repo_id, revision or None, wanted)
    if found is not None and complete(found):
        return found
    if offline:
        raise BackboneError(
            f"{name} is not on this machine, and offline nothing is downloaded.",
            fix=f"run once without --offline where there is a network, or {instead}",
        )
    _probe(name, repo_id, revision or None, instead)
    try:
        return Path(
            hub.snapshot_download(repo_id, revision=revision or None, allow_patterns=wanted)
        )
    except Exception as error:
        raise absent(name, instead, error) from error


def absent(name: str, instead: str, error: Exception) -> BackboneError:
    """The error for weights that are not here and could not be fetched.

    Args:
        name: the backbone's name.
        instead: what to use in its place.
        error: what the download ended with.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return BackboneError(
        f"{name} is not on this machine and could not be downloaded ({lines[0][:200]}).",
        fix=f"check the network (HF_ENDPOINT and HTTPS_PROXY are respected), or {instead}",
    )


def _on_disk(repo_id: str, revision: str | None, patterns: list[str]) -> Path | None:
    import huggingface_hub as hub

    try:
        return Path(
            hub.snapshot_download(
                repo_id, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        )
    except (OSError, ValueError):
        return None


def _probe(name: str, repo_id: str, revision: str | None, instead: str) -> None:
    """One request without retries: a dead network shows in a moment, a wrong name as what it is.

    Raises:
        BackboneError: with the reason.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    address = hub.hf_hub_url(repo_id, "config.json", revision=revision)
    try:
        hub.get_hf_file_metadata(address, timeout=_PROBE_SECONDS)
    except GatedRepoError as error:
        raise BackboneError(
            f"{name} is only given to people who accepted its terms.",
            fix=f"accept them on the model's page and set HF_TOKEN, or {instead}",
        ) from error
    except RepositoryNotFoundError as error:
        raise BackboneError(
            f"The hub has no model called {repo_id!r} (or it is private).",
            fix=f"check the spelling, or set HF_TOKEN for a private one, or {instead}",
        ) from error
    except EntryNotFoundError as error:
        raise BackboneError(
            f"{name} has no config.json: it cannot be read as a model.", fix=instead
        ) from error
    except Exception as error:
        raise absent(name, instead, error) from error


def card_licence(folder: Path) -> str:
    """The licence in the head of a folder's model card (README.md), or "unknown".

    Args:
        folder: of the model.
    """
    card = folder / "README.md"
    if not card.exists():
        return "unknown"
    head = re.match(r"---\s*\n(.*?)\n---", card.read_text("utf-8", "replace"), re.DOTALL)
    found = re.search(r"^license:\s*([\w.+-]+)\s*$", head[1], re.MULTILINE) if head else None
    return found[1] if found else "unknown"
