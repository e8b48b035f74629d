"""A challenger: a model that forecasts beside the champion's group, in a group of its own.

It begins with the champion's rows as of their last commits, taken over as after a promotion, and
with the first record that they have not seen. Its topics are its own, so the champion's group is
read and never changed:

    topic         the champion's             the challenger's
    input         topics.input               the same
    forecasts     topics.output              GROUP-forecasts
    dead letters  topics.dead_letters        GROUP-dead-letters
    changelog     CHAMPION-changelog         GROUP-changelog
"""

from __future__ import annotations

from eddycast.service.broker.port import Broker
from eddycast.service.bundle import Manifest
from eddycast.service.errors import SettingsError
from eddycast.service.migration.export import take_export
from eddycast.service.migration.restore_into_group import Imported, ImportOptions, import_rows
from eddycast.service.settings.registry import RegistrySettings
from eddycast.service.settings.settings import Settings

#: In place of `engine.forecast_every`: more observations than any stream has.
NEVER = 1 << 31


def challenger_settings(champion: Settings, group: str, multi_step: bool = False) -> Settings:
    """Settings of a challenger beside the group that `champion` describes, but for its model;
    without `multi_step` it forecasts one step alone. Raises SettingsError unless group and topics
    are its own."""
    if group == champion.kafka.group:
        raise SettingsError(
            f"{group} is the champion's group", "name another one with --group, as NAME-b"
        )
    topics = champion.topics.model_copy(
        update={
            "output": f"{group}-forecasts",
            "dead_letters": f"{group}-dead-letters",
            "changelog": f"{group}-changelog",
        }
    )
    used = champion.topics
    taken = {used.input, used.output, used.dead_letters, champion.changelog} & {
        topics.output,
        topics.dead_letters,
        topics.changelog,
    }
    if taken:
        raise SettingsError(
            f"{', '.join(sorted(taken))} would be a topic of both", "name another group"
        )
    engine = {} if multi_step else {"forecast_every": NEVER}
    return champion.model_copy(
        update={
            "registry": RegistrySettings(),
            "kafka": champion.kafka.model_copy(update={"group": group}),
            "topics": topics,
            "engine": champion.engine.model_copy(update=engine),
        }
    )


def take_champions_rows(
    broker: Broker, champion: Settings, own: Settings, manifest: Manifest
) -> Imported | None:
    """Copy the rows of the champion's group, which may be running, into the group of `own`, as the
    model of `manifest` takes them over; None if that group has begun before and keeps its rows.

    Raises StateError for rows that the model cannot continue, and as `take_export` and
    `import_rows`.
    """
    with broker.admin() as admin:
        if admin.group_offsets(own.kafka.group, own.topics.input):
            return None
    rows = take_export(broker, champion, manifest)
    return import_rows(broker, own, manifest, rows, ImportOptions(beside=True))
