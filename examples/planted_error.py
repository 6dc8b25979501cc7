"""Does the dense credit of an SFT run fall on errors?  `python examples/planted_error.py SFT_RUN ROWS [FRACTION]`.

ROWS is a task source with worked solutions that the run never saw, such as "dagmath?ops=5&asked=3&split=test&n=200".
"""

import sys
from pathlib import Path

from rlready.credit.probe import planted_error
from rlready.credit.reference import last_checkpoint, load_frozen
from rlready.errors import UserError
from rlready.tasks import open_task


def main(run: str, source: str, fraction: str = "0.5") -> None:
    frozen = load_frozen(str(last_checkpoint(Path(run))), "", float(fraction))
    probe = planted_error(frozen, open_task(source).rows())
    print(f"AUC of the least-credited token being the planted one  {probe.auc} over {probe.auc.n} solutions")
    print(f"the planted token has the least credit of all          {probe.top}")
    print(f"right ranked above wrong by the sum of credit          {probe.ranked}")
    print(f"the same with log-likelihood alone: AUC                {probe.auc_sft}")
    print(f"                                    ranked             {probe.ranked_sft}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (UserError, ValueError) as error:
        sys.exit(f"planted_error: {error}")
