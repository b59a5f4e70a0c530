"""What happens before the first line of PrefRoute runs: `.ci/setup`.

The set-up runs in a folder of its own with a stand-in for Python: no package is installed, and every mishap can be had.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import pytest

Done = subprocess.CompletedProcess[str]
ROOT = Path(__file__).resolve().parent.parent
# All that the set-up may find on its PATH: no real Python, and no apt-get that would change this machine.
TOOLS = "awk bash cat chmod cp cut df dirname env flock grep id mkdir mv rm setpriv sha256sum sleep tail touch"
# Answers what `.ci/setup` asks of a Python, keeps a list of what it was asked, and waits where it is told to.
STAND_IN = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >>"$HERE/calls"
if [[ -n ${WAIT_AT:-} && "$*" == "$WAIT_AT"* ]]; then
  touch "$HERE/waiting"
  for _ in {1..3000}; do [[ -e $HERE/go ]] && break || sleep 0.02; done
fi
case "$*" in
  "-c import sys"*) echo "${VERSION:-3.11.9} $0" ;;
  "-c import venv"*) [[ ! -e $HERE/no-venv-module ]] ;;
  "-m venv "*)
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    printf '#!%s/bin/python\n' "$3" >"$3/bin/pip" ;;
  "-m pip --version") [[ -e ${0%/*}/pip ]] ;;
  "-m pip install "*)
    [[ -z ${PIP_SAYS:-} ]] || { printf "$PIP_SAYS\n"; exit 1; } ;;
esac
"""


