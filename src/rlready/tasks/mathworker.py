"""Run as a program by ``verify.py``: a JSON pair [right answer, answer] a line in, ``true`` or ``false`` out.

It stands alone (no package imports), so that a process costs sympy and nothing else.  The first line in is
empty and answered with ``ready``.  Where the system can, memory is limited, and an alarm without a handler
ends even a power that no Python code can interrupt, should the parent be gone that kills it sooner.
"""

import json
import signal
import sys
from functools import lru_cache

MEMORY, SECONDS = 4 << 30, 30


def main() -> None:
    from math_verify import LatexExtractionConfig, parse, verify

    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # not on this system
        pass
    alarm = getattr(signal, "alarm", lambda seconds: None)

    @lru_cache(256)  # the right answer comes with every sample
    def read(text: str) -> list[object]:
        found: list[object] = parse(
            f"${text.strip('$')}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None
        )
        return found

    for line in sys.stdin:
        if not line.strip():
            print("ready", flush=True)
            continue
        alarm(SECONDS)
        try:
            gold, answer = map(read, json.loads(line))
            equal = bool(gold and answer and verify(gold, answer, timeout_seconds=None))
        except Exception:  # whatever sympy makes of it, it is not the right answer
            equal = False
        alarm(0)
        print(json.dumps(equal), flush=True)


if __name__ == "__main__":
    main()
