"""The daemon's process that publishes to object storage: what it needs, as JSON, in, logs out."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

from fullpool import logs
from fullpool.app import clock
from fullpool.config import Publish
from fullpool.errors import Exit, FullpoolError, LakeBusyError
from fullpool.remote.installed import require_installed
from fullpool.store.tree import Tree

log = logs.get_logger()

# The lake comes first.
_NICENESS: Final = 5


def main(order: str) -> int:
    """Publish once; return the exit code. *order* has the root, [publish] and the grace."""
    given = json.loads(order)
    publish = Publish(**given["publish"])
    logs.configure("INFO", journal=clock.variable("JOURNAL_STREAM"))
    os.nice(_NICENESS)
    try:
        require_installed(f"publishing to {publish.to}")
        from fullpool.remote.publishing import publish_lake  # noqa: PLC0415 - needs the extra

        publish_lake(Tree(Path(given["root"])), publish, timedelta(seconds=given["grace_s"]))
    except LakeBusyError as error:
        return int(error.exit_code)  # another process is publishing
    except FullpoolError as error:
        log.error("remote.failed", reason=str(error), hint=error.hint)  # noqa: TRY400 - it is told
        return int(error.exit_code)
    return int(Exit.OK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
