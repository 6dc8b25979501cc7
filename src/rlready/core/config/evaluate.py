"""Settings of ``rlready evaluate``."""

from typing import Self

from pydantic import model_validator

from rlready.core.config import texts
from rlready.core.config.checks import check_length_prompt, refuse_one_server
from rlready.core.errors import UserError
from rlready.core.settings import (
    Biases,
    Conditions,
    Config,
    Delimiters,
    Device,
    EngineName,
    GreedyTemperature,
    Place,
    Places,
    PositiveCoefficient,
    Precision,
    Preset,
    Samples,
    Seed,
    TokenCounts,
    Tokens,
    WaitCounts,
    option,
)

BUDGETED: Conditions = {"unconstrained": (False,)}


class EvaluateConfig(Config):
    """Accuracy at every thinking budget, and without a budget."""

    models: Places = option(("embedded",), "Checkpoints to compare.", min_length=1)
    problems: Preset[Place] = option(
        None, f"Problems: {texts.SOURCE}. Required unless the model is embedded. {texts.VERIFIER}"
    )
    thinking_budgets: Preset[TokenCounts] = option(
        None,
        "Thinking budgets in tokens. By default up to the budget that is chosen from the chat template and the context "
        "length. They do not apply if no model thinks: then limits of the whole response are compared, up to "
        "max_answer_tokens.",
        min_length=1,
    )
    samples: Samples = option(4, "Number of samples for each problem; majority vote and best-of-n choose among them.")
    temperature: GreedyTemperature = option(1.0, "Sampling temperature. 0 is greedy decoding.")
    max_answer_tokens: Preset[Tokens] = option(None, texts.MAX_ANSWER_TOKENS)
    answer_prefix: str = option("", texts.ANSWER_PREFIX)
    num_waits: WaitCounts = option(
        (0,),
        "How many times an early end of the thought is replaced, such as 0,1,2,4.",
        min_length=1,
        applies_to=BUDGETED,
    )
    wait_text: str = option("Wait", "Text that replaces the end of the thought.", applies_to={"num_waits": ()})
    end_think_bias: Biases = option(
        (0.0,),
        "Nats added to the log-odds of ending the thought, wherever the model decides that, such as 0,1,2.",
        min_length=1,
        applies_to=BUDGETED,
    )
    length_prompt: str = option(
        "",
        "Text that is added to the prompt and asks for each budget, which is then not enforced, such as "
        "' Think for at most {N} tokens.' By default none.",
        applies_to=BUDGETED,
    )
    apply_chat_template: bool = option(True, texts.APPLY_CHAT_TEMPLATE)
    delimiters: Delimiters = option((), texts.DELIMITERS)
    unconstrained: bool = option(False, "Only measure the models without any budget or forcing.")
    max_response_tokens: Tokens | None = option(
        None,
        "Largest number of tokens of an unconstrained response. By default four times the sum of the largest "
        "thinking budget and the answer, limited by the context length; if no model thinks, there are none by default.",
    )
    reference: str = option(
        "",
        "Contrastive decoding: checkpoint to decode away from; samples follow model^(1+1/beta) / reference^(1/beta). "
        "By default there is no reference.",
        applies_to=BUDGETED,
    )
    beta: PositiveCoefficient = option(
        1.0,
        "Contrastive decoding: its inverse strength. Logits are shifted by (1/beta) times the log-ratio of model and "
        "reference, so smaller is stronger. To match an rl run, use its beta times the dense_scale in its log.",
        applies_to={"reference": ()},
    )
    seed: Seed = option(0, "Seed of the samples.")
    engine: EngineName = option("torch", texts.SERVERS)
    device: Preset[Device] = option("auto", texts.DEVICE)
    dtype: Preset[Precision] = option(None, texts.DTYPE)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.reference and self.engine != "torch":
            raise UserError(f"reference does not apply to engine={self.engine}; use engine=torch")
        refuse_one_server(self.engine, self.models)
        for name in ("models", "thinking_budgets", "num_waits", "end_think_bias"):
            values = getattr(self, name) or ()
            if len(set(values)) != len(values):
                raise UserError(f"{name} contains a value twice: {', '.join(map(str, values))}; give each value once")
        check_length_prompt(self.length_prompt)
        if self.temperature == 0 and self.samples > 1:
            raise UserError(
                f"samples={self.samples} does not apply to temperature=0, which draws the same response every time; "
                "set samples=1"
            )
        return self
