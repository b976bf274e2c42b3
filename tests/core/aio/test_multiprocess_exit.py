"""Programs that end without closing their multiprocess objects."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KIT = str(Path(__file__).parents[2] / "kit")
BEGIN = """
import asyncio, os, sys
import corewise, potentials

executor, mark = sys.argv[1:]
kept = []

async def begun():
    while not (os.path.exists(mark) and open(mark).read()):
        await asyncio.sleep(0.005)

def many(factory, *args):
    kept.append(corewise.multiprocess(factory, 1, args, executor=executor))
    return kept[-1]
"""
PROGRAMS = {
    "while a lazy start whose caller was cancelled goes on": """
async def main():
    call = asyncio.ensure_future(many(potentials.hang, mark).times(1))
    await begun()
    call.cancel()
""",
    "while a start goes on whose wrapper was dropped": """
async def main():
    call = asyncio.ensure_future(many(potentials.hang, mark).times(1))
    await begun()
    call.cancel()
    kept.clear()
""",
    "while a call runs whose caller was cancelled": """
async def main():
    call = asyncio.ensure_future(many(potentials.Potential).wait_for(mark, mark + "never"))
    await begun()
    call.cancel()
""",
    "while a call runs whose wrapper was dropped": """
async def main():
    call = asyncio.ensure_future(many(potentials.Potential).wait_for(mark, mark + "never"))
    await begun()
    call.cancel()
    kept.clear()
""",
    "while closing waits in vain": """
async def main():
    call = asyncio.ensure_future(many(potentials.Potential).wait_for(mark, mark + "never"))
    await begun()
    closing = asyncio.ensure_future(kept[0].aclose())
    await asyncio.sleep(0)
    closing.cancel()
    call.cancel()
""",
    "with workers that have nothing to do": """
async def main():
    assert await many(potentials.Potential).times(1) == 1
    open(mark, "w").write("0")
""",
}
END = """
if __name__ == "__main__":
    corewise.configure(num_cpus=2)
    asyncio.run(main())
"""


def run(program, executor, mark):
    """Run a program to its end; its output goes to files, for a worker that it left would hold a pipe open."""
    file = mark.with_name("program.py")
    file.write_text(BEGIN + program + END)
    environment = {**os.environ, "PYTHONPATH": KIT, "COREWISE_NO_CONFIG": "1"}
    with mark.with_name("output").open("w+") as output:
        command = [sys.executable, "-W", "ignore", str(file), executor, str(mark)]
        code = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=60, check=False
        ).returncode
        output.seek(0)
        return code, output.read()


@pytest.mark.parametrize("executor", ["threads", "spawn"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_that_closes_nothing_ends_and_leaves_nothing(program, executor, tmp_path):
    mark = tmp_path / "mark"
    assert run(program, executor, mark) == (0, "")
    worker = int(mark.read_text())
    assert not worker or not Path(f"/proc/{worker}").exists()
