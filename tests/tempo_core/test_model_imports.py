"""The first page may ask about memory while the model is being loaded: each needs transformers, one imports it."""

import subprocess
import sys

import pytest

TOGETHER = """
import threading

from app.models.service import machine
from tempo_core.model_imports import import_models

barrier, problems = threading.Barrier(2), []

def run(work):
    barrier.wait()
    try:
        work()
    except BaseException as error:
        problems.append(repr(error))

def load():
    import_models()
    from tempo_core.engine import load_engine

threads = [threading.Thread(target=run, args=(work,)) for work in (load, machine)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(problems)
"""


@pytest.mark.slow
def test_two_threads_that_need_models_at_once_both_get_them() -> None:
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]", result.stdout


def test_nothing_else_in_the_app_imports_transformers_while_a_model_may_be_loading() -> None:
    """What the Models page needs goes through the lock, in a program that has not imported torch yet."""
    program = (
        "import sys; import app.models.service as service; assert 'torch' not in sys.modules; "
        "from tempo_core import model_imports; import threading; "
        "lock = model_imports._LOCK; lock.acquire(); "
        "thread = threading.Thread(target=service.machine, daemon=True); thread.start(); "
        "thread.join(0.2); assert 'torch' not in sys.modules, 'it did not wait'; lock.release(); thread.join(); "
        "assert 'transformers' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_library_speaks_to_the_terminal_when_it_is_imported() -> None:
    program = (
        "import logging, tempo_core.engine; "
        "logging.getLogger('bitsandbytes.backends.cpu.ops').warning('install kernels')"  # as where it has bfloat16
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == ""
