"""The store of corrections (cQvH), its formats and its figures. Knows no model and no page."""
