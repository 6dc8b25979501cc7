"""The functions that draw facts from runs, by the names that the forms use."""

from __future__ import annotations

from collections.abc import Callable

from rlready.checklist import compute, credits, dataset, provenance, setting, significance
from rlready.checklist.result import Fact
from rlready.checklist.runs import Runs

FACTS: dict[str, Callable[[Runs], list[Fact]]] = {
    each.__name__: each
    for each in (
        *(compute.machine, compute.memory, compute.time_per_run, compute.total_compute, compute.energy),
        *(compute.storage, compute.provider, compute.other_runs, provenance.parameters),
        *(setting.splits, setting.configuration, setting.chosen, setting.why_chosen, setting.optimiser),
        *(setting.seeds, setting.overlap),
        *(significance.headlines, significance.intervals, significance.variability, significance.scope),
        *(significance.warnings, significance.limits, significance.tasks),
        *(provenance.revision, provenance.packages, provenance.commands, provenance.data_identity),
        *(provenance.model_identity, provenance.data_access, provenance.address, provenance.licences),
        *(provenance.terms, provenance.checkpoints, provenance.new_assets, provenance.models_used),
        *(provenance.other_uses, credits.methods),
        *(dataset.made_from, dataset.row_counts, dataset.row_columns, dataset.row_label, dataset.missing_values),
        *(dataset.left_out, dataset.row_relations, dataset.row_splits, dataset.duplicates, dataset.verified),
        *(dataset.self_contained, dataset.generator, dataset.sampling, dataset.time_frame, dataset.processing),
        *(dataset.raw_kept, dataset.used_by, dataset.source_licence, dataset.version_hash),
    )
}
