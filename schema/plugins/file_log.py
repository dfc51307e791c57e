"""file-log: writes a line per request to a file."""

import re
import unicodedata
from typing import Annotated, ClassVar, Final

from schema.base import EVERY_PROTOCOL, NO_GROUP, PluginConfig, PluginSpec
from schema.marks import GatewayRule
from schema.plugin_types import CustomFields
from schema.types import Rule, Text

_OF_THE_HOST: Final = frozenset({"dev", "proc", "sys"})
_MOST_PARTS: Final = 8
_LONGEST_PART_BYTES: Final = 200
_FILE_NAME: Final = re.compile(r"[^\s*&%`\\][^*&%`\\]*[^\s*&%`\\]")


def _path_fault(path: str) -> str | None:
    return None if _FILE_NAME.fullmatch(path) else "not a valid filename"


def _place_fault(path: str) -> str | None:
    """What is wrong with a path on a gateway that tenants share; see the engine's `FileName`."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/") and parts and parts[0] in _OF_THE_HOST:
        return "devices of the gateway's host are not available: name a file"
    if ".." in parts:
        return "must not lead out of the directory of the control plane"
    if not parts or path.endswith("/"):
        return "names no file"
    if len(parts) > _MOST_PARTS or any(len(part.encode()) > _LONGEST_PART_BYTES for part in parts):
        return "the path is too long or too deep"
    return "must not contain control characters" if any(unicodedata.category(char) == "Cc" for char in path) else None


class FileLog(PluginConfig):
    """Writes records to a file. Source: the behaviour of Kong Gateway's plugin of the same name."""

    spec: ClassVar[PluginSpec] = PluginSpec(
        name="file-log", priority=9, since="0.1.0", streams=True, allowed_protocols=EVERY_PROTOCOL, scopes=NO_GROUP
    )

    path: Annotated[Text, Rule(_path_fault), GatewayRule(_place_fault)]
    """The file. On our own gateways its root is a directory of the control plane's own."""
    reopen: bool = False
    """Whether it is opened anew for each record, for those who rotate it."""
    custom_fields_by_lua: CustomFields | None = None
    """Further fields of the record."""
