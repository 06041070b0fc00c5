"""The fields of manifest.json, from node_model/manifest.py."""

from pieces import page
from schema_tables import schema_section

from node_model.manifest import Manifest


def manifest_page() -> str:
    """The manifest and everything that it is made of."""
    schema = Manifest.model_json_schema()
    parts = [schema_section("Manifest", schema), *(schema_section(*one) for one in schema["$defs"].items())]
    return page("Manifest", INTRODUCTION, *parts)


INTRODUCTION = """`manifest.json` of an [artifact](../artifact.md), field by field. It is validated when a model is
loaded and by `odeserve check`; a field that is not listed here is an error."""
