"""Keys in what other libraries log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from smm_async._secret import Secret, complaint_about_key

__all__ = ["install_log_redaction"]


def install_log_redaction(*keys: str) -> Callable[[], None]:
    """Black out ``keys`` in the messages of all loggers of this process; return a function that ends it.

    A client logs no key itself. But httpcore logs, at DEBUG, the headers of every answer, and there are servers that
    repeat the key in ``Location`` or ``Set-Cookie``. Each record is then formatted once more than before. Tracebacks
    and ``extra`` are left as they are.

    Raises:
        ValueError: what cannot be a key.
    """
    complaints = list(filter(None, map(complaint_about_key, keys)))
    secrets = [] if complaints else [Secret(key) for key in keys]
    # As in the client: no frame that raises holds it.
    del keys
    if complaints:
        raise ValueError(complaints[0])
    make_record = logging.getLogRecordFactory()

    def make_redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        try:
            text = shown = record.getMessage()
        except Exception:  # noqa: BLE001  arguments that do not fit, of which the handler complains
            return record
        for secret in secrets:
            shown = secret.black_out(shown)
        if shown != text:
            record.msg, record.args = shown, ()
        return record

    logging.setLogRecordFactory(make_redacted_record)

    def uninstall() -> None:
        secrets.clear()
        if logging.getLogRecordFactory() is make_redacted_record:
            logging.setLogRecordFactory(make_record)

    return uninstall