@dataclass
class Checkout:
    """A folder with what the set-up needs, and the means to run it."""

    folder: Path
    bin: Path

    def start(self, kind: str = "run", before: tuple[str, ...] = (), **variables: str) -> "subprocess.Popen[str]":
        environment = {"PATH": str(self.bin), "HERE": str(self.folder), "HOME": str(self.folder), **variables}
        command = [*before, "bash", ".ci/setup", kind]
        return subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=PIPE, stderr=PIPE, text=True, start_new_session=True
        )

    def run(self, kind: str = "run", before: tuple[str, ...] = (), **variables: str) -> Done:
        with self.start(kind, before, **variables) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def calls(self, beginning: str) -> int:
        return sum(line.startswith(beginning) for line in (self.folder / "calls").read_text().splitlines())

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(script)
        path.chmod(0o755)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    # Not in tmp_path, whose parents only its owner may enter: one test becomes somebody else.
    folder = Path(tempfile.mkdtemp(prefix="prefroute-setup-")).resolve()
    folder.chmod(0o755)
    for name in (".ci/setup", "requirements.txt", "tests/requirements.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "bin").mkdir()
    for tool in TOOLS.split():
        (folder / "bin" / tool).symlink_to(shutil.which(tool) or f"/usr/bin/{tool}")
    made = Checkout(folder, folder / "bin")
    made.program("python3", STAND_IN)
    yield made
    shutil.rmtree(folder, ignore_errors=True)


def wait_for(path: Path) -> None:
    give_up = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < give_up, f"{path.name} never came"
        time.sleep(0.01)


def one_line(done: Done) -> str:
    """The one line of a failure."""
    assert done.returncode == 1
    assert done.stderr.startswith("set-up: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_python_that_is_too_old_is_named_and_nothing_is_made(checkout: Checkout) -> None:
    assert "found python3, which is 3.9.2. Install one" in one_line(checkout.run(VERSION="3.9.2"))
    assert not (checkout.folder / ".venv").exists()


def test_without_any_python_it_says_how_to_get_one(checkout: Checkout) -> None:
    (checkout.bin / "python3").unlink()
    assert "found none. Install one (apt-get install python3.11" in one_line(checkout.run("test"))


def test_a_newer_python_beside_an_old_python3_is_taken_and_the_one_named_wins_over_both(checkout: Checkout) -> None:
    checkout.program("python3.12", STAND_IN.replace(":-3.11.9", ":-3.12.1"))
    checkout.program("python3", STAND_IN.replace(":-3.11.9", ":-3.8.0"))
    checkout.program("mine", STAND_IN.replace(":-3.11.9", ":-3.13.0"))
    assert "making .venv with Python 3.12.1" in checkout.run().stdout
    assert "making .venv with Python 3.13.0" in checkout.run(PYTHON=str(checkout.bin / "mine")).stdout


def test_a_folder_that_cannot_be_written_is_named(checkout: Checkout) -> None:
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    checkout.folder.chmod(0o555)
    assert f"{checkout.folder}/. cannot be written by" in one_line(checkout.run(before=become))
    checkout.folder.chmod(0o755)


def test_a_disk_without_room_is_told_before_anything_is_downloaded(checkout: Checkout) -> None:
    checkout.program("df", "#!/usr/bin/env bash\nprintf 'Filesystem MB Used Available\\ndisk 900 800 100\\n'\n")
    assert "only 100 MB are free" in one_line(checkout.run())
    assert not (checkout.folder / ".venv").exists()


def test_a_second_run_asks_the_python_for_its_version_and_does_nothing_else(checkout: Checkout) -> None:
    assert checkout.run().returncode == 0
    (checkout.folder / "calls").unlink()
    assert checkout.run().stdout == ""
    assert checkout.calls("-c import sys") == checkout.calls("") == 1


def test_what_was_installed_for_the_tests_serves_the_app_but_not_the_other_way_round(checkout: Checkout) -> None:
    for kind, installs in (("run", 1), ("test", 2), ("run", 2), ("test", 2)):
        assert checkout.run(kind).returncode == 0
        assert checkout.calls("-m pip install") == installs


def test_changed_requirements_are_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.run()
    (checkout.folder / "requirements.txt").write_text("numpy\n")
    assert checkout.run().returncode == 0
    assert (checkout.calls("-m pip install"), checkout.calls("-m venv")) == (2, 1)


@pytest.mark.parametrize("moment", ["-m venv", "-m pip install"])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_set_up_is_mended_by_the_next(checkout: Checkout, moment: str, blow: signal.Signals) -> None:
    with checkout.start(WAIT_AT=moment) as interrupted:
        wait_for(checkout.folder / "waiting")
        os.killpg(interrupted.pid, blow)
        _, said = interrupted.communicate(timeout=60)
    assert interrupted.returncode != 0
    assert blow == signal.SIGKILL or "run make run again" in said
    mended = checkout.run()
    assert mended.returncode == 0
    assert "making .venv" in mended.stdout
    assert checkout.run().stdout == ""
    assert not list(checkout.folder.glob(".venv.old*"))


@pytest.mark.parametrize("lost", ["pip", "python"])
def test_an_environment_that_lost_a_part_is_made_anew(checkout: Checkout, lost: str) -> None:
    checkout.run()
    (checkout.folder / ".venv/bin" / lost).unlink()
    assert "making .venv" in checkout.run("test").stdout


def test_a_folder_that_was_moved_gets_a_new_environment(checkout: Checkout) -> None:
    checkout.run()
    moved = Checkout(checkout.folder / "elsewhere", checkout.bin)
    moved.folder.mkdir()
    for name in (".ci", "tests", ".venv", "requirements.txt"):
        (checkout.folder / name).rename(moved.folder / name)
    assert "making .venv" in moved.run().stdout


def test_a_failing_pip_gives_one_line_and_leaves_what_was_there(checkout: Checkout) -> None:
    checkout.run()
    wanted = (checkout.folder / "requirements.txt").read_text()
    (checkout.folder / "requirements.txt").write_text("nosuchthing\n")
    said = one_line(checkout.run(PIP_SAYS="Collecting nosuchthing\nERROR: No matching distribution for nosuchthing"))
    assert "No matching distribution for nosuchthing. Run make run again" in said
    (checkout.folder / "requirements.txt").write_text(wanted)
    assert checkout.run().stdout == ""


@pytest.mark.parametrize(
    ("pip_says", "told"),
    [
        ("WARNING: Retrying: NewConnectionError\nERROR: No matching distribution for torch", "check the network"),
        ("Installing collected packages: torch\nERROR: [Errno 28] No space left on device", "the disk is full"),
    ],
)
def test_a_lost_network_and_a_full_disk_are_told_apart(checkout: Checkout, pip_says: str, told: str) -> None:
    assert told in one_line(checkout.run(PIP_SAYS=pip_says))
    assert checkout.run().returncode == 0
    half_installed = pip_says.startswith("Installing")  # and not to be built upon
    assert checkout.calls("-m venv") == (2 if half_installed else 1)


def test_of_two_set_ups_at_once_the_second_waits_and_installs_nothing(checkout: Checkout) -> None:
    with checkout.start(WAIT_AT="-m pip install") as first:
        wait_for(checkout.folder / "waiting")
        with checkout.start() as second:
            assert second.stdout is not None
            assert "another set-up is at work" in second.stdout.readline()
            (checkout.folder / "go").touch()
            assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    assert checkout.calls("-m pip install") == 1


def test_a_missing_venv_module_is_installed_by_root_and_named_to_others(checkout: Checkout) -> None:
    (checkout.folder / "no-venv-module").touch()
    assert "sudo apt-get install python3.11-venv" in one_line(checkout.run())
    if os.geteuid() == 0:
        checkout.program("apt-get", '#!/usr/bin/env bash\n[[ "$*" != *3.11-venv ]] || rm "$HERE/no-venv-module"\n')
        assert checkout.run().returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages of the system without being asked")
def test_a_browser_that_apt_cannot_install_is_tried_again_by_the_next_run(checkout: Checkout) -> None:
    checkout.program("apt-get", '#!/usr/bin/env bash\n[[ "$*" != *chromium* || -e $HERE/network ]]\n')
    assert "could not install chromium" in checkout.run("test").stderr
    (checkout.folder / "network").touch()
    assert "installing by apt-get: chromium" in checkout.run("test").stdout
    assert checkout.run("test").stdout == ""


def test_the_real_python_makes_an_environment_that_works(checkout: Checkout) -> None:
    for name in ("requirements.txt", "tests/requirements.txt"):
        (checkout.folder / name).write_text("")
    done = checkout.run(PYTHON=sys.executable)
    assert (done.returncode, done.stderr) == (0, "")
    python = checkout.folder / ".venv/bin/python"
    prefix = subprocess.check_output([python, "-c", "import pip, sys; print(sys.prefix)"], text=True)
    assert prefix.strip() == str(checkout.folder / ".venv")
    assert checkout.run(PYTHON=sys.executable).stdout == ""
