"""The engine over a vLLM server: one that runs already, or one that is started here.

Weights that learn are handed to a server that runs already: rank 0 writes them to a disk that the server's machine
shares, and vLLM loads them in place, which its development mode allows.  A server that answers as if it had and has not
would go unnoticed while an update changes little, so the first weights that it is sent are halved ones: it must have
these before it gets the right ones.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from rlready.core.distributed import rank, wait_for_all
from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.core.timing import span
from rlready.engine.budget import Forcing
from rlready.engine.completer import Completer
from rlready.engine.completions import PROBES, CompletionEngine
from rlready.engine.handover import halved, written
from rlready.engine.protocol import Ended, Request
from rlready.engine.vllm_client import Client, NoAnswer
from rlready.engine.vllm_process import Server
from rlready.models.lm import LM
from rlready.runs.files import remove


class ServerEngine(CompletionEngine):
    """Engine over a server at ``url``, or, without one, over a server that is started with the model's weights."""

    def __init__(
        self, lm: LM, forcing: Forcing, *, bfloat16: bool = False, url: str = "", handover: Path | None = None
    ) -> None:
        """``handover``: where the server at ``url`` finds the weights of a model that learns."""
        super().__init__(lm, forcing, bfloat16=bfloat16)
        self.url, self._longest, self._kept = url, 0, False
        self._handover, self._handed = handover, 0  # how often weights were handed over
        self._as = torch.bfloat16 if bfloat16 else None
        self._server: Server | None = None
        self._client: Client | None = None
        if url:
            self.name, self.dtype = f"the server at {url}", "bfloat16"  # which is not known: the wider bound
            self._client = self._connect(url)

    def sample(
        self, requests: Sequence[Request], *, temperature: float, seed: int, ended: Ended | None = None
    ) -> list[Sample]:
        def keep(sample: Sample) -> None:
            if ended:
                ended(sample)
                self._kept = True

        if self._handover:  # also weights that are the same: the server may have been started again
            self._stale = True
            self._hand_over(self._handover, list(dict.fromkeys(each.prompt_ids for each in requests)))
        try:
            return super().sample(requests, temperature=temperature, seed=seed, ended=keep)
        except NoAnswer as error:
            raise UserError(f"{error}: what was drawn before is kept" if self._kept else str(error)) from None

    def completer(self, longest: int, *, stale: bool) -> Completer:
        if not self.url and (self._server is None or stale or self._longest < longest):
            self._stop()
            self._longest = longest = min(self.lm.context, 1 << (longest - 1).bit_length())
            options = self.start_options(longest) | {"max_model_len": longest, "max_num_seqs": self.batch_size}
            self._server = Server(self.lm, self.dtype, options)
            self._client = self._connect(self._server.url)
        assert self._client is not None
        return self._client

    def _hand_over(self, folder: Path, prompts: Sequence[tuple[int, ...]]) -> None:
        """Have the server load the weights that the model has now.  Collective: the others wait for rank 0."""
        if rank() == 0:
            assert self._client is not None
            if not self._handed:
                self.intact = False  # wherever an interrupt comes
                with halved(self.lm.model):
                    self._load(folder)
                    self._compare(self._client, prompts[:PROBES])
                self.intact = True
                self.update_weights(self.lm)  # which are those of before
            self._load(folder)
        wait_for_all()

    def _load(self, folder: Path) -> None:
        assert self._client is not None
        self._handed += 1
        name = f"{os.getpid()}-{self._handed}"  # another one every time, of which no machine remembers an older file
        with span("handover"), written(self.lm.model, folder / name, self._as) as place:
            self._client.load(place)

    def reseed(self, seed: int) -> None:
        """A server has the seed that it was started with: seeds of requests end vLLM's CPU build."""

    def wrong_weights(self, difference: float, bound: float) -> UserError:
        if not self.url:
            return super().wrong_weights(difference, bound)
        if self._handed:
            return UserError(
                f"{self.name} has not taken the weights that it was sent: its log-probabilities differ from those of "
                f"{self.lm.source} by {difference:.2g} nats on average (rounding stays below {bound}); start it with "
                "the model of this run"
            )
        return UserError(
            f"{self.name} serves another model than {self.lm.source}: its log-probabilities differ by "
            f"{difference:.2g} nats on average (rounding stays below {bound}); name the server of this model, or use "
            "engine=vllm-server, which starts one"
        )

    def close(self) -> None:
        super().close()
        self._stop()
        if self._handover:
            remove(self._handover)

    def _connect(self, url: str) -> Client:
        return Client(url, self.batch_size, self.lm.model.config.get_text_config().vocab_size)

    def _stop(self) -> None:
        if self._client:
            self._client.close()
        if self._server:
            self._server.stop()
        self._client = self._server = None
