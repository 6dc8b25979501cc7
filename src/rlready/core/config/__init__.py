"""What a user can set: one frozen pydantic model per verb, each in a file; a field's description is its ``--help``.

Constraints on one setting stand at its field, constraints between settings in a validator of the model.  A setting
whose default depends on the model that is trained or measured has the type `Preset`: it is None until
``models/preset.py`` has looked at that model.  This package imports nothing heavy, because ``rlready --help`` reads
it; the annotations in its files are types and not strings, which pydantic would have to evaluate one by one.
"""

from rlready.core.config.checklist import ChecklistConfig
from rlready.core.config.demo import DemoConfig
from rlready.core.config.doctor import DoctorConfig
from rlready.core.config.evaluate import EvaluateConfig
from rlready.core.config.export import CurveValue, ExportConfig, ImportConfig, Tool
from rlready.core.config.inject import InjectConfig
from rlready.core.config.predict import PredictConfig
from rlready.core.config.readiness import ReadinessConfig
from rlready.core.config.rl import ImportanceCorrection, ReturnType, Reward, RLConfig, ScaleRewards
from rlready.core.config.sft import SFTConfig
from rlready.core.config.show import CreditConfig, TemplateConfig
from rlready.core.config.sweep import SweepConfig

__all__ = [
    "ChecklistConfig",
    "CreditConfig",
    "CurveValue",
    "DemoConfig",
    "DoctorConfig",
    "EvaluateConfig",
    "ExportConfig",
    "ImportConfig",
    "ImportanceCorrection",
    "InjectConfig",
    "PredictConfig",
    "RLConfig",
    "ReadinessConfig",
    "ReturnType",
    "Reward",
    "SFTConfig",
    "ScaleRewards",
    "SweepConfig",
    "TemplateConfig",
    "Tool",
]
