"""Pictures on their way to a model's input: checked, decoded, prepared."""
