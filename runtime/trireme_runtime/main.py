"""``python3 runtime.pyz COMMAND...``: run the engine's command as this pod's part of its group."""

from __future__ import annotations

import os
import sys
import traceback

from trireme_runtime import environment, termination
from trireme_runtime.environment import ContractError
from trireme_runtime.launcher import Launcher, block_signals
from trireme_runtime.log import say
from trireme_runtime.termination import Cause

_BROKEN_CONTRACT = 2


def main() -> int:
    """The launcher's exit code: 0 after a drain, 1 when the engine ended, 2 when the contract is broken."""
    block_signals()
    try:
        launcher = Launcher(sys.argv[1:], environment.parse(os.environ))
    except ContractError as error:
        say("The environment breaks the contract", error=error)
        path = os.environ.get("TRIREME_TERMINATION_LOG", environment.TERMINATION_LOG)
        termination.write(path, Cause("ContractBroken", str(error), exit_code=_BROKEN_CONTRACT))
        return _BROKEN_CONTRACT
    try:
        return launcher.run()
    except Exception as error:  # noqa: BLE001 - the last place where a cause can be kept
        traceback.print_exc()
        return launcher.end_with(Cause("LauncherFailed", f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    sys.exit(main())
