"""How alerts and checkpoints leave."""

from pathlib import Path

from paygate.alert_channels import AppriseChannel
from paygate.checkpoints import CheckpointAddress, CheckpointFile
from paygate.crypto.secret import Secret
from paygate.egress.client import Egress
from paygate.flows.context import CheckpointPlace
from paygate.settings import Settings, SettingsError


def check_alert_channels(settings: Settings) -> None:
    """Raises SettingsError, which names the channel and not its URL, when alerts cannot leave by
    one.
    """
    for channel in alert_channels(settings):
        try:
            channel.check()
        except ValueError as error:
            raise SettingsError(f"PAYGATE_ALERT_URLS: {error}") from None


def alert_channels(settings: Settings) -> tuple[AppriseChannel, ...]:
    numbered = enumerate(settings.alert_urls, start=1)
    return tuple(AppriseChannel(number, Secret(url)) for number, url in numbered)


def checkpoints_of(settings: Settings, egress: Egress) -> CheckpointPlace | None:
    place = settings.audit_checkpoints
    if place is None:
        return None
    return CheckpointFile(place) if isinstance(place, Path) else CheckpointAddress(place, egress)
