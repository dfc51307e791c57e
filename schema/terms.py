"""The terms under which a configuration is served: settings and limits that come from the installation.

They travel in every update (schema/snapshot.py) but do not belong to the control plane's versions. Both sides hash them the
same way, so that a runtime notices when what it holds was given under other terms.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def terms_hash(settings: Mapping[str, Any], limits: Mapping[str, Any]) -> str:
    """SHA-256 in hex over the `settings` and `limits` of an update, given as JSON values.

    Without the credential key, which is a control plane's own and never changes.
    """
    common = {name: value for name, value in settings.items() if name != "credential_key"}
    canonical = json.dumps({"settings": common, "limits": limits}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
