"""The engine over a vLLM server: one that runs already, or one that is started here."""

from __future__ import annotations

from collections.abc import Sequence

from rlready.core.errors import UserError
from rlready.core.records import Sample
from rlready.engine.budget import Forcing
from rlready.engine.completer import Completer
from rlready.engine.completions import CompletionEngine
from rlready.engine.protocol import Ended, Request
from rlready.engine.vllm_client import Client, NoAnswer
from rlready.engine.vllm_process import Server
from rlready.models.lm import LM


class ServerEngine(CompletionEngine):
    """Engine over a server at ``url``, or, without one, over a server that is started with the model's weights."""

    def __init__(self, lm: LM, forcing: Forcing, *, bfloat16: bool = False, url: str = "") -> None:
        super().__init__(lm, forcing, bfloat16=bfloat16)
        self.url, self._longest, self._kept = url, 0, False
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

    def reseed(self, seed: int) -> None:
        """A server has the seed that it was started with: seeds of requests end vLLM's CPU build."""

    def wrong_weights(self, difference: float, bound: float) -> UserError:
        if not self.url:
            return super().wrong_weights(difference, bound)
        return UserError(
            f"{self.name} serves another model than {self.lm.source}: its log-probabilities differ by "
            f"{difference:.2g} nats on average (rounding stays below {bound}); name the server of this model, or use "
            "engine=vllm-server, which starts one"
        )

    def close(self) -> None:
        super().close()
        self._stop()

    def _connect(self, url: str) -> Client:
        return Client(url, self.batch_size, self.lm.model.config.get_text_config().vocab_size)

    def _stop(self) -> None:
        if self._client:
            self._client.close()
        if self._server:
            self._server.stop()
        self._client = self._server = None
