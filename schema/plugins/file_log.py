"""file-log: writes a line per request to a file."""

import re
from typing import Annotated, ClassVar, Final

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.plugin_types import CustomFields
from schema.types import Rule, Text

_FILE_NAME: Final = re.compile(r"[^\s*&%`\\][^*&%`\\]*[^\s*&%`\\]")


def _path_fault(path: str) -> str | None:
    return None if _FILE_NAME.fullmatch(path) else "not a valid filename"


class FileLog(PluginConfig):
    """Writes records to a file. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="file-log", priority=9, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    path: Annotated[Text, Rule(_path_fault)]
    """The file."""
    reopen: bool = False
    """Whether it is opened anew for each record, for those who rotate it."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
