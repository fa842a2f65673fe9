"""Tools of the virtual environment, and what is used from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path


def run_tool(name: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the virtual environment."""
    command = [str(Path(sys.executable).parent / name), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def unpinned(text: str) -> list[str]:
    """List what is used from elsewhere and not pinned to a commit, with its version beside it."""
    used = re.findall(r"^\s*(?:- )?uses: (.+)$", text, re.MULTILINE)
    pinned = re.compile(r"\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    return [each for each in used if not pinned.fullmatch(each)]
