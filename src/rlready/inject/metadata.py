"""What machines read about a data set, beside its rows: Croissant 1.0 with its vocabulary for responsible AI, and
RO-Crate 1.1.

Both say what the run knows.  What only an author can say is left out: address, creator, limits and uses of the data,
and the licence where none is stated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from rlready.core.config import InjectConfig
from rlready.inject.card import TITLES
from rlready.inject.diff import BEFORE
from rlready.inject.result import InjectResult
from rlready.runs.files import write_json
from rlready.runs.record import RunRecord

CROISSANT, CRATE = "croissant.json", "ro-crate-metadata.json"
JSONL = "application/jsonlines"
TYPES: dict[type, str] = {bool: "sc:Boolean", int: "sc:Integer", float: "sc:Float", str: "sc:Text"}
# of the specification, https://docs.mlcommons.org/croissant/docs/croissant-spec.html
CONTEXT = json.loads(
    """{"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "prov": "http://www.w3.org/ns/prov#", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "examples": {"@id": "cr:examples", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty", "samplingRate": "cr:samplingRate",
    "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform"}"""
)


def write_metadata(
    folder: Path, config: InjectConfig, result: InjectResult, record: RunRecord, rows: Sequence[Mapping[str, object]]
) -> None:
    """Write both files; ``rows`` are the columns of every row, as they were written."""
    write_json(folder / CROISSANT, croissant(config, result, record, rows))
    write_json(folder / CRATE, ro_crate(config, result, record))


def croissant(
    config: InjectConfig, result: InjectResult, record: RunRecord, rows: Sequence[Mapping[str, object]]
) -> dict[str, JsonValue]:
    """The data set as Croissant; columns whose values are lists or objects have no field."""
    source = record.data[0]
    file: dict[str, JsonValue] = {
        "@type": "cr:FileObject",
        "@id": result.rows,
        "name": result.rows,
        "contentUrl": result.rows,
        "encodingFormat": JSONL,
        "sha256": record.files[result.rows],
    }
    fields: list[JsonValue] = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{name}",
            "name": f"rows/{name}",
            "dataType": TYPES[kind],
            "source": {"fileObject": {"@id": result.rows}, "extract": {"column": name}},
        }
        for name, kind in _columns(rows).items()
    ]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        **_about(config, result, record),
        "version": "1.0.0",
        "rai:dataPreprocessingProtocol": f"{TITLES[config.method]} {result.headline}",
        "rai:hasSyntheticData": config.method != "vanilla" or source.path is None,
        "prov:wasDerivedFrom": f"{result.source}{f' (SHA-256 {source.sha256})' if source.sha256 else ''}",
        "prov:wasGeneratedBy": _made_by(record),
        "distribution": [file],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
    }


def ro_crate(config: InjectConfig, result: InjectResult, record: RunRecord) -> dict[str, JsonValue]:
    """The run folder as a crate: the files, and the program that made them from the source."""
    names = (result.rows, BEFORE)
    files: list[JsonValue] = [
        {"@id": name, "@type": "File", "name": name, "encodingFormat": JSONL, "sha256": record.files[name]}
        for name in names
    ]
    parts: list[JsonValue] = [{"@id": name} for name in names]
    sha = record.data[0].sha256
    identifier: dict[str, JsonValue] = {"identifier": f"SHA-256 {sha}"} if sha else {}
    return {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [
            {
                "@id": CRATE,
                "@type": "CreativeWork",
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
                "about": {"@id": "./"},
            },
            {"@id": "./", "@type": "Dataset", **_about(config, result, record), "hasPart": parts},
            *files,
            {
                "@id": "#run",
                "@type": "CreateAction",
                "name": _made_by(record),
                "startTime": record.start,
                "instrument": {"@id": "#rlready"},
                "object": {"@id": "#source"},
                "result": parts,
            },
            {
                "@id": "#rlready",
                "@type": "SoftwareApplication",
                "name": "rlready",
                "softwareVersion": record.software.version,
            },
            {"@id": "#source", "@type": "Dataset", "name": result.source, **identifier},
        ],
    }


def _about(config: InjectConfig, result: InjectResult, record: RunRecord) -> dict[str, JsonValue]:
    licence: dict[str, JsonValue] = {"license": result.licence} if result.licence else {}
    counts = f"{result.rows_out} rows, made from the {result.rows_in} of {result.source}."
    return {
        "name": TITLES[config.method].partition(" (")[0].rstrip("."),
        "description": f"{counts} {result.description}",
        "datePublished": record.start[:10],
        **licence,
    }


def _made_by(record: RunRecord) -> str:
    return f"rlready {record.software.version}: {record.command or 'rlready.inject in Python'}"


def _columns(rows: Sequence[Mapping[str, object]]) -> dict[str, type]:
    """The columns whose values are all of one simple type, or missing."""
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            kinds.setdefault(name, set()).update({type(value)} if value is not None else ())
    return {name: kind for name, found in kinds.items() if len(found) == 1 and (kind := found.pop()) in TYPES}
