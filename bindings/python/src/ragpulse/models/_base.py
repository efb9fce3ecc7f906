"""What all models of the contract have in common.

What may come in: payloads of this and of later versions. What it never does: lose a field that it does not know, or
write out a field that has no value.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Model(BaseModel):
    """A shape of the contract. Fields that this version does not know are kept; those without a value are left out."""

    model_config = ConfigDict(extra="allow", populate_by_name=True, protected_namespaces=())

    @model_serializer(mode="wrap")
    def _leave_out_what_has_no_value(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            # A required one may be null by its type, and is then written so.
            if getattr(self, name) is None and not field.is_required():
                written.pop(field.serialization_alias or name, None)
        return written
