"""JSON whose shape only the declarations know."""

import json
from typing import Final, NoReturn

from core.crud.errors import InvalidRequest

_SURROGATE: Final = b"\\ud"


def parse(raw: bytes) -> object:
    """Any JSON value. Of repeated members the last one counts.

    Raises: InvalidRequest: not JSON (RFC 8259; `NaN` and `Infinity` are not), not UTF-8, nested beyond reason, or with
    halves of surrogate pairs, which no UTF-8 answer could quote.
    """
    if not raw.strip():
        raise InvalidRequest("the request body is empty: a JSON object is expected")
    try:
        value: object = json.loads(raw.decode(), parse_constant=_no_constant)
        if _SURROGATE in raw.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise InvalidRequest("the request body is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise InvalidRequest(f"the request body is not valid JSON: {error.msg} at {where}") from None
    except ValueError:
        raise InvalidRequest("the request body is not valid JSON: a number is out of range") from None
    except RecursionError:
        raise InvalidRequest("the request body is not valid JSON: it is nested too deeply") from None
    return value


def _no_constant(_name: str) -> NoReturn:
    raise ValueError
