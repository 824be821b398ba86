"""`paygate doctor`: what could hurt this gateway, and the mend."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from paygate.cli.command import AsJson, Data, print_json, print_table, run_async
from paygate.settings import Looked, SettingsError, line, look

if TYPE_CHECKING:
    from paygate.doctor.finding import Finding

KEPT_IN: Final = "endpoint-{reference}.toml"
"""The file of a new endpoint's signing secret."""


def doctor(
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Register the provider's endpoint for our events, or mend it."),
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Look at settings, database, keys, certificate, backups, provider and worker.

    Says of each what is wrong and how to mend it; exit status 1 if anything
    is wrong. It looks on when the database or the provider is away, changes
    nothing without --fix, and shows no secret.
    """

    async def go() -> None:
        looked = look(os.environ, data=data)
        if fix:
            await _fix(looked)
        findings = await _findings(looked)
        _show(findings, as_json=as_json)
        if any(finding.verdict == "wrong" for finding in findings):
            raise typer.Exit(1)

    run_async(go())


async def _findings(looked: Looked) -> "list[Finding]":
    from paygate.doctor.checks import diagnose
    from paygate.doctor.examine import examine
    from paygate.telemetry import log

    log.configure()
    return diagnose(await examine(looked))


def _show(findings: "list[Finding]", *, as_json: bool) -> None:
    counts = dict.fromkeys(("wrong", "warning", "ok"), 0)
    for finding in findings:
        counts[finding.verdict] += 1
    if as_json:
        print_json({"object": "doctor_report", **counts, "findings": findings})
        return
    rows = [(f.verdict, f.check, f.message, f.mend or None) for f in findings]
    print_table(("", "check", "finding", "mend"), rows)
    typer.echo(f"{counts['wrong']} wrong, {counts['warning']} warnings, {counts['ok']} ok")


async def _fix(looked: Looked) -> None:
    """Register the endpoint if there is none, or bring the one that there is to our events.

    The signing secret of a new one goes into a file of its own, for its owner's eyes: it is shown
    once, and a terminal is no place for it.
    """
    from paygate.cli.init import write_new
    from paygate.doctor.examine import endpoints_of
    from paygate.doctor.patient import Away
    from paygate.wiring.provider import open_webhook_endpoints

    settings, found = looked.settings, await endpoints_of(looked)
    if isinstance(found, Away) or len(found) > 1:
        return  # which the check says
    async with open_webhook_endpoints(settings) as endpoints:
        if found:
            (endpoint,) = found
            if endpoint.faults:
                await endpoints.change(endpoint.provider_reference, endpoint.url)
                _say(f"{endpoint.provider_reference} is updated")
            return
        folder = Path.cwd()
        if not os.access(folder, os.W_OK):
            raise SettingsError(f"cannot write the new endpoint's secret in {folder}: go elsewhere")
        url = f"{settings.require('public_url')}/webhooks"
        made = await endpoints.make(url)
        reference = made.endpoint.provider_reference
        path = folder / KEPT_IN.format(reference=reference)
        write_new(path, line("stripe_webhook_secrets", made.secret.reveal()))
        _say(f"registered {url} ({reference})")
        _say(f"its signing secret is in {path} (mode 0600): move its line to paygate.toml")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
