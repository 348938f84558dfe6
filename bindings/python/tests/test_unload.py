"""The library is unloaded while it is in use, loaded again, and used again."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tokencache  # noqa: F401, it loads the library

# In a process of its own, which a crash takes down. A copy of the library, because the package keeps its own loaded.
_UNLOADS = """
import ctypes, _ctypes, json, sys
path, database = sys.argv[1:]
document = json.dumps({"version": 1, "l2": {"kind": "sqlite", "path": database}, "logging": {"to": "none"},
                       "encryption": {"algorithm": "none"}, "resilience": {"deadline_ms": 60000, "close_ms": 60000}})
document = document.encode()
DONE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
answered = []
done = DONE(lambda user_data, result: answered.append(1))
size = ctypes.c_size_t

def load():
    library = ctypes.CDLL(path)
    library.tc_open.argtypes = [ctypes.c_uint32, ctypes.c_char_p, size, ctypes.POINTER(ctypes.c_void_p)]
    library.tc_close.argtypes = library.tc_clear.argtypes = [ctypes.c_void_p]
    library.tc_set.argtypes = [ctypes.c_void_p, ctypes.c_char_p, size, ctypes.c_char_p, size, ctypes.c_void_p,
                               ctypes.c_void_p]
    library.tc_get_async.argtypes = [ctypes.c_void_p, ctypes.c_char_p, size, DONE, ctypes.c_void_p]
    return library

handles = []
for round in range(20):
    library = load()
    handle = ctypes.c_void_p()
    assert library.tc_open(1, document, len(document), ctypes.byref(handle)) == 0
    handles.append(handle)
    for used in handles:
        assert library.tc_set(used, b"key", 3, b"token", 5, None, None) == 0
        assert library.tc_clear(used) == 0
        assert library.tc_get_async(used, b"key", 3, done, None) == 0
    _ctypes.dlclose(library._handle)
library = load()
for handle in handles:
    assert library.tc_close(handle) == 0
assert len(answered) == sum(range(1, 21)), len(answered)
print("unloaded and used again")
"""


def loaded() -> Path:
    """The file of the library that this process uses."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return Path(next(line.split()[-1] for line in maps if "libtokencache" in line))


class Unload(unittest.TestCase):
    def test_what_is_unloaded_while_it_works_can_be_loaded_and_used_again(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy.so"
            copy.write_bytes(loaded().read_bytes())
            command = [sys.executable, "-X", "faulthandler", "-c", _UNLOADS, str(copy), str(Path(folder) / "tokens.db")]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
            self.assertEqual((ended.returncode, ended.stdout), (0, "unloaded and used again\n"), ended.stderr)


if __name__ == "__main__":
    unittest.main()
