"""Products, their drafts and their stock as plain objects: no framework, no SDK, no SQL."""
