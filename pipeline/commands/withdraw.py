"""`voicemill withdraw`: what a run holds of voices whose consent was withdrawn, listed or removed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from pipeline.command_options import RunUri, TakeOver

ConsentIds = Annotated[
    list[str] | None, typer.Option("--consent-id", metavar="ID", help="Withdrawn consent id; repeatable.")
]
Revoked = Annotated[
    str | None,
    typer.Option("--revoked", metavar="LIST", help="File of withdrawn ids, one per line; a path or URI."),
]
Delete = Annotated[bool, typer.Option("--delete", help="Remove it instead of listing it.")]


def withdraw(
    run_uri: RunUri,
    consent_id: ConsentIds = None,
    revoked: Revoked = None,
    delete: Delete = False,
    take_over: TakeOver = False,
) -> None:
    """List, or with --delete remove, what a run and its prompt cache hold of withdrawn voices.

    Rows fail with consent_revoked and lose audio, codes and embeddings. No driver may be at work on the run.

    Example: `voicemill withdraw runs/demo --consent-id c-17 --delete`
    """
    from pipeline.lease import Lease
    from pipeline.prompt_cache import caches_of
    from pipeline.storage import open_store
    from pipeline.views import say
    from pipeline.withdrawal import find_withdrawn, remove_withdrawn

    console = Console()
    ids = withdrawn_ids(consent_id or [], revoked)
    store, caches = open_store(run_uri), caches_of(run_uri)
    if not delete:
        found = find_withdrawn(store, caches, ids)
    else:
        # a driver that only sleeps would go on with the commits it knows
        with Lease(store, take_over=take_over, say=lambda line: say(console, line), presume_dead=False):
            found = remove_withdrawn(store, caches, ids)
            _summarise_again(store)
    for key, rows in found.shards.items():
        say(console, f"{key}: {rows} rows")
    for key in [*found.files, *(f"{cache.uri}/{key}" for cache, key in found.voices)]:
        say(console, key)
    what = f"{sum(found.shards.values())} rows in {len(found.shards)} objects, {len(found.files)} files and "
    what += f"{len(found.voices)} cached voices"
    if not (found.shards or found.files or found.voices):
        say(console, "nothing is held of these consent ids: removed before, or no row of this run names them")
    else:
        say(console, f"{what} {'removed' if delete else 'to remove: add --delete'}")
    if delete:
        say(console, "not touched: exports, other runs, backups, and what SECURITY.md names besides")
    if found.shared:
        say(console, f"{found.shared} voices stay in the cache: rows under other consents use them too")
    if found.unspoken:
        say(
            console,
            f"{found.unspoken} rows are not spoken yet: do not run them without consent.revoked",
        )


def withdrawn_ids(given: list[str], list_uri: str | None) -> frozenset[str]:
    """As `same_id` writes them. Raises ConfigError for none, for what is no id, for an unreadable list."""
    from pipeline.consent import ConsentRules, load_consent, same_id
    from pipeline.errors import ConfigError

    for each in given:
        if (fault := ConsentRules(required=True).fault(each)) is not None:
            raise ConfigError(f"--consent-id {each!r}: {fault.message}")
    ids = frozenset(map(same_id, given)) | load_consent(False, list_uri).revoked
    if not ids:
        raise ConfigError("no withdrawn ids given; name them with --consent-id, or a list with --revoked")
    return ids


def _summarise_again(store: Any) -> None:
    """The summary of a run that is whole, without the rows that have gone."""
    if store.exists("_SUCCESS"):
        from pipeline.steps import summarise_run  # Ray: seconds to import

        summary = summarise_run(store.uri)
        store.put("summary.json", json.dumps(summary, indent=2, sort_keys=True).encode())
